"""Data sets by name: the one table from a name to what loads it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

from ensemble_jax.data.arrays import NPZ_PREFIX, load_npz
from ensemble_jax.data.cifar10 import CATS_AND_DOGS, load_cats_and_dogs
from ensemble_jax.data.cifar100 import SUPERCLASSES, load_superclass
from ensemble_jax.data.dataset import Dataset
from ensemble_jax.data.digits import load_digits
from ensemble_jax.data.folders import Folders, resolve_folders
from ensemble_jax.data.prepared import PREPARED, load_prepared

Loader = Callable[[str, Folders], Dataset]
"""From the whole name as the user gave it, and the folders, to the data set."""

# The modules of the loaders import nothing heavy before a loader is called.
_NAMED: Mapping[str, Loader] = {
    "digits": load_digits,
    **dict.fromkeys(PREPARED, load_prepared),
    CATS_AND_DOGS: load_cats_and_dogs,
    **dict.fromkeys(SUPERCLASSES, load_superclass),
}
_PREFIXED: Mapping[str, Loader] = {NPZ_PREFIX: load_npz}


def load_dataset(
    name: str, *, data_dir: str | Path | None = None, cache_dir: str | Path | None = None
) -> Dataset:
    """The data set of that name.

    | name | content |
    |---|---|
    | `digits` | scikit-learn's handwritten digits, 8x8, see `digits.load_digits` |
    | `mnist`, `fashion_mnist`, `cifar10`, `cifar100` | prepared by tensorflow-datasets in `data_dir`, see `prepared.load_prepared` |
    | `cats_and_dogs` | the cats and dogs of `cifar10`, which must be prepared, see `cifar10.load_cats_and_dogs` |
    | `small_mammals`, `fish`, ... | one of the 20 superclasses of CIFAR-100, see `cifar100.SUPERCLASSES` |
    | `npz:PATH` | arrays of the user's own, see `arrays.load_npz` |

    The same name and files give the same examples in the same order, always. Arrays that come from
    the cache are read-only.

    Args:
        name: which set.
        data_dir: the folder of prepared sets; by default `$TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.
        cache_dir: where prepared sets are kept after they have been decoded for the first time; by
            default `$ENSEMBLE_JAX_CACHE`, else `$XDG_CACHE_HOME/ensemble_jax`, else
            `~/.cache/ensemble_jax`.

    Raises:
        ValueError: if there is no such set, or it is not what the loader can read.
        ModuleNotFoundError: if the set needs a package that is not installed.

    >>> digits = load_dataset("digits")
    >>> digits.train.inputs.shape, len(digits.test), digits.num_classes
    ((1438, 8, 8, 1), 359, 10)
    """  # noqa: E501
    return _loader(name)(name, resolve_folders(data_dir, cache_dir))


def check_dataset_name(name: str) -> None:
    """Raises ValueError unless `load_dataset` knows the name; reads and imports nothing.

    >>> check_dataset_name("fish")
    >>> check_dataset_name("cifar")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: dataset must be one of digits, ..., npz:PATH; got 'cifar', is 'cifar10' meant?
    """
    _loader(name)


def _loader(name: str) -> Loader:
    """What loads the set of that name."""
    if name in _NAMED:
        return _NAMED[name]
    for prefix, loader in _PREFIXED.items():
        if name.startswith(prefix) and name != prefix:
            return loader
    allowed = ", ".join([*_NAMED, *(f"{prefix}PATH" for prefix in _PREFIXED)])
    close = difflib.get_close_matches(name.lower(), _NAMED, n=1)
    suggestion = f", is {close[0]!r} meant?" if close else ""
    raise ValueError(f"dataset must be one of {allowed}; got {name!r}{suggestion}")

"""Data sets by name: the one table from a name to what loads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ensemble_jax.data.arrays import NPZ_PREFIX, load_npz
from ensemble_jax.data.cifar10 import CATS_AND_DOGS, load_cats_and_dogs
from ensemble_jax.data.cifar100 import SUPERCLASSES, load_superclass
from ensemble_jax.data.class_folders import FOLDER_PREFIX, load_folder, parse_folder_name
from ensemble_jax.data.dataset import Dataset
from ensemble_jax.data.digits import load_digits
from ensemble_jax.data.folders import Folders, resolve_folders
from ensemble_jax.data.gabor import GABOR, GABOR_24, load_gabor
from ensemble_jax.data.gaussian import GAUSSIAN, load_gaussian
from ensemble_jax.data.imagenet import (
    IMAGENET,
    IMAGENET_PREFIX,
    load_imagenet,
    parse_imagenet_name,
)
from ensemble_jax.data.meaning import warn_of_meaning
from ensemble_jax.data.prepared import PREPARED, load_prepared
from ensemble_jax.data.text import (
    CSV_PREFIX,
    STACK_OVERFLOW,
    TSV_PREFIX,
    load_csv,
    load_stack_overflow,
    load_tsv,
    parse_text_name,
)
from ensemble_jax.data.tiny_imagenet import TINY_IMAGENET, load_tiny_imagenet
from ensemble_jax.data.vggface2 import VGGFACE2, load_vggface2
from ensemble_jax.data.wording import meant

Loader = Callable[[str, Folders], Dataset]
"""From the whole name as the user gave it, and the folders, to the data set."""


class _Loading(NamedTuple):
    """How a set is loaded, and how its name is checked.

    Attributes:
        load: loads it.
        check: raises ValueError for a wrong name.
        of_texts: whether words need vectors.
        rest: what comes after a prefix, for messages.
    """

    load: Loader
    check: Callable[[str], object] = lambda name: None
    of_texts: bool = False
    rest: str = "PATH"


# The modules of the loaders import nothing heavy before a loader is called.
_NAMED: Mapping[str, _Loading] = {
    "digits": _Loading(load_digits),
    **dict.fromkeys(PREPARED, _Loading(load_prepared)),
    CATS_AND_DOGS: _Loading(load_cats_and_dogs),
    **dict.fromkeys(SUPERCLASSES, _Loading(load_superclass)),
    TINY_IMAGENET: _Loading(load_tiny_imagenet),
    VGGFACE2: _Loading(load_vggface2),
    IMAGENET: _Loading(load_imagenet),
    **dict.fromkeys((GABOR, GABOR_24), _Loading(load_gabor)),
    GAUSSIAN: _Loading(load_gaussian),
    STACK_OVERFLOW: _Loading(load_stack_overflow, of_texts=True),
}
_PREFIXED: Mapping[str, _Loading] = {
    IMAGENET_PREFIX: _Loading(load_imagenet, parse_imagenet_name, rest="size=PIXELS"),
    NPZ_PREFIX: _Loading(load_npz),
    FOLDER_PREFIX: _Loading(load_folder, parse_folder_name),
    TSV_PREFIX: _Loading(load_tsv, parse_text_name, of_texts=True),
    CSV_PREFIX: _Loading(load_csv, parse_text_name, of_texts=True),
}


def load_dataset(
    name: str,
    *,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    word_vectors: str | Path | None = None,
) -> Dataset:
    """The data set of that name.

    | name | content, where it comes from, licence | what is checked |
    |---|---|---|
    | `digits` | scikit-learn's handwritten digits, 8x8, nothing to prepare, see `digits.load_digits`; CC BY 4.0 | |
    | `mnist`, `fashion_mnist`, `cifar10`, `cifar100` | prepared by tensorflow-datasets in `data_dir`, see `prepared.load_prepared`; Fashion-MNIST: MIT, the CIFAR sets: none stated | that all files are there and undamaged |
    | `cats_and_dogs` | two classes of `cifar10`, which must be prepared, see `cifar10.load_cats_and_dogs` | as `cifar10` |
    | `small_mammals`, `fish`, ... | the 20 superclasses of `cifar100`, which must be prepared, see `cifar100.SUPERCLASSES` | as `cifar100` |
    | `tiny_imagenet` | 200 classes, 64x64; the authors' archive unpacked in `data_dir`, see `tiny_imagenet.load_tiny_imagenet`; for research, as ImageNet | that all classes have equally many images, and each decodes |
    | `vggface2` | 10 identities, 64x64; the authors' folders in `data_dir/VGGFace2`, see `vggface2.load_vggface2`; CC BY-NC 4.0 | that ten have more than 600 images, and each of these decodes |
    | `imagenet2012`, `imagenet2012?size=64` | 1,000 classes, 224x224, prepared by tensorflow-datasets in `data_dir`; images are read when they are needed, see `imagenet.load_imagenet`; for research | that all files are there and undamaged |
    | `gabor`, `gabor24` | Gabor patches of 12 or 24 classes, drawn, see `gabor.load_gabor` | |
    | `gaussian` | vectors from two normal distributions, drawn, see `gaussian.load_gaussian` | |
    | `stackoverflow` | 40,000 posts of 20 tags; the published file in `data_dir`, see `text.load_stack_overflow`; CC BY-SA | as `csv:PATH` |
    | `npz:PATH` | arrays of the user's own, see `arrays.load_npz` | types, shapes, ranges |
    | `folder:PATH`, `folder:PATH?size=64` | images of the user's own, a folder per class, see `class_folders.load_folder` | layout, sizes, and that each image decodes |
    | `tsv:PATH`, `tsv:PATH?text=3` | texts of the user's own, one a line, see `text.load_tsv` | encoding, columns, a text in each line, classes |
    | `csv:PATH`, `csv:PATH?text=post&label=tag` | posts of the user's own, see `text.load_csv` | encoding, columns, a text in each row, classes |

    The same name and files give the same examples in the same order, always. Arrays that come from
    the cache are read-only. What can hardly be meant is a warning, see `check_meaning`.

    Args:
        name: which set.
        data_dir: the folder of prepared and unpacked sets; by default `$TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.
        cache_dir: where images are kept after they have been decoded for the first time; by default `$ENSEMBLE_JAX_CACHE`, else `$XDG_CACHE_HOME/ensemble_jax`, else
            `~/.cache/ensemble_jax`.
        word_vectors: a file of word vectors in GloVe's text format, for texts and only for them;
            see `check_word_vectors`.

    Raises:
        ValueError: if there is no such set, or it is not what the loader can read.
        ModuleNotFoundError: if the set needs a package that is not installed.

    >>> digits = load_dataset("digits")
    >>> digits.train.inputs.shape, len(digits.test), digits.num_classes
    ((1438, 8, 8, 1), 359, 10)
    """  # noqa: E501
    check_word_vectors(name, word_vectors)
    folders = resolve_folders(data_dir, cache_dir, word_vectors)
    return warn_of_meaning(_source(name).load(name, folders))


def prepared_names() -> tuple[str, ...]:
    """The names of the sets that tensorflow-datasets prepares, and of parts of them."""
    return (*PREPARED, CATS_AND_DOGS, *SUPERCLASSES, IMAGENET)


def check_dataset_name(name: str) -> None:
    """Raises ValueError unless `load_dataset` knows the name and options; reads, imports nothing.

    >>> check_dataset_name("fish")
    >>> check_dataset_name("cifar")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: dataset must be one of digits, ..., csv:PATH; got 'cifar', is 'cifar10' meant?
    """
    _source(name)


def check_word_vectors(name: str, word_vectors: str | Path | None) -> None:
    """Raises ValueError unless there are word vectors for a set of texts and none for another.

    There is no default, because which vectors the words have is part of what is trained. The
    published GloVe vectors are at https://nlp.stanford.edu/projects/glove. Nothing is read.

    >>> check_word_vectors("tsv:questions", "glove.6B.300d.txt")
    >>> check_word_vectors("digits", None)
    """
    of_texts = _source(name).of_texts
    if of_texts and not word_vectors:
        raise ValueError(
            f"word_vectors must name a file of GloVe's vectors for the texts of {name}, such as "
            "glove.6B.300d.txt from https://nlp.stanford.edu/projects/glove (tables of numbers are "
            "given as npz:PATH); got none"
        )
    if word_vectors and not of_texts:
        raise ValueError(
            f"word_vectors must be empty for a data set without texts such as {name}, got "
            f"{str(word_vectors)!r}"
        )


def _source(name: str) -> _Loading:
    """What loads the set of that name, after a check of the name."""
    if name in _NAMED:
        return _NAMED[name]
    for prefix, source in _PREFIXED.items():
        if name.startswith(prefix) and name != prefix:
            source.check(name)
            return source
    allowed = ", ".join([*_NAMED, *(prefix + source.rest for prefix, source in _PREFIXED.items())])
    raise ValueError(f"dataset must be one of {allowed}; got {name!r}{_meant(name)}")


def _meant(name: str) -> str:
    """A question about what a name may stand for, with a prefix if it is that of a file."""
    path = Path(name.partition("?")[0])
    prefix = FOLDER_PREFIX if path.is_dir() else f"{path.suffix.lower().removeprefix('.')}:"
    if name and prefix in _PREFIXED and path.exists():
        return f", is {prefix + name!r} meant?"
    return meant(name.lower(), _NAMED)

"""A user's own arrays: in memory, or in a `.npz` archive."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.folders import Folders, expanded
from ensemble_jax.data.wording import first_few, shortened

NPZ_PREFIX = "npz:"
"""The prefix of the name of such a data set, before the path."""

_SPLITS = ("train", "test")
_CHANNELS = (1, 3, 4)
# What tables have where a value is missing.
_MISSING = ("", "nan", "na", "n/a", "none", "null", "<na>")
_UINT8, _INT64 = np.iinfo(np.uint8), np.iinfo(np.int64)


class Labels(NamedTuple):
    """Labels as numbers, and what the numbers stand for.

    Attributes:
        numbers: for each split `[M]` int32, in 0..K-1; those of `train true` where they are given.
        class_names: the K names.
    """

    numbers: Mapping[str, Int[np.ndarray, " M"]]
    class_names: tuple[str, ...]


def load_npz(name: str, folders: Folders) -> Dataset:
    """The data set in the archive at `PATH`, for a name `npz:PATH`; a leading `~` is expanded.

    | array | content |
    |---|---|
    | `train_inputs`, `test_inputs` (or `train_images`, `test_images`) | `[M, ...]` as of `Dataset.from_arrays`; to `[M, height, width]` one channel is added |
    | `train_labels`, `test_labels` | `[M]` integers in 0..K-1, or texts |
    | `class_names` | optional, K texts; as of `Dataset.from_arrays` |
    | `train_ids`, `test_ids` | optional, `[M]` different integers or texts; else the position |
    | `train_true_labels` | optional, `[M]` as `train_labels`: `Split.true_labels` |

    Other arrays are ignored. No folder is used.

    Raises:
        ValueError: if the file is no such archive; the line says which array is wrong and how.
    """  # noqa: E501
    arrays = _read(name, expanded(name.removeprefix(NPZ_PREFIX)))
    inputs = {
        split: _array(name, arrays, f"{split}_inputs", f"{split}_images") for split in _SPLITS
    }
    return from_arrays(
        name,
        {split: x[..., None] if x.ndim == 3 else x for split, x in inputs.items()},
        {split: _array(name, arrays, f"{split}_labels") for split in _SPLITS},
        {split: arrays.get(f"{split}_ids") for split in _SPLITS},
        arrays.get("class_names"),
        arrays.get("train_true_labels"),
    )


def from_arrays(
    name: str,
    inputs: Mapping[str, Any],
    labels: Mapping[str, Any],
    ids: Mapping[str, Any],
    class_names: Sequence[str] | Shaped[np.ndarray, " K"] | None = None,
    train_true_labels: Any = None,
) -> Dataset:
    """The data set of arrays by split, all as `Dataset.from_arrays` takes and checks them."""
    arrays = {split: _inputs(name, f"{split} inputs", inputs[split]) for split in _SPLITS}
    if arrays["train"].dtype != arrays["test"].dtype:
        raise ValueError(
            f"{name}: train and test inputs must both be uint8 or both be floats, "
            f"got {arrays['train'].dtype} and {arrays['test'].dtype}"
        )
    sizes = {split: len(array) for split, array in arrays.items()}
    encoded = encode_labels(name, labels, sizes, class_names, train_true_labels)
    splits = {
        split: Split(
            arrays[split],
            encoded.numbers[split],
            _ids(name, f"{split} ids", ids.get(split), sizes[split]),
            encoded.numbers.get(f"{split} true"),
        )
        for split in _SPLITS
    }
    return Dataset(name, splits["train"], splits["test"], encoded.class_names)


def to_array(name: str, what: str, given: Any) -> np.ndarray:
    """What NumPy makes of an object; an error in one line where it makes nothing."""
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{name}: {what} must be an array in the memory of the host, got "
            f"{type(given).__name__} ({reason})"
        ) from error


def encode_labels(
    name: str,
    given: Mapping[str, Any],
    sizes: Mapping[str, int],
    class_names: Sequence[str] | Shaped[np.ndarray, " K"] | None = None,
    train_true_labels: Any = None,
) -> Labels:
    """The labels of both splits as numbers, and the names of the classes.

    Raises:
        ValueError: as `Dataset.from_arrays` does for labels and class names.
    """
    labels = {
        split: _column(name, f"{split} labels", given[split], sizes[split]) for split in _SPLITS
    }
    if train_true_labels is not None:
        labels["train true"] = _column(name, "train true labels", train_true_labels, sizes["train"])
    kinds = {
        split: "texts" if array.dtype.kind == "U" else "integers" for split, array in labels.items()
    }
    for split, kind in kinds.items():
        if kind != kinds["train"]:
            raise ValueError(
                f"{name}: train and {split} labels must both be integers or both be texts, got "
                f"{kinds['train']} and {kind}"
            )
    names = _class_names(name, class_names)
    if kinds["train"] == "texts":
        encoded = _numbered(name, labels, names)
    else:
        encoded = _in_range(name, labels, names)
    counts = np.bincount(encoded.numbers["train"], minlength=len(encoded.class_names))
    absent = [encoded.class_names[label] for label in np.flatnonzero(counts == 0)]
    if absent and names is None:
        raise ValueError(
            f"{name}: every class must have train examples, and none has {first_few(absent)}, of "
            f"{len(counts)} classes; integer labels count from 0; class_names allow a class without"
        )
    return encoded


def _numbered(
    name: str, labels: Mapping[str, np.ndarray], class_names: tuple[str, ...] | None
) -> Labels:
    """Numbers for labels that are texts."""
    if class_names is None:
        class_names = tuple(np.unique(labels["train"]).tolist())
        _check_numbers(name, class_names)
    if len(set(class_names)) < len(class_names):
        raise ValueError(f"{name}: class_names must all differ where labels are texts")
    _check_count(name, class_names)
    numbers = {class_name: number for number, class_name in enumerate(class_names)}
    for split, texts in labels.items():
        unknown = sorted(set(texts.tolist()) - set(class_names))
        if unknown:
            raise ValueError(
                f"{name}: {split} labels must be among the classes {first_few(class_names)}, got "
                f"{shortened(unknown[0])}"
            )
    return Labels(
        {
            split: np.array([numbers[text] for text in texts.tolist()], np.int32)
            for split, texts in labels.items()
        },
        class_names,
    )


def _check_numbers(name: str, class_names: Sequence[str]) -> None:
    """An error where some classes are numbers in two forms, or numbers and missing values."""
    forms: dict[float, str] = {}
    missing = [text for text in class_names if text.strip().lower() in _MISSING]
    for text in class_names:
        try:
            number = float(text)
        except ValueError:
            continue
        if text not in missing and (other := forms.setdefault(number, text)) != text:
            raise ValueError(
                f"{name}: labels must have one form for each class, got {shortened(other)} and "
                f"{shortened(text)}, which are one number"
            )
    if missing and forms and len(forms) + len(missing) == len(class_names):
        raise ValueError(
            f"{name}: labels must not be missing, got {shortened(missing[0])} beside numbers such "
            f"as {shortened(next(iter(forms.values())))}"
        )


def _in_range(
    name: str, labels: Mapping[str, np.ndarray], class_names: tuple[str, ...] | None
) -> Labels:
    """Labels that are numbers already."""
    for split, numbers in labels.items():
        if numbers.min() < 0:
            raise ValueError(f"{name}: {split} labels must not be negative, got {numbers.min()}")
    if class_names is None:
        largest = max(int(numbers.max()) for numbers in labels.values())
        examples = sum(map(len, labels.values()))
        # Such labels are codes of another kind, and as many classes would exhaust the memory.
        if largest >= examples:
            raise ValueError(
                f"{name}: labels must be numbered from 0 without large gaps, or class_names be "
                f"given: got the label {largest} among {examples} examples"
            )
        class_names = tuple(str(label) for label in range(largest + 1))
    _check_count(name, class_names)
    for split, numbers in labels.items():
        outside = numbers >= len(class_names)
        if outside.any():
            raise ValueError(
                f"{name}: {split} labels must lie in 0..{len(class_names) - 1}, as there are "
                f"{len(class_names)} class_names, got {numbers[outside][0]}"
            )
    return Labels(
        {split: numbers.astype(np.int32) for split, numbers in labels.items()}, class_names
    )


def _check_count(name: str, class_names: Sequence[str]) -> None:
    """An error unless there is something to tell apart."""
    if len(class_names) < 2:
        raise ValueError(
            f"{name}: there must be at least two classes, got only {shortened(class_names[0])}"
        )


def _read(name: str, path: Path) -> Mapping[str, np.ndarray]:
    """All arrays of the archive."""
    if not path.is_file():
        raise ValueError(f"{name}: {path} is not a file")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{name}: {path} is not an .npz archive, as numpy.savez writes it")
    arrays = {}
    with np.load(path, allow_pickle=False) as archive:
        for key in archive.files:
            try:
                arrays[key] = archive[key]
            except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
                if "allow_pickle" in str(error):
                    raise ValueError(
                        f"{name}: the array {key} holds Python objects, which are not read because "
                        "unpickling runs code; save numbers or texts of a NumPy type"
                    ) from error
                raise ValueError(f"{name}: the array {key} is damaged ({error})") from error
    return arrays


def _array(name: str, arrays: Mapping[str, np.ndarray], *keys: str) -> np.ndarray:
    """The one array that is there under one of the keys."""
    found = [key for key in keys if key in arrays]
    if len(found) != 1:
        problem = "lacks the array" if not found else "must hold only one of the arrays"
        raise ValueError(
            f"{name} {problem} {' or '.join(keys)}; it holds {', '.join(arrays) or 'nothing'}"
        )
    return arrays[found[0]]


def _inputs(name: str, what: str, given: Any) -> Shaped[np.ndarray, "M ..."]:
    """The inputs of a split as uint8 or float32."""
    inputs = to_array(name, what, given)
    if inputs.ndim < 2 or inputs.size == 0:
        raise ValueError(
            f"{name}: {what} must be a non-empty [M, ...], got the shape {inputs.shape}"
        )
    kind = inputs.dtype.kind
    # Height and width of fewer pixels than there may be channels say nothing.
    clear = inputs.ndim == 4 and min(inputs.shape[2:]) > max(_CHANNELS)
    if clear and has_channels_first(inputs.shape[1:]):
        raise ValueError(
            f"{name}: {what} must have their channels last, as [M, height, width, channels], got "
            f"the shape {inputs.shape}, which looks like channels first: numpy.moveaxis(x, 1, -1)"
        )
    if inputs.dtype == np.uint8:
        return inputs
    if kind in "iu" and inputs.ndim > 2:
        low, high = inputs.min(), inputs.max()
        if _UINT8.min <= low and high <= _UINT8.max:
            return inputs.astype(np.uint8)
        raise ValueError(
            f"{name}: {what} of integers must lie in 0..255, got {inputs.dtype} in {low}..{high}; "
            "floats may have any range"
        )
    is_float = (kind == "f" and inputs.dtype.itemsize <= 8) or inputs.dtype.name == "bfloat16"
    if not is_float and kind not in "iu":
        raise ValueError(
            f"{name}: {what} must be uint8 (0..255), other integers, float16, bfloat16, float32 or "
            f"float64, got {inputs.dtype}"
        )
    # A float64 beyond float32's range becomes infinite, and is reported as such below.
    with np.errstate(over="ignore"):
        inputs = inputs.astype(np.float32, copy=False)
    infinite = len(inputs) - np.isfinite(inputs).reshape(len(inputs), -1).all(axis=1).sum()
    if infinite:
        raise ValueError(
            f"{name}: {what} must be finite as float32, got NaN or infinity in {infinite} of "
            f"{len(inputs)} examples"
        )
    return inputs


def has_channels_first(shape: tuple[int, ...]) -> bool:
    """Whether the shape of an image has its channels before height and width.

    >>> has_channels_first((3, 32, 32)), has_channels_first((32, 32, 3))
    (True, False)
    """
    return shape[0] in _CHANNELS and shape[-1] not in _CHANNELS


def _column(name: str, what: str, given: Any, size: int) -> Shaped[np.ndarray, " M"]:
    """One integer or text per example."""
    if isinstance(given, list | tuple):
        given = [_plain(value) for value in given]
    array = to_array(name, what, given)
    if array.shape != (size,):
        raise ValueError(
            f"{name}: {what} must have one value per example, [{size}], got the shape {array.shape}"
        )
    types, kind = str(array.dtype), array.dtype.kind
    # NumPy makes texts of a list of texts and numbers, and numbers of one of numbers and truths.
    if kind in "OT" or not hasattr(given, "dtype"):
        values = [_plain(value) for value in given]
        found = {type(value) for value in values}
        types = " and ".join(sorted(each.__name__ for each in found))
        if all(issubclass(each, str) for each in found):
            array, kind = np.array(values, np.str_), "U"
        else:
            array, kind = np.array(values, object), "i" if found == {int} else "O"
    if kind not in "iuU":
        raise ValueError(f"{name}: {what} must be integers or texts, got {types}")
    if kind == "U":
        return array
    low, high = array.min(), array.max()
    if low < _INT64.min or high > _INT64.max:
        raise ValueError(f"{name}: {what} must have at most 63 bits, got {low}..{high}")
    return array.astype(np.int64)


def _plain(value: Any) -> Any:
    """A Python object for a scalar of NumPy's or torch's."""
    return value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value


def _class_names(name: str, given: Any) -> tuple[str, ...] | None:
    """The names of the classes, where there are any."""
    if given is None:
        return None
    names = given.tolist() if isinstance(given, np.ndarray) else given
    if (
        isinstance(names, str)
        or not isinstance(names, Sequence)
        or not names
        or not all(isinstance(class_name, str) for class_name in names)
    ):
        raise ValueError(f"{name}: class_names must be a non-empty list of texts, got {given!r}")
    return tuple(str(class_name) for class_name in names)


def _ids(name: str, what: str, given: Any, size: int) -> Shaped[np.ndarray, " M"]:
    """The ids of a split, the positions where none are given."""
    if given is None:
        return np.arange(size)
    ids = _column(name, what, given, size)
    values, counts = np.unique(ids, return_counts=True)
    if len(values) != size:
        raise ValueError(f"{name}: {what} must all differ, got {values[counts > 1][0]} repeatedly")
    return ids

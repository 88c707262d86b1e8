"""A user's own arrays, from a `.npz` archive."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.folders import Folders

NPZ_PREFIX = "npz:"
"""What comes before the path in the name of such a data set."""

_SPLITS = ("train", "test")


def load_npz(name: str, folders: Folders) -> Dataset:
    """The data set in the archive at `PATH`, for a name `npz:PATH`; a leading `~` is expanded.

    | array | content |
    |---|---|
    | `train_inputs`, `test_inputs` (or `train_images`, `test_images`) | `[M, height, width, channels]`, `[M, height, width]` (one channel is added) or any other `[M, ...]`; uint8, or finite floats, which become float32 (float64 is rounded) |
    | `train_labels`, `test_labels` | `[M]` integers in 0..K-1 |
    | `class_names` | optional, K texts; without it K is one more than the largest label and the names are the numbers |
    | `train_ids`, `test_ids` | optional, `[M]` different integers or texts; else the position |

    Other arrays are ignored. No folder is used.

    Raises:
        ValueError: if the file is no such archive; the line says which array is wrong and how.
    """  # noqa: E501
    path = Path(name.removeprefix(NPZ_PREFIX)).expanduser()
    arrays = _read(name, path)
    inputs = {split: _inputs(name, arrays, split) for split in _SPLITS}
    if inputs["train"].dtype != inputs["test"].dtype:
        raise ValueError(
            f"{name}: train and test inputs must both be uint8 or both be floats, "
            f"got {inputs['train'].dtype} and {inputs['test'].dtype}"
        )
    labels = {split: _labels(name, arrays, split, len(inputs[split])) for split in _SPLITS}
    class_names = _class_names(name, arrays, labels)
    for split in _SPLITS:
        wrong = labels[split] >= len(class_names)
        if wrong.any():
            raise ValueError(
                f"{name}: {split}_labels must lie in 0..{len(class_names) - 1}, as there are "
                f"{len(class_names)} class_names, got {labels[split][wrong][0]}"
            )
    splits = {
        split: Split(
            inputs[split],
            labels[split].astype(np.int32),
            _ids(name, arrays, split, len(inputs[split])),
        )
        for split in _SPLITS
    }
    return Dataset(name, splits["train"], splits["test"], class_names)


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


def _array(name: str, arrays: Mapping[str, np.ndarray], *keys: str) -> tuple[str, np.ndarray]:
    """The one array that is there under one of the keys, with its key."""
    found = [key for key in keys if key in arrays]
    if len(found) != 1:
        problem = "lacks the array" if not found else "must hold only one of the arrays"
        raise ValueError(
            f"{name} {problem} {' or '.join(keys)}; it holds {', '.join(arrays) or 'nothing'}"
        )
    return found[0], arrays[found[0]]


def _inputs(name: str, arrays: Mapping[str, np.ndarray], split: str) -> np.ndarray:
    """The inputs of a split as uint8 or float32, images with a channel axis."""
    key, inputs = _array(name, arrays, f"{split}_inputs", f"{split}_images")
    if inputs.ndim < 2 or inputs.size == 0:
        raise ValueError(
            f"{name}: {key} must be a non-empty [M, ...], got the shape {inputs.shape}"
        )
    if inputs.dtype.kind == "f" and inputs.dtype.itemsize <= 8:
        # A float64 beyond float32's range becomes infinite, and is reported as such below.
        with np.errstate(over="ignore"):
            inputs = inputs.astype(np.float32)
        infinite = len(inputs) - np.isfinite(inputs).reshape(len(inputs), -1).all(axis=1).sum()
        if infinite:
            raise ValueError(
                f"{name}: {key} must be finite as float32, got NaN or infinity in {infinite} of "
                f"{len(inputs)} examples"
            )
    elif inputs.dtype != np.uint8:
        raise ValueError(
            f"{name}: {key} must be uint8 (0..255), float16, float32 or float64, got {inputs.dtype}"
        )
    return inputs[..., None] if inputs.ndim == 3 else inputs


def _labels(name: str, arrays: Mapping[str, np.ndarray], split: str, size: int) -> np.ndarray:
    """The labels of a split, in their own type."""
    key, labels = _array(name, arrays, f"{split}_labels")
    _check_length(name, key, labels, size)
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{name}: {key} must be integers, got {labels.dtype}")
    if labels.min() < 0:
        raise ValueError(f"{name}: {key} must not be negative, got {labels.min()}")
    return labels


def _class_names(
    name: str, arrays: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> tuple[str, ...]:
    """The archive's class names, else the numbers up to the largest label."""
    if "class_names" not in arrays:
        largest = max(int(labels[split].max()) for split in _SPLITS)
        examples = sum(map(len, labels.values()))
        # Such labels are codes of another kind, and as many classes would exhaust the memory.
        if largest >= examples:
            raise ValueError(
                f"{name}: labels must be numbered from 0 without large gaps, or class_names be "
                f"given: got the label {largest} among {examples} examples"
            )
        return tuple(str(label) for label in range(largest + 1))
    names = arrays["class_names"]
    if names.ndim != 1 or names.size == 0 or names.dtype.kind != "U":
        raise ValueError(
            f"{name}: class_names must be a non-empty list of texts, got {names.dtype} of the "
            f"shape {names.shape}"
        )
    return tuple(names.tolist())


def _ids(name: str, arrays: Mapping[str, np.ndarray], split: str, size: int) -> np.ndarray:
    """The archive's ids of a split, else the positions."""
    key = f"{split}_ids"
    if key not in arrays:
        return np.arange(size)
    ids = arrays[key]
    _check_length(name, key, ids, size)
    if ids.dtype.kind not in "iuU":
        raise ValueError(f"{name}: {key} must be integers or texts, got {ids.dtype}")
    values, counts = np.unique(ids, return_counts=True)
    if len(values) != size:
        raise ValueError(f"{name}: {key} must all differ, got {values[counts > 1][0]} repeatedly")
    return ids if ids.dtype.kind == "U" else ids.astype(np.int64)


def _check_length(name: str, key: str, array: np.ndarray, size: int) -> None:
    """An error unless the array is `[size]`."""
    if array.shape != (size,):
        raise ValueError(
            f"{name}: {key} must have one value per example, [{size}], got the shape {array.shape}"
        )

"""`examples.npz`: the id and the label, if any, of every example, in the order of the axis M.

Where it is known what the examples of a split really are, also that: `true_labels_SPLIT`, `[M]`.

Where members are not all trained on the whole training set with its own labels, also what each is
trained on: `train_mask`, packed bits `[N, ceil(M / 8)]`, and `train_labels`, `[N, M]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, Shaped

from ensemble_jax.runs.files import names_in_npz, read_npz
from ensemble_jax.runs.layout import EXAMPLES
from ensemble_jax.runs.manifest import DataSummary, Manifest
from ensemble_jax.runs.packing import pack_correct, unpack_correct

TRAIN = "train"
UNKNOWN = -1
"""The true label of an example of which none is known, or that is of none of the K classes."""
_MASK, _LABELS = "train_mask", "train_labels"
# What they are called in runs of format 4 and older.
_OLD_NAMES = {_MASK: "trained_on", _LABELS: "taught_labels"}


@runtime_checkable
class NamedExamples(Protocol):
    """Anything that knows its examples' ids, as `ensemble_jax.data.Probe` does."""

    @property
    def ids(self) -> Shaped[np.ndarray, " M"]:
        """`[M]` integers or text, unique within a split or probe."""
        ...


@runtime_checkable
class LabelledExamples(NamedExamples, Protocol):
    """Anything that knows its examples' labels too, as `ensemble_jax.data.Split` does.

    It may also have `true_labels`, see `ExampleTable`, or None.
    """

    @property
    def labels(self) -> Int[np.ndarray, " M"]:
        """`[M]`, in 0..K-1."""
        ...


def example_arrays(
    splits: Mapping[str, LabelledExamples], probes: Mapping[str, NamedExamples], data: DataSummary
) -> dict[str, Shaped[np.ndarray, " M"]]:
    """The arrays by the names they are written under, checked.

    Raises:
        ValueError: if the splits, the probes or their sizes are not those of the data set, a label
            lies outside 0..K-1, or the ids are neither integers nor text or not unique.
    """
    sizes = {split: len(examples.labels) for split, examples in splits.items()}
    sizes |= {probe: len(examples.ids) for probe, examples in probes.items()}
    if sizes != data.sizes or list(splits) != list(data.split_sizes):
        raise ValueError(f"examples must be those of the data set, {data.sizes}, got {sizes}")
    arrays = {}
    for split, examples in splits.items():
        arrays[f"labels_{split}"] = _checked(examples.labels, f"labels of {split}", data)
        true_labels = getattr(examples, "true_labels", None)
        if true_labels is not None:
            checked = _checked(true_labels, f"true labels of {split}", data, least=UNKNOWN)
            if len(checked) != sizes[split]:
                raise ValueError(
                    f"true labels of {split} must be one for each of its {sizes[split]} examples, "
                    f"got {len(checked)}"
                )
            arrays[f"true_labels_{split}"] = checked
    for name, examples in {**splits, **probes}.items():
        ids = np.asarray(examples.ids)
        if ids.dtype.kind not in "iuU":
            raise ValueError(f"ids of {name} must be integers or text, got {ids.dtype}")
        if ids.shape != (sizes[name],) or len(np.unique(ids)) < len(ids):
            raise ValueError(f"ids of {name} must be one for each of its {sizes[name]} examples")
        arrays[f"ids_{name}"] = ids
    return arrays


def _checked(labels, what, data, least=0):
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.min() < least or labels.max() >= data.num_classes:
        raise ValueError(
            f"{what} must be integers in {least}..{data.num_classes - 1}, "
            f"got {labels.dtype} in {labels.min()}..{labels.max()}"
        )
    return labels.astype(np.int32)


class ExampleTable(NamedTuple):
    """What is known of the examples of a run.

    Attributes:
        labels: `[M]` int32, in 0..K-1, by split.
        ids: `[M]` integers or text by split and probe.
        true_labels: `[M]` int32, in 0..K-1 or `UNKNOWN`, for the splits whose labels may be wrong
            and where it is known what is right.
    """

    labels: Mapping[str, Int[np.ndarray, " M"]]
    ids: Mapping[str, Shaped[np.ndarray, " M"]]
    true_labels: Mapping[str, Int[np.ndarray, " M"]]


def read_examples(directory: Path, data: DataSummary) -> ExampleTable:
    """Read what is known of the examples.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is damaged or has not the sizes of the data set.
    """
    path = directory / EXAMPLES
    there = names_in_npz(path)
    known = {s: size for s, size in data.split_sizes.items() if f"true_labels_{s}" in there}
    table = ExampleTable(
        dict(_read(path, "labels", data.split_sizes)),
        dict(_read(path, "ids", data.sizes)),
        dict(_read(path, "true_labels", known)),
    )
    for split, labels in table.labels.items():
        _check_labels(path, labels, f"labels of {split}", 0, data)
    for split, labels in table.true_labels.items():
        _check_labels(path, labels, f"true labels of {split}", UNKNOWN, data)
    for name, ids in table.ids.items():
        if ids.dtype.kind not in "iuU":
            raise ValueError(f"{path} does not belong to its run: ids of {name} are {ids.dtype}")
    return table


def _check_labels(path: Path, labels: np.ndarray, what: str, least: int, data: DataSummary) -> None:
    if labels.dtype.kind not in "iu" or labels.min() < least or labels.max() >= data.num_classes:
        raise ValueError(
            f"{path} does not belong to its run: {what} must be integers in "
            f"{least}..{data.num_classes - 1}, got {labels.dtype}"
        )


def _read(
    path: Path, quantity: str, sizes: Mapping[str, int]
) -> Iterator[tuple[str, Shaped[np.ndarray, " M"]]]:
    """A quantity of each split or probe, by its name."""
    arrays = read_npz(path, [f"{quantity}_{name}" for name in sizes])
    for (name, size), array in zip(sizes.items(), arrays, strict=True):
        if array.shape != (size,):
            raise ValueError(
                f"{path} does not belong to its run: {name} must have [{size}] {quantity}, "
                f"got {list(array.shape)}"
            )
        yield name, array


@dataclass(frozen=True, eq=False)
class TrainingSets:
    """What each of N members is trained on, of the M examples of the split `train`.

    Attributes:
        train_mask: `[N, M]`, whether a member is trained on an example.
        train_labels: `[N, M]`, its labels in training; None for those of the data set.
    """

    train_mask: Bool[np.ndarray, "N M"]
    train_labels: Int[np.ndarray, "N M"] | None = None


def training_set_arrays(sets: TrainingSets, manifest: Manifest) -> dict[str, np.ndarray]:
    """The arrays by the names they are written under, checked.

    Raises:
        ValueError: if the shapes or values are not those of the manifest's members and examples.
    """
    shape = (manifest.num_members, manifest.data.split_sizes[TRAIN])
    if sets.train_mask.shape != shape or sets.train_mask.dtype != bool:
        raise ValueError(
            f"train_mask must be bool {list(shape)}, "
            f"got {sets.train_mask.dtype} {list(sets.train_mask.shape)}"
        )
    arrays = {_MASK: pack_correct(sets.train_mask)}
    labels = sets.train_labels
    if labels is not None:
        num_classes = manifest.data.num_classes
        if labels.shape != shape or labels.min() < 0 or labels.max() >= num_classes:
            raise ValueError(
                f"train_labels must be {list(shape)} in 0..{num_classes - 1}, "
                f"got {list(labels.shape)} in {labels.min()}..{labels.max()}"
            )
        arrays[_LABELS] = labels.astype(np.min_scalar_type(num_classes - 1))
    return arrays


def read_training_sets(directory: Path, manifest: Manifest) -> TrainingSets | None:
    """Read what each member is trained on; None if that is the whole split with its own labels.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is damaged or is not that of the manifest.
    """
    path = directory / EXAMPLES
    there = names_in_npz(path)
    names = [n for name, old in _OLD_NAMES.items() for n in (name, old) if n in there]
    if not names:
        return None
    size = manifest.data.split_sizes[TRAIN]
    bits, *labels = read_npz(path, names)
    expected = [(manifest.num_members, -(-size // 8)), (manifest.num_members, size)]
    if any(x.shape != shape for x, shape in zip((bits, *labels), expected, strict=False)):
        raise ValueError(
            f"{path} does not belong to its run: what members are trained on must be "
            f"{list(expected[1])}"
        )
    if bits.dtype != np.uint8:
        raise ValueError(f"{path} does not belong to its run: it has no packed bits")
    for of_members in labels:
        _check_labels(path, of_members, "labels of members", 0, manifest.data)
    return TrainingSets(unpack_correct(bits, size), labels[0].astype(np.int32) if labels else None)

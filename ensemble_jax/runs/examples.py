"""`examples.npz`: the label and the id of every example, in the order of the axis M."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped

from ensemble_jax.runs.files import read_npz
from ensemble_jax.runs.layout import EXAMPLES
from ensemble_jax.runs.manifest import DataSummary


@runtime_checkable
class Examples(Protocol):
    """Anything that knows its examples' labels and ids, as `ensemble_jax.data.Split` does."""

    @property
    def labels(self) -> Int[np.ndarray, " M"]:
        """`[M]`, in 0..K-1."""
        ...

    @property
    def ids(self) -> Shaped[np.ndarray, " M"]:
        """`[M]` integers or text, unique within a split."""
        ...


def example_arrays(
    splits: Mapping[str, Examples], data: DataSummary
) -> dict[str, Shaped[np.ndarray, " M"]]:
    """The arrays by the names they are written under, checked.

    Raises:
        ValueError: if the splits or their sizes are not those of the data set, a label lies outside
            0..K-1, or the ids are neither integers nor text or not unique.
    """
    sizes = {split: len(examples.labels) for split, examples in splits.items()}
    if sizes != dict(data.split_sizes):
        raise ValueError(
            f"examples must be those of the data set, {dict(data.split_sizes)}, got {sizes}"
        )
    arrays = {}
    for split, examples in splits.items():
        labels, ids = np.asarray(examples.labels), np.asarray(examples.ids)
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= data.num_classes:
            raise ValueError(
                f"labels of {split} must be integers in 0..{data.num_classes - 1}, "
                f"got {labels.dtype} in {labels.min()}..{labels.max()}"
            )
        if ids.dtype.kind not in "iuU":
            raise ValueError(f"ids of {split} must be integers or text, got {ids.dtype}")
        if not ids.shape == labels.shape == (sizes[split],) or len(np.unique(ids)) < len(ids):
            raise ValueError(f"ids of {split} must be one for each of its {len(labels)} examples")
        arrays |= {f"labels_{split}": labels.astype(np.int32), f"ids_{split}": ids}
    return arrays


def read_examples(
    directory: Path, data: DataSummary
) -> tuple[dict[str, Int[np.ndarray, " M"]], dict[str, Shaped[np.ndarray, " M"]]]:
    """Read the labels and the ids of each split.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is damaged or has not the sizes of the data set.
    """
    path = directory / EXAMPLES
    labels, ids = {}, {}
    for split, size in data.split_sizes.items():
        labels[split], ids[split] = read_npz(path, (f"labels_{split}", f"ids_{split}"))
        if not labels[split].shape == ids[split].shape == (size,):
            raise ValueError(
                f"{path} does not belong to its run: {split} must have [{size}] labels and ids, "
                f"got {list(labels[split].shape)} and {list(ids[split].shape)}"
            )
    return labels, ids

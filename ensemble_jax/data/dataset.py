"""The one type that every data source ends in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped


@dataclass(frozen=True)
class Split:
    """Labelled examples.

    Attributes:
        inputs: `[M, ...]`, images as `[M, height, width, channels]`; uint8 (0..255) or float32.
        labels: `[M]` int32, in 0..K-1.
        ids: `[M]`, what names an example wherever it appears: the data set's own id where it has
            one (text), else its position in the source (integers). Unique within a split.
    """

    inputs: Shaped[np.ndarray, "M ..."]
    labels: Int[np.ndarray, " M"]
    ids: Shaped[np.ndarray, " M"]

    def __post_init__(self) -> None:
        if not len(self.inputs) == len(self.labels) == len(self.ids):
            raise ValueError(
                f"inputs, labels and ids must have one entry per example, got "
                f"{len(self.inputs)}, {len(self.labels)} and {len(self.ids)}"
            )

    def __len__(self) -> int:
        """The number of examples, M."""
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A train and a test split of the same K classes.

    Attributes:
        name: what the user asked for, for example `small_mammals`.
        train: what members are trained on.
        test: what they never see.
        class_names: one name for each label, in the order of the labels.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for split_name, split in self.splits.items():
            outside = (split.labels < 0) | (split.labels >= self.num_classes)
            if outside.any():
                raise ValueError(
                    f"{self.name}: {split_name} labels must lie in 0..{self.num_classes - 1}, "
                    f"got {split.labels[outside][0]}"
                )
        if self.train.inputs.shape[1:] != self.test.inputs.shape[1:]:
            raise ValueError(
                f"{self.name}: train and test examples must have one shape, got "
                f"{self.train.inputs.shape[1:]} and {self.test.inputs.shape[1:]}"
            )

    @property
    def splits(self) -> Mapping[str, Split]:
        """The splits by name, in the order in which they are evaluated and written."""
        return {"train": self.train, "test": self.test}

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.train.inputs.shape[1:]

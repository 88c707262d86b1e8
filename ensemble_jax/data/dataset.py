"""The one type that every data source ends in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Shaped


@dataclass(frozen=True)
class Split:
    """Labelled examples.

    Attributes:
        inputs: `[M, ...]`, images as `[M, height, width, channels]`, uint8 (0..255) or float32;
            texts as `[M, L]` int32 ids of words, 0 after the last.
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
        word_vectors: for texts, `[V, D]`: what the ids in the inputs stand for, as an embedding
            that is not trained; row 0, the padding, is zeros. None for everything else. Inputs of
            texts are ids and are not to be normalised.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    word_vectors: Float32[np.ndarray, "V D"] | None = None

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
        if self.word_vectors is not None:
            self._check_texts(self.word_vectors)

    def _check_texts(self, word_vectors: Float32[np.ndarray, "V D"]) -> None:
        if word_vectors.dtype != np.float32 or word_vectors.ndim != 2 or word_vectors[0].any():
            raise ValueError(
                f"{self.name}: word_vectors must be float32 [V, D] with zeros in row 0, got "
                f"{word_vectors.dtype} of the shape {word_vectors.shape}"
            )
        for split_name, split in self.splits.items():
            ids = split.inputs
            if ids.dtype != np.int32 or ids.ndim != 2:
                raise ValueError(
                    f"{self.name}: {split_name} inputs with word_vectors must be int32 [M, L], got "
                    f"{ids.dtype} of the shape {ids.shape}"
                )
            outside = (ids < 0) | (ids >= len(word_vectors))
            if outside.any():
                raise ValueError(
                    f"{self.name}: {split_name} inputs must lie in 0..{len(word_vectors) - 1}, the "
                    f"rows of word_vectors, got {ids[outside][0]}"
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

"""The one type that every data source ends in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int, Shaped

from ensemble_jax.data.stored import Inputs, as_array

# What can be a part of the names of files, of arrays and of the columns of tables.
_PROBE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# The splits, and the row of the simulated classifiers in figures.
_TAKEN_NAMES = ("train", "test", "independent")


@dataclass(frozen=True)
class Split:
    """Labelled examples.

    Attributes:
        inputs: `[M, ...]`, images as `[M, height, width, channels]`, uint8 (0..255) or float32;
            texts as `[M, L]` int32 ids of words, 0 after the last. An array, or `StoredInputs`
            where the images are read from disk when they are needed.
        labels: `[M]` int32, in 0..K-1.
        ids: `[M]`, what names an example wherever it appears: the data set's own id where it has
            one (text), else its position in the source (integers). Unique within a split.
    """

    inputs: Inputs
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
class Probe:
    """Examples without labels, which are only evaluated.

    Attributes:
        inputs: `[M, ...]`, of the shape and type of the data set's own.
        ids: `[M]`, what names an example: texts or integers, unique within the probe.
    """

    inputs: Shaped[np.ndarray, "M ..."]
    ids: Shaped[np.ndarray, " M"]

    def __post_init__(self) -> None:
        if not len(self.inputs) == len(self.ids) > 0:
            raise ValueError(
                f"inputs and ids of a probe must have one entry per example, at least one, got "
                f"{len(self.inputs)} and {len(self.ids)}"
            )

    def __len__(self) -> int:
        """The number of examples, M."""
        return len(self.ids)


@dataclass(frozen=True)
class Dataset:
    """A train and a test split of the same K classes, and probes of the members trained on them.

    Attributes:
        name: what the user asked for, for example `small_mammals`.
        train: what members are trained on.
        test: what they never see.
        class_names: one name for each label, in the order of the labels.
        word_vectors: for texts, `[V, D]`: what the ids in the inputs stand for, as an embedding
            that is not trained; row 0, the padding, is zeros. None for everything else. Inputs of
            texts are ids and are not to be normalised.
        words: for texts, the word that each of the V ids stands for; empty for everything else.
        probes: what is only evaluated, by a name of letters, digits, `_`, `-` and `.`.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    word_vectors: Float32[np.ndarray, "V D"] | None = None
    words: Sequence[str] = ()
    probes: Mapping[str, Probe] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_encodable("class_names", self.class_names)
        for split_name, split in self.splits.items():
            self._check_encodable(f"{split_name} ids", split.ids)
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
        for probe_name, probe in self.probes.items():
            self._check_probe(probe_name, probe)

    def _check_encodable(self, what: str, names: Sequence[str] | Shaped[np.ndarray, " M"]) -> None:
        """Names of files need not be text that can be written, and everything here is written."""
        if isinstance(names, np.ndarray):
            names = names.tolist() if names.dtype.kind == "U" else ()
        try:
            "".join(names).encode()
        except UnicodeEncodeError as error:
            wrong = next(name for name in names if error.object[error.start] in name)
            raise ValueError(
                f"{self.name}: {what} must be of characters that UTF-8 has, got {wrong!r}"
            ) from None

    def _check_texts(self, word_vectors: Float32[np.ndarray, "V D"]) -> None:
        if word_vectors.dtype != np.float32 or word_vectors.ndim != 2 or word_vectors[0].any():
            raise ValueError(
                f"{self.name}: word_vectors must be float32 [V, D] with zeros in row 0, got "
                f"{word_vectors.dtype} of the shape {word_vectors.shape}"
            )
        if self.words and len(self.words) != len(word_vectors):
            raise ValueError(
                f"{self.name}: words must be those of the {len(word_vectors)} word_vectors, "
                f"got {len(self.words)}"
            )
        for split_name, split in self.splits.items():
            ids = as_array(split.inputs)
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

    def _check_probe(self, name: str, probe: Probe) -> None:
        check_probe_name(name)
        self._check_encodable(f"{name} ids", probe.ids)
        own, other = self.train.inputs, probe.inputs
        if (own.shape[1:], own.dtype) != (other.shape[1:], other.dtype):
            raise ValueError(
                f"{self.name}: the examples of the probe {name} must be "
                f"{own.dtype} {list(own.shape[1:])} as those of the train split are, "
                f"got {other.dtype} {list(other.shape[1:])}"
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

    @property
    def num_bytes(self) -> int:
        """What all examples, with int32 labels, take in the memory of a device."""
        inputs = [examples.inputs for examples in (*self.splits.values(), *self.probes.values())]
        return sum(array.nbytes for array in inputs) + 4 * (len(self.train) + len(self.test))


def check_probe_name(name: str) -> None:
    """Raises ValueError unless a probe can have the name.

    >>> check_probe_name("indoor-scenes_2")
    >>> check_probe_name("../noise")
    Traceback (most recent call last):
    ...
    ValueError: the name of a probe must be of letters, digits, '_', '-' and '.', got '../noise'
    """
    if not _PROBE_NAME.fullmatch(name):
        raise ValueError(
            f"the name of a probe must be of letters, digits, '_', '-' and '.', got {name!r}"
        )
    if name in _TAKEN_NAMES:
        raise ValueError(
            f"a probe must not be called {name!r}, as it is the name of something else"
        )

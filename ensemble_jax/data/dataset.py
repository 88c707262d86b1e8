"""The one type that every data source ends in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Shaped

from ensemble_jax.data.digests import digest_of_array, digest_of_inputs, digest_of_names
from ensemble_jax.data.folders import expanded
from ensemble_jax.data.meaning import summary, warn_of_meaning
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
        true_labels: `[M]` int32, what each example really is where `labels` may be wrong, in
            0..K-1 or -1 for none of the K classes; None where nothing is known. Nothing is trained
            on them: they are for judging what finds wrong labels.
    """

    inputs: Inputs
    labels: Int[np.ndarray, " M"]
    ids: Shaped[np.ndarray, " M"]
    true_labels: Int[np.ndarray, " M"] | None = None

    def __post_init__(self) -> None:
        if not len(self.inputs) == len(self.labels) == len(self.ids):
            raise ValueError(
                f"inputs, labels and ids must have one entry per example, got "
                f"{len(self.inputs)}, {len(self.labels)} and {len(self.ids)}"
            )
        if self.true_labels is not None and len(self.true_labels) != len(self.labels):
            raise ValueError(
                f"true_labels must have one entry per example, {len(self.labels)}, got "
                f"{len(self.true_labels)}"
            )

    def select(self, rows: Int[np.ndarray, " m"]) -> Split:
        """The examples at some positions, in that order; inputs in memory are copied."""
        true_labels = None if self.true_labels is None else self.true_labels[rows]
        return Split(self.inputs[rows], self.labels[rows], self.ids[rows], true_labels)

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

    `load_dataset` makes one of a name, the methods `from_...` make one of a user's own objects; all
    warn of what can hardly be meant, see `check_meaning`.

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
        notes: what its loader says of it, such as how many files it passed over; for `summary`.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    word_vectors: Float32[np.ndarray, "V D"] | None = None
    words: Sequence[str] = ()
    probes: Mapping[str, Probe] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_arrays(
        cls,
        *,
        train: tuple[Any, Any],
        test: tuple[Any, Any],
        name: str = "arrays",
        class_names: Sequence[str] | None = None,
        train_ids: Any = None,
        test_ids: Any = None,
        train_true_labels: Any = None,
    ) -> Dataset:
        """The data set of arrays in memory: NumPy's, JAX's, torch's on the CPU, lists.

        The shape `[M, ...]` of the inputs is what a network gets: images are
        `[M, height, width, channels]`, and grey ones need the axis of channels, too. Arrays of the
        right type are not copied, and must not be changed afterwards.

        | inputs | become |
        |---|---|
        | uint8 | stay, 0..255 |
        | floats (16, 32, 64 bits) | float32; they must be finite |
        | other integers, `[M, F]` | float32 |
        | other integers, more axes | uint8; they must lie in 0..255 |
        | truths, complex numbers, texts | refused |

        Args:
            train: inputs `[M, ...]` and labels `[M]`: integers 0..K-1, or texts. Floats are
                refused even where they are whole.
            test: the same of what is not trained on; examples of the same shape and type.
            name: what runs, figures and messages call the set.
            class_names: K names, for integer labels in the order of the labels; by default the
                numbers 0..K-1 for the largest label K-1, or the sorted train labels that are texts.
            train_ids: `[M]` different integers (less than 2^63) or texts that name the train
                examples; by default their positions.
            test_ids: the same for the test examples.
            train_true_labels: `[M]`, what the train examples really are where their labels may be
                wrong, of the same kind as those; see `Split.true_labels`.

        Raises:
            ValueError: if something is not so, there is only one class, a class has no train
                examples and `class_names` are not given, images have their channels first, or
                labels that are texts are one number in two forms, or numbers and missing values.

        >>> x, y = np.eye(4), ["cat", "dog", "dog", "cat"]
        >>> pets = Dataset.from_arrays(train=(x, y), test=(x[:2] + 1, y[:2]))
        >>> pets.class_names, pets.train.labels.tolist(), pets.input_shape
        (('cat', 'dog'), [0, 1, 1, 0], (4,))
        """
        from ensemble_jax.data.arrays import from_arrays

        pairs = _pairs(name, train, test)
        dataset = from_arrays(
            name,
            {split: inputs for split, (inputs, _) in pairs.items()},
            {split: labels for split, (_, labels) in pairs.items()},
            {"train": train_ids, "test": test_ids},
            class_names,
            train_true_labels,
        )
        return warn_of_meaning(dataset)

    @classmethod
    def from_tfds(cls, name: str, *, data_dir: str | Path | None = None) -> Dataset:
        """A set that tensorflow-datasets has prepared in `data_dir`; TensorFlow is not needed.

        Args:
            name: `mnist`, `fashion_mnist`, `cifar10`, `cifar100`, `imagenet2012`, or a part of
                one: `cats_and_dogs`, `small_mammals`, ... (see `load_dataset`).
            data_dir: by default `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

        Raises:
            ValueError: if the name is another, or the set is not prepared; the line says how to.
        """
        from ensemble_jax.data.sources import load_dataset, prepared_names

        if name not in prepared_names():
            raise ValueError(f"name must be one of {', '.join(prepared_names())}; got {name!r}")
        return load_dataset(name, data_dir=data_dir)

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        *,
        size: int | None = 64,
        channels: int | None = None,
        skip_broken: bool = False,
        cache_dir: str | Path | None = None,
    ) -> Dataset:
        """The images below `PATH/CLASS/` or `PATH/train/CLASS/` and `PATH/test/CLASS/`.

        `class_folders.load_folder` tells of layouts, of the split, and of what images become.

        Args:
            path: the folder; a leading `~` is expanded.
            size: the largest centred square is resized to so many pixels; None keeps the size that
                all images must then have.
            channels: 1 for grey, 3 for red, green, blue; None is 1 if all images are grey, else 3.
            skip_broken: whether images that cannot be decoded are left out, with a warning.
            cache_dir: where decoded images are kept; by default as of `load_dataset`.

        Raises:
            ValueError: if the folder is not laid out so, or an image is broken.
        """
        from ensemble_jax.data.class_folders import FOLDER_PREFIX, from_folder
        from ensemble_jax.data.folders import resolve_folders
        from ensemble_jax.data.image_files import ImageSpec

        form = ImageSpec(
            None if size is None else (size, size),
            channels,
            skip_broken,
            "mend or remove it, or leave such out by skip_broken=True",
        )
        folder = expanded(path)
        folders = resolve_folders(None, cache_dir)
        return warn_of_meaning(from_folder(f"{FOLDER_PREFIX}{path}", folder, form, folders))

    @classmethod
    def from_huggingface(
        cls,
        train: Any,
        test: Any,
        *,
        input: str = "image",
        label: str = "label",
        word_vectors: str | Path | None = None,
        name: str = "huggingface",
    ) -> Dataset:
        """The data set of two tables of Hugging Face's package `datasets`, read once.

        Images of one size become uint8 `[M, height, width, channels]`, grey if all of both tables
        are; columns of numbers become arrays as `from_arrays` says; texts become ids of words as
        `text.load_tsv` says.

        Args:
            train: a `datasets.Dataset`.
            test: another one with the same columns.
            input: the column of the inputs.
            label: the column of the labels: a `ClassLabel`, which has class names, integers 0..K-1,
                or texts.
            word_vectors: a file of word vectors in GloVe's text format, for texts and only for
                them.
            name: what runs, figures and messages call the set.

        Raises:
            ValueError: if something is not so, or as of `from_arrays`.
        """
        from ensemble_jax.data.objects import from_huggingface

        vectors = expanded(word_vectors) if word_vectors else None
        tables = {"train": train, "test": test}
        return warn_of_meaning(from_huggingface(name, tables, input, label, vectors))

    @classmethod
    def from_torch(cls, train: Any, test: Any, *, name: str = "torch") -> Dataset:
        """The data set of two map-style sets: `len(train)`, and `train[i]` is `(input, label)`.

        Each example is read once, so that random transforms are drawn once. Inputs are images of
        Pillow's, NumPy arrays or tensors on the CPU. Channels must come last: where examples have
        three axes of which the first is 1, 3 or 4 long and the last is not, as tensors of images
        do, the first becomes the last. All else is as of `from_arrays`. Class names are
        `train.classes` if there are any.

        Raises:
            ValueError: if an example is no such pair, or examples differ in shape or type, or as
                of `from_arrays`.
        """
        from ensemble_jax.data.objects import from_torch

        return warn_of_meaning(from_torch(name, {"train": train, "test": test}))

    @classmethod
    def from_texts(
        cls,
        *,
        train: tuple[Sequence[str], Any],
        test: tuple[Sequence[str], Any],
        word_vectors: str | Path,
        class_names: Sequence[str] | None = None,
        train_true_labels: Any = None,
        characters: bool = False,
        name: str = "texts",
    ) -> Dataset:
        """The data set of texts, as ids of words int32 `[M, L]`, as `text.load_tsv` says.

        Args:
            train: texts and labels, which are integers 0..K-1 or texts.
            test: the same of what is not trained on.
            word_vectors: a file of word vectors in GloVe's text format.
            class_names: as of `from_arrays`.
            train_true_labels: as of `from_arrays`.
            characters: whether each character is a word, for scripts without blanks between words.
            name: what runs, figures and messages call the set.

        Raises:
            ValueError: if the vectors cannot be read, or as of `from_arrays`.
        """
        from ensemble_jax.data.text import from_texts

        pairs = _pairs(name, train, test)
        dataset = from_texts(
            name,
            {split: texts for split, (texts, _) in pairs.items()},
            {split: labels for split, (_, labels) in pairs.items()},
            expanded(word_vectors),
            class_names=class_names,
            train_true_labels=train_true_labels,
            characters=characters,
        )
        return warn_of_meaning(dataset)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        text: str | int,
        label: str | int,
        word_vectors: str | Path,
        true_label: str | int | None = None,
        delimiter: str = ",",
        encoding: str = "utf-8",
        header: bool = True,
        test: float = 0.2,
        characters: bool = False,
        skip_broken: bool = False,
    ) -> Dataset:
        """The data set of texts in a CSV file, or in two: `PATH_train.csv`, `PATH_test.csv`.

        What becomes of the texts is as `text.load_tsv` says; nothing is taken out of them.

        Args:
            path: the file; a leading `~` is expanded.
            text: the column of the texts: its name, or its number from 1.
            label: the column of the labels.
            word_vectors: a file of word vectors in GloVe's text format.
            true_label: the column of what the texts really are where labels may be wrong; see
                `Split.true_labels`.
            delimiter: one character.
            encoding: any that Python has.
            header: whether the first row names the columns.
            test: the share of each class that is tested on, of a single file; in (0, 1).
            characters: as of `from_texts`.
            skip_broken: whether rows without a text, or with another number of values than the
                first, are left out, with a warning.

        Raises:
            ValueError: if the file is not so, or the vectors cannot be read.
        """
        from ensemble_jax.data.folders import resolve_folders
        from ensemble_jax.data.text import CSV_PREFIX, from_text_files
        from ensemble_jax.data.text_files import TextFormat

        form = TextFormat(
            text=str(text),
            label=str(label),
            true_label=None if true_label is None else str(true_label),
            delimiter=delimiter,
            encoding=encoding,
            header=header,
            test=test,
            characters=characters,
            skip_broken=skip_broken,
        )
        folders = resolve_folders(None, None, word_vectors)
        name, file = f"{CSV_PREFIX}{path}", expanded(path)
        return warn_of_meaning(from_text_files(name, file, form, folders))

    def __post_init__(self) -> None:
        self._check_encodable("class_names", self.class_names)
        for split_name, split in self.splits.items():
            self._check_encodable(f"{split_name} ids", split.ids)
            self._check_labels(f"{split_name} labels", split.labels, least=0)
            if split.true_labels is not None:
                self._check_labels(f"{split_name} true labels", split.true_labels, least=-1)
        if self.train.inputs.shape[1:] != self.test.inputs.shape[1:]:
            raise ValueError(
                f"{self.name}: train and test examples must have one shape, got "
                f"{self.train.inputs.shape[1:]} and {self.test.inputs.shape[1:]}"
            )
        if self.word_vectors is not None:
            self._check_texts(self.word_vectors)
        for probe_name, probe in self.probes.items():
            self._check_probe(probe_name, probe)

    def _check_labels(self, what: str, labels: Int[np.ndarray, " M"], least: int) -> None:
        outside = (labels < least) | (labels >= self.num_classes)
        if outside.any():
            raise ValueError(
                f"{self.name}: {what} must lie in {least}..{self.num_classes - 1}, got "
                f"{labels[outside][0]}"
            )

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

    def summary(self) -> str:
        """One line: numbers of examples, form and range of inputs, classes, and the `notes`.

        >>> from ensemble_jax.data import load_dataset
        >>> load_dataset("digits").summary().split("; ")[:2]
        ['digits: 1438 train and 359 test examples', 'uint8 8x8x1 in 0..240']
        """
        return summary(self)

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """A fingerprint of each thing that training and evaluation read, 32 hex digits.

        | key | of |
        |---|---|
        | `train.inputs`, `train.labels`, `train.ids`, and so for test | the split, as it is after views |
        | `PROBE.inputs`, `PROBE.ids` | each probe |
        | `class_names`; `word_vectors` where there are any | |

        Of arrays, type, shape and all values count (SHA-256). Inputs that are read when they are
        needed are known by their files, and the value begins with `files:`: the names and sizes of
        all, and the first 64 KiB of 256 of them, evenly chosen; where they come from no files it
        begins with `examples:` and 256 of them count, evenly chosen. Computed when it is first
        asked for, 1 GB in about 1.3 s, and kept.
        """  # noqa: E501
        digests = {}
        for split, examples in self.splits.items():
            digests[f"{split}.inputs"] = digest_of_inputs(examples.inputs)
            digests[f"{split}.labels"] = digest_of_array(examples.labels)
            digests[f"{split}.ids"] = digest_of_array(examples.ids)
        for name, probe in self.probes.items():
            digests[f"{name}.inputs"] = digest_of_array(probe.inputs)
            digests[f"{name}.ids"] = digest_of_array(probe.ids)
        digests["class_names"] = digest_of_names(self.class_names)
        if self.word_vectors is not None:
            digests["word_vectors"] = digest_of_array(self.word_vectors)
        return digests

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


def _pairs(name: str, train: Any, test: Any) -> dict[str, tuple[Any, Any]]:
    """Inputs and labels by split."""
    for split, pair in (("train", train), ("test", test)):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(
                f"{name}: {split} must be a pair (inputs, labels), got {type(pair).__name__}"
            )
    return {"train": tuple(train), "test": tuple(test)}


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

"""What a data set looks like in one line, and what in it can hardly be meant."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int, Shaped

from ensemble_jax.data.stored import StoredInputs, as_array
from ensemble_jax.data.wording import first_few
from ensemble_jax.data.words import FIRST_WORD, PADDING, UNKNOWN

if TYPE_CHECKING:
    from ensemble_jax.data.dataset import Dataset, Split

# Scaled to 0..1 in one split and left as 0..255 in the other, ranges differ by 255.
_MOST_RATIO = 10
# Of texts in the language of the vectors a few percent are unknown.
_MOST_UNKNOWN = 0.3
# Few examples agree in so many values of theirs; only those that do are compared in full.
_VALUES_SAMPLED = 32
_ROWS_PER_CHUNK = 1024


def check_meaning(dataset: Dataset) -> list[str]:
    """One line, with a count, for each thing that is possible but rarely what a user means.

    | line | what it may come from |
    |---|---|
    | classes without train examples | labels that count from 1; names of another set |
    | images (examples of two axes or more) of one value everywhere | files that did not load |
    | channels (of images) of one value in all train inputs | transparency that is never used |
    | ranges of train and test inputs that are 10 times apart, or apart altogether | one split scaled and the other not |
    | test examples that are train examples, too, value for value | a split after augmentation; published sets have some as well |
    | words that have no vector of their own, where they are more than 30 % | vectors of another language |
    | features (of float vectors) of one value in all train examples | columns that say nothing |

    Inputs that are not in memory are not looked at. 60,000 images of 32x32x3 take less than 1 s.
    """  # noqa: E501
    lines = []
    counts = _examples_per_class(dataset)
    absent = [dataset.class_names[label] for label in np.flatnonzero(counts == 0)]
    if absent:
        lines.append(
            f"{len(absent)} of {len(counts)} classes have no train examples: {first_few(absent)}"
        )
    train, test = dataset.train.inputs, dataset.test.inputs
    if isinstance(train, StoredInputs) or isinstance(test, StoredInputs):
        return lines
    if not len(train) or not len(test):
        return lines
    if dataset.word_vectors is None:
        lines += _of_numbers(train, test)
    else:
        unknown = _unknown_share(train)
        if unknown > _MOST_UNKNOWN:
            lines.append(f"{unknown:.0%} of the words of the train texts have no vector")
    shared = _count_shared(train, test)
    if shared:
        lines.append(
            f"{shared} of {len(test)} test examples are train examples, too, value for value"
        )
    return lines


def warn_of_meaning(dataset: Dataset) -> Dataset:
    """The data set, after a warning for each line of `check_meaning` at the caller's caller."""
    for line in check_meaning(dataset):
        warnings.warn(f"{dataset.name}: {line}", stacklevel=3)
    return dataset


def summary(dataset: Dataset) -> str:
    """As `Dataset.summary`."""
    train, test = dataset.train, dataset.test
    shape = "x".join(map(str, dataset.input_shape))
    if dataset.word_vectors is not None:
        unknown, unknown_in_test = (
            _unknown_share(as_array(examples.inputs)) for examples in dataset.splits.values()
        )
        form = (
            f"texts of {shape} words, vectors of {len(dataset.word_vectors) - FIRST_WORD} words "
            f"(unknown: {unknown:.1%} of train words, {unknown_in_test:.1%} of test words)"
        )
    elif isinstance(train.inputs, StoredInputs):
        form = f"{train.inputs.dtype} {shape}, read when needed"
    else:
        form = f"{train.inputs.dtype} {shape} in {_in_words(*_range(train.inputs))}"
    counts = _examples_per_class(dataset)
    least = int(counts.argmin())
    parts = [
        f"{len(train)} train and {len(test)} test examples",
        form,
        f"{dataset.num_classes} classes (smallest: {dataset.class_names[least]} with "
        f"{counts[least]} train examples)",
        *(f"probe {name} of {len(probe)}" for name, probe in dataset.probes.items()),
        *dataset.notes,
    ]
    return f"{dataset.name}: {'; '.join(parts)}"


def _unknown_share(ids: Int[np.ndarray, "M L"]) -> float:
    """The share of words that are unknown, 0..1; padding does not count."""
    return float((ids == UNKNOWN).sum() / (ids != PADDING).sum())


def _examples_per_class(dataset: Dataset) -> np.ndarray:
    return np.bincount(dataset.train.labels, minlength=dataset.num_classes)


def _of_numbers(
    train: Shaped[np.ndarray, "M ..."], test: Shaped[np.ndarray, "m ..."]
) -> Iterator[str]:
    """The lines about the values of inputs."""
    if train.ndim > 2:
        constant = _count_constant(train), _count_constant(test)
        if any(constant):
            yield (
                f"{constant[0]} of {len(train)} train and {constant[1]} of {len(test)} test inputs "
                "have one value everywhere"
            )
    if train.ndim == 4 and train.shape[-1] > 1:
        same = [c for c in range(train.shape[-1]) if _is_constant(train[..., c])]
        if 0 < len(same) < train.shape[-1]:
            yield (
                f"{len(same)} of {train.shape[-1]} channels have one value in all train inputs: "
                f"number {', '.join(map(str, same))}, counted from 0"
            )
    own, other = _range(train), _range(test)
    narrow, wide = sorted((own[1] - own[0], other[1] - other[0]))
    if wide > _MOST_RATIO * narrow or own[1] < other[0] or other[1] < own[0]:
        yield (
            f"train inputs lie in {_in_words(*own)} and test inputs in {_in_words(*other)}, so "
            "that they may be scaled differently"
        )
    if train.ndim == 2 and train.dtype.kind == "f":
        constant_features = (train == train[0]).all(axis=0).sum()
        if constant_features:
            yield (
                f"{constant_features} of {train.shape[1]} features have one value in all train "
                "examples"
            )


def _range(inputs: Shaped[np.ndarray, "M ..."]) -> tuple[float, float]:
    return float(inputs.min()), float(inputs.max())


def _in_words(low: float, high: float) -> str:
    return f"{low:g}..{high:g}"


def _sampled(inputs: Shaped[np.ndarray, "M ..."]) -> Shaped[np.ndarray, "M values"]:
    """Some values of each example, evenly from the first to the last."""
    flat = inputs.reshape(len(inputs), -1)
    count = min(flat.shape[1], _VALUES_SAMPLED)
    return flat[:, np.linspace(0, flat.shape[1] - 1, count).astype(np.int64)]


def _count_constant(inputs: Shaped[np.ndarray, "M ..."]) -> int:
    """How many examples have one value everywhere."""
    if inputs[0].size < 2:
        return 0
    some = _sampled(inputs)
    candidates = np.flatnonzero((some == some[:, :1]).all(axis=1))
    count = 0
    for start in range(0, len(candidates), _ROWS_PER_CHUNK):
        rows = candidates[start : start + _ROWS_PER_CHUNK]
        examples = inputs[rows].reshape(len(rows), -1)
        count += int((examples == examples[:, :1]).all(axis=1).sum())
    return count


def _is_constant(values: Shaped[np.ndarray, "M ..."]) -> bool:
    """Whether all values are the same; nearly always the first example says that they are not."""
    first = values[0].flat[0]
    return bool((values[0] == first).all() and (values == first).all())


def relabelled_duplicates(split: Split) -> Bool[np.ndarray, " M"]:
    """Which examples are there with another label, too, value for value.

    `[M]`; none of inputs that are not in memory, which are not looked at.
    """
    if isinstance(split.inputs, StoredInputs):
        return np.zeros(len(split), bool)
    digests = [
        hashlib.blake2b(np.ascontiguousarray(example).tobytes(), digest_size=16).digest()
        for example in split.inputs
    ]
    labels: dict[bytes, set[int]] = {}
    for digest, label in zip(digests, split.labels.tolist(), strict=True):
        labels.setdefault(digest, set()).add(label)
    return np.array([len(labels[digest]) > 1 for digest in digests])


def _count_shared(train: Shaped[np.ndarray, "M ..."], test: Shaped[np.ndarray, "m ..."]) -> int:
    """How many test examples are equal to a train example."""
    some_of_train, some_of_test = (
        [row.tobytes() for row in _sampled(inputs)] for inputs in (train, test)
    )
    candidates = set(some_of_train).intersection(some_of_test)

    def digests(inputs: np.ndarray, some: list[bytes]) -> Iterator[bytes]:
        for example, key in zip(inputs, some, strict=True):
            if key in candidates:
                yield hashlib.blake2b(example.tobytes(), digest_size=16).digest()

    known = set(digests(train, some_of_train))
    return sum(digest in known for digest in digests(test, some_of_test))

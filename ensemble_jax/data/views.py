"""Views: a data set made of another one by changing its labels or leaving examples out.

What is drawn depends on the seed and on the number and order of the examples alone, so that all
members of a run, and runs of one seed, have the same. Labels that are replaced stay as
`Split.true_labels`, unless the data set has those already.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.draws import random_bits, seed_of, stratified_split


def with_random_labels(dataset: Dataset, seed: int) -> Dataset:
    """Every label, of train and test, replaced by a random one: figures 9 and 20 of the paper.

    Each new label is uniform over all K classes, independent of the true one and of all others; so
    a label stays what it was with probability 1 / K. (Of 2^64 equally likely numbers the remainder
    by K is taken: probabilities differ from 1 / K by less than 2^-64.)

    Hacohen, Choshen & Weinshall (2019), appendix C.

    >>> split = Split(np.zeros((6, 1)), np.zeros(6, np.int32), np.arange(6))
    >>> random = with_random_labels(Dataset("zeros", split, split, ("a", "b", "c")), seed=0)
    >>> random.name, random.train.labels.tolist(), random.test.labels.tolist()
    ('zeros, random labels', [0, 2, 0, 2, 0, 1], [2, 2, 2, 0, 0, 2])
    """

    def drawn(name: str, split: Split) -> Split:
        numbers = random_bits(seed_of(f"random labels of {name}", seed), len(split))
        return _relabelled(split, (numbers % np.uint64(dataset.num_classes)).astype(np.int32))

    return replace(
        dataset,
        name=f"{dataset.name}, random labels",
        **{name: drawn(name, split) for name, split in dataset.splits.items()},
    )


def with_label_noise(dataset: Dataset, rate: float, seed: int) -> Dataset:
    """Some train labels replaced by wrong ones (symmetric label noise); test labels stay.

    Exactly `round(rate * M)` of the M train examples, drawn without replacement from all, get a
    label that is uniform over the K - 1 classes other than their own. So the rate is that of wrong
    labels, and at rate 1 every label is wrong. Of two rates with one seed, the examples of the
    higher one include those of the lower one, with the same wrong labels.

    Raises:
        ValueError: if the rate lies outside [0, 1], or there is only one class to choose from.

    >>> split = Split(np.zeros((6, 1)), np.zeros(6, np.int32), np.arange(6))
    >>> noisy = with_label_noise(Dataset("zeros", split, split, ("a", "b", "c")), 0.5, seed=0)
    >>> noisy.name, noisy.train.labels.tolist(), noisy.test.labels.tolist()
    ('zeros, label noise 0.5', [1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0])
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"label_noise must lie in [0, 1], got {rate}")
    if dataset.num_classes < 2:
        raise ValueError(f"label_noise needs at least two classes, {dataset.name} has one")
    train = dataset.train
    chosen_bits, class_bits = random_bits(seed_of("label noise", seed), 2 * len(train)).reshape(
        2, -1
    )
    order = np.argsort(chosen_bits, kind="stable")
    steps = 1 + class_bits % np.uint64(dataset.num_classes - 1)
    chosen = order[: round(rate * len(train))]
    labels = train.labels.copy()
    labels[chosen] = (labels[chosen] + steps[chosen].astype(np.int64)) % dataset.num_classes
    return replace(
        dataset,
        name=f"{dataset.name}, label noise {rate:g}",
        train=_relabelled(train, labels),
    )


def _relabelled(split: Split, labels: Int[np.ndarray, " M"]) -> Split:
    """The examples with other labels."""
    true_labels = split.labels if split.true_labels is None else split.true_labels
    return replace(split, labels=labels, true_labels=true_labels)


def keep_train_fraction(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """A part of the train examples, the same for all members; the test examples stay.

    Stratified: of the M_k train examples of each class k, `round(fraction * M_k)` are kept but at
    least one, drawn without replacement. They keep their order. With one seed, a larger part
    includes every smaller one.

    Raises:
        ValueError: if the fraction lies outside (0, 1].

    >>> split = Split(np.zeros((6, 1)), np.int32([0, 1, 0, 1, 0, 1]), np.arange(6))
    >>> part = keep_train_fraction(Dataset("six", split, split, ("a", "b")), 0.7, seed=0)
    >>> part.name, part.train.ids.tolist(), len(part.test)
    ('six, train fraction 0.7', [0, 1, 4, 5], 6)
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"train_fraction must lie in (0, 1], got {fraction}")
    purpose = seed_of("train fraction", seed)
    _, kept = stratified_split(dataset.train.labels, fraction, purpose)
    return replace(
        dataset,
        name=f"{dataset.name}, train fraction {fraction:g}",
        train=dataset.train.select(np.sort(kept)),
    )

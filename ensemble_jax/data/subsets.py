"""Which training examples and labels each member of a collection is given.

A member's share depends on the run's seed and the member's own number alone, not on how many
members there are: a collection can be grown, split over machines and merged.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from ensemble_jax.data.draws import random_bits, random_order

# What keeps the sources apart from each other, part of the definition of every run.
_PARTS, _SUBSET, _CHOSEN, _LABEL, _FOLDS = range(5)


def partition_indices(seed: int, num_examples: int, num_parts: int) -> list[Int[np.ndarray, " m"]]:
    """P parts of `floor(M / P)` of the examples 0..M-1, drawn at random, each in ascending order.

    All have one size, since members of one collection are trained in steps of one shape; the
    `M % P` examples that are left are in none.

    Source: Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019), figure 22.

    Raises:
        ValueError: if a part would be empty.

    >>> [len(part) for part in partition_indices(seed=0, num_examples=7, num_parts=3)]
    [2, 2, 2]
    """
    if not 1 <= num_parts <= num_examples:
        raise ValueError(
            f"partitions must lie in 1..{num_examples} (the training examples), got {num_parts}"
        )
    size = num_examples // num_parts
    order = random_order((seed, _PARTS), num_examples)[: num_parts * size]
    return [np.sort(part).astype(np.int32) for part in np.split(order, num_parts)]


def subset_indices(
    seed: int, member: int, num_examples: int, fraction: float
) -> Int[np.ndarray, " m"]:
    """A random subset of `subset_size(M, fraction)` of the examples 0..M-1, ascending.

    Raises:
        ValueError: if the fraction is not in (0, 1].

    >>> subset_indices(seed=0, member=3, num_examples=4, fraction=1.0)
    array([0, 1, 2, 3], dtype=int32)
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"subset_fraction must lie in (0, 1], got {fraction}")
    size = subset_size(num_examples, fraction)
    order = random_order((seed, _SUBSET, member), num_examples)
    return np.sort(order[:size]).astype(np.int32)


def fold_indices(
    seed: int, turn: int, fold: int, num_examples: int, num_folds: int
) -> Int[np.ndarray, " m"]:
    """The examples outside one of K folds of a cross-validation, ascending.

    The folds of a turn hold `ceil(M / K)` examples each and hold every example; where K does not
    divide M, the last fold also holds some of the first. So the members of a turn are trained on
    equally many examples, and each example is held out of at least one of them.

    Args:
        seed: of the run.
        turn: which cross-validation; each has folds of its own.
        fold: which is left out, in 0..K-1.
        num_examples: M.
        num_folds: K.

    Raises:
        ValueError: if there are more folds than examples, or fewer than 2.

    >>> [fold_indices(0, turn=0, fold=k, num_examples=5, num_folds=2).size for k in (0, 1)]
    [2, 2]
    """
    if not 2 <= num_folds <= num_examples:
        raise ValueError(
            f"folds must lie in 2..{num_examples} (the training examples), got {num_folds}"
        )
    size = fold_size(num_examples, num_folds)
    order = random_order((seed, _FOLDS, turn), num_examples)
    rest = np.roll(order, -fold * size)[size:]
    return np.sort(rest).astype(np.int32)


def fold_size(num_examples: int, num_folds: int) -> int:
    """The examples that a fold holds, `ceil(M / K)`."""
    return -(-num_examples // num_folds)


def subset_size(num_examples: int, fraction: float) -> int:
    """The examples of a random subset: the nearest number to `fraction * M`, at least 1."""
    return max(1, round(fraction * num_examples))


def noisy_labels(
    seed: int, member: int, labels: Int[np.ndarray, " M"], num_classes: int, rate: float
) -> Int[np.ndarray, " M"]:
    """Labels, each replaced with probability `rate` by one of all K classes, drawn uniformly.

    So `rate * (K - 1) / K` of them are wrong on average; a rate of 1 gives random labels.

    Raises:
        ValueError: if the rate is not in [0, 1].

    >>> noisy_labels(seed=0, member=3, labels=np.array([2, 0]), num_classes=3, rate=0.0)
    array([2, 0], dtype=int32)
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"label noise must lie in [0, 1], got {rate}")
    size = len(labels)
    replaced = random_bits((seed, _CHOSEN, member), size) < np.float64(rate) * 2.0**64
    classes = random_bits((seed, _LABEL, member), size) % np.uint64(num_classes)
    return np.where(replaced, classes, labels).astype(np.int32)

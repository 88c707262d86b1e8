"""Which training examples and labels each member of a collection is given.

A member's share depends on the run's seed and the member's own number alone, not on how many
members there are: a collection can be grown, split over machines and merged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from ensemble_jax.data.draws import random_bits, random_order

# What keeps the sources apart from each other, part of the definition of every run.
_PARTS, _SUBSET, _CHOSEN, _LABEL = range(4)


def partition_indices(seed: int, num_examples: int, num_parts: int) -> list[Int[np.ndarray, " m"]]:
    """The examples 0..M-1 split at random into P parts, each in ascending order.

    The first `M % P` parts have one example more than the others.

    Source: Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019), figure 22.

    Raises:
        ValueError: if a part would be empty.

    >>> [len(part) for part in partition_indices(seed=0, num_examples=7, num_parts=3)]
    [3, 2, 2]
    """
    if not 1 <= num_parts <= num_examples:
        raise ValueError(
            f"partitions must lie in 1..{num_examples} (the training examples), got {num_parts}"
        )
    order = random_order((seed, _PARTS), num_examples)
    return [np.sort(part).astype(np.int32) for part in np.array_split(order, num_parts)]


def subset_indices(
    seed: int, member: int, num_examples: int, fraction: float
) -> Int[np.ndarray, " m"]:
    """A random subset of the examples 0..M-1, `m = round(fraction * M)`, at least 1; ascending.

    Raises:
        ValueError: if the fraction is not in (0, 1].

    >>> subset_indices(seed=0, member=3, num_examples=4, fraction=1.0)
    array([0, 1, 2, 3], dtype=int32)
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"subset_fraction must lie in (0, 1], got {fraction}")
    size = max(1, round(fraction * num_examples))
    order = random_order((seed, _SUBSET, member), num_examples)
    return np.sort(order[:size]).astype(np.int32)


def noisy_labels(
    seed: int, member: int, labels: Int[np.ndarray, " M"], num_classes: int, rate: float
) -> Int[np.ndarray, " M"]:
    """Labels of which each is, with probability `rate`, replaced by one of all K classes at random.

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


def stack_padded(
    subsets: Sequence[Int[np.ndarray, " m"]],
) -> tuple[Int[np.ndarray, "N m"], Int[np.ndarray, " N"]]:
    """The subsets as one array as long as the longest, and their sizes; none may be empty.

    A subset is filled up with its first entry, so that nothing is read that is not in it.

    >>> stack_padded([np.array([4, 7]), np.array([5])])
    (array([[4, 7],
           [5, 5]], dtype=int32), array([2, 1], dtype=int32))
    """
    sizes = np.array([len(subset) for subset in subsets], np.int32)
    indices = np.empty((len(subsets), sizes.max()), np.int32)
    for row, subset in zip(indices, subsets, strict=True):
        row[:] = subset[0]
        row[: len(subset)] = subset
    return indices, sizes

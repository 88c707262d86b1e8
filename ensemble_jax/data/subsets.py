"""Which training examples and labels each member of a collection is given.

A member's share depends on the run's seed and the member's own number alone, not on how many
members there are: a collection can be grown, split over machines and merged.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from ensemble_jax.data.draws import random_bits, random_order

# What keeps the sources apart from each other, part of the definition of every run.
_PARTS, _SUBSET, _CHOSEN, _LABEL = range(4)


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


def subset_size(num_examples: int, fraction: float) -> int:
    """The examples of a random subset: the nearest number to `fraction * M`, at least 1."""
    return max(1, round(fraction * num_examples))


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

"""Classifiers as accurate as the members that err independently of each other.

What their scores look like is what the scores of networks are compared with: figures 1c and 3b of
Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt
from scipy.special import gammaln, xlogy

from ensemble_jax.analysis.inputs import as_classes


def independent_baseline(
    accuracies: Shaped[Any, "*E N"], labels: Shaped[Any, " M"], num_classes: int, seed: int
) -> UInt[np.ndarray, "*E N M"]:
    """Simulated predictions of N classifiers that err independently.

    Each is right with probability equal to its accuracy, else it predicts one of the K-1 wrong
    classes, all equally likely. `== labels` makes them a correctness bitmap.

    Args:
        accuracies: `[..., N]` in [0, 1], as `member_accuracy` gives them.
        labels: `[M]`, integers in 0..K-1.
        num_classes: K, at least 2.
        seed: the same seed gives the same predictions.

    Returns:
        `[..., N, M]` in the smallest unsigned type that holds K-1.

    Raises:
        ValueError: an accuracy outside [0, 1], fewer than 2 classes, or labels outside 0..K-1.

    >>> independent_baseline([1.0, 0.0], labels=[1, 0], num_classes=2, seed=0)
    array([[1, 0],
           [0, 1]], dtype=uint8)
    """
    probabilities = _as_probabilities("accuracies", accuracies)
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    right = as_classes("labels", labels, num_classes)
    if right.ndim != 1:
        raise ValueError(f"labels must have one axis, [M], got the shape {right.shape}")
    right = right.astype(np.int64)
    generator = np.random.default_rng(seed)
    dtype = np.min_scalar_type(num_classes - 1)
    predictions = np.empty((*probabilities.shape, len(right)), dtype)
    # One member at a time, since the random numbers take eight times the predictions' memory.
    for member in np.ndindex(probabilities.shape):
        is_wrong = generator.random(len(right)) >= probabilities[member]
        shift = generator.integers(1, num_classes, len(right))
        predictions[member] = (right + is_wrong * shift) % num_classes
    return predictions


def independent_consistency_distribution(
    accuracies: Shaped[Any, "*E N"],
) -> Float[np.ndarray, "*E counts"]:
    """The exact distribution of the consistency score of N independent classifiers.

    Entry j of the last axis, of length N+1, is the probability of the score j/N: that of j
    successes in N trials of the given probabilities (Poisson-binomial; binomial where they are
    equal). Takes time in N^2.

    Args:
        accuracies: `[..., N]` in [0, 1].

    Raises:
        ValueError: no member, or an accuracy outside [0, 1].

    >>> independent_consistency_distribution([0.5, 0.5])
    array([0.25, 0.5 , 0.25])
    """
    probabilities = _as_probabilities("accuracies", accuracies)
    *extents, num_members = probabilities.shape
    distribution = np.zeros((*extents, num_members + 1))
    distribution[..., 0] = 1
    for member in range(num_members):
        right = probabilities[..., member, np.newaxis]
        gained = distribution[..., :-1] * right
        distribution *= 1 - right
        distribution[..., 1:] += gained
    return distribution


def independent_consensus_distribution(
    accuracy: float, num_members: int, num_classes: int
) -> Float[np.ndarray, " N"]:
    """The exact distribution of the consensus score of N equally accurate independent classifiers.

    Entry j-1 is the probability of the score j/N, for j = 1..N: that of the largest of K
    multinomial counts that sum to N, where one class has the probability `accuracy` and the others
    share the rest equally. Takes time in N^3 log K at most. Rounding leaves errors of about 1e-12.

    A multinomial is K independent Poisson counts given their sum; so `P(largest <= j)` is the
    probability that Poisson counts, none above j, sum to N, over the probability that they do so
    unbounded (Levin, 'A representation for multinomial cumulative distribution functions', 1981).

    Raises:
        ValueError: the accuracy outside [0, 1], no member, or fewer than 2 classes.

    >>> independent_consensus_distribution(0.5, num_members=2, num_classes=2).round(12)
    array([0.5, 0.5])
    """
    probability = float(_as_probabilities("accuracy", [accuracy])[0])
    if num_members < 1:
        raise ValueError(f"num_members must be at least 1, got {num_members}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    counts = np.arange(num_members + 1)
    right = _poisson(counts, num_members * probability)
    wrong = _poisson(counts, num_members * (1 - probability) / (num_classes - 1))
    cumulative = np.empty(num_members)
    for largest in counts[1:]:
        bounded_wrong = _sum_distribution(wrong[: largest + 1], num_classes - 1, num_members)
        bounded = _add_distributions(right[: largest + 1], bounded_wrong, num_members)
        cumulative[largest - 1] = bounded[-1] if len(bounded) > num_members else 0.0
    cumulative /= _poisson(counts, num_members)[-1]
    return np.maximum(np.diff(cumulative, prepend=0), 0)


def _as_probabilities(name: str, values: Shaped[Any, "*E N"]) -> Float[np.ndarray, "*E N"]:
    """The values in float64, known to be probabilities, at least one of them on the last axis."""
    probabilities = np.asarray(values, np.float64)
    if probabilities.ndim == 0 or probabilities.shape[-1] == 0:
        raise ValueError(f"{name} must be [..., N] with N >= 1, got shape {probabilities.shape}")
    # Negated, so that NaN is outside, too.
    outside = ~((probabilities >= 0) & (probabilities <= 1))
    if outside.any():
        raise ValueError(f"{name} must lie in [0, 1], got {probabilities[outside][0]}")
    return probabilities


def _poisson(counts: Shaped[np.ndarray, " counts"], mean: float) -> Float[np.ndarray, " counts"]:
    """The Poisson probabilities of the counts; a mean of 0 is allowed."""
    return np.exp(xlogy(counts, mean) - mean - gammaln(counts + 1))


def _add_distributions(
    one: Float[np.ndarray, " a"], other: Float[np.ndarray, " b"], largest: int
) -> Float[np.ndarray, " c"]:
    """The distribution of the sum of two independent counts, up to the largest of interest."""
    return np.convolve(one, other)[: largest + 1]


def _sum_distribution(
    distribution: Float[np.ndarray, " a"], times: int, largest: int
) -> Float[np.ndarray, " c"]:
    """The distribution of the sum of that many such independent counts, by repeated doubling."""
    total = np.ones(1)
    while times:
        if times % 2:
            total = _add_distributions(total, distribution, largest)
        distribution = _add_distributions(distribution, distribution, largest)
        times //= 2
    return total

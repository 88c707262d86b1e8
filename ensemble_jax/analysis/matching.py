"""Two collections that learn at different speeds, compared where they are equally accurate.

Section 4.1 and figures 6a, 6b and 23 of Hacohen & Weinshall, 'All Neural Networks Are Created
Equal' (2019).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from ensemble_jax.analysis.inputs import as_score_histories, as_scores
from ensemble_jax.analysis.scores import bimodality

TOLERANCE = 0.01
"""The largest difference of matched mean accuracies: the paper's 1 percentage point."""

# Accuracies are fractions that floats round; a difference of exactly the tolerance shall match.
_ROUNDING = 1e-9


class CrossConsistency(NamedTuple):
    """What two collections know together at their P matched pairs of extents; P may be 0.

    Attributes:
        positions: `[P, 2]`, which extent of the first and of the second collection, by position.
        accuracies: `[P, 2]`, the mean accuracy of each collection there.
        scores: `[P, M]`, the consistency of the merged collection, in [0, 1].
        bimodalities: `[P]`, of these scores; NaN where they are all equal.
    """

    positions: Int[np.ndarray, "P 2"]
    accuracies: Float[np.ndarray, "P 2"]
    scores: Float[np.ndarray, "P M"]
    bimodalities: Float[np.ndarray, " P"]

    @property
    def mean_bimodality(self) -> float:
        """The mean over the pairs where it is defined; NaN where there is none.

        >>> cross_consistency([[1, 0]], [[0, 0]], weights=(1, 1)).mean_bimodality
        nan
        """
        defined = self.bimodalities[~np.isnan(self.bimodalities)]
        return float(defined.mean()) if len(defined) else float("nan")


def match_extents(
    first: Shaped[Any, " E1"], second: Shaped[Any, " E2"], tolerance: float = TOLERANCE
) -> Int[np.ndarray, "P 2"]:
    """The extents at which two collections are equally accurate, as pairs of positions.

    Each extent of the first collection is paired with the extent of the second whose mean accuracy
    is nearest (the earliest of several), if they differ by at most the tolerance; an extent of the
    second may be in several pairs. Errors match where accuracies do. Without any match the result
    is empty, `[0, 2]`.

    Args:
        first: `[E1]`, the mean accuracy of the first collection at each extent.
        second: `[E2]`, likewise.
        tolerance: at least 0.

    Returns:
        `[P, 2]`, positions in E1, rising, and in E2.

    Raises:
        ValueError: not one axis with at least one finite accuracy, or a negative tolerance.

    >>> match_extents([0.2, 0.4, 0.6], [0.21, 0.5, 0.595, 0.605])
    array([[0, 0],
           [2, 2]])
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")
    accuracies = as_scores(first), as_scores(second)
    if any(of_one.ndim != 1 for of_one in accuracies):
        raise ValueError(
            f"accuracies must have one axis, [E], got the shapes {np.shape(first)} "
            f"and {np.shape(second)}"
        )
    # Rounding makes equal distances equal, so that the earliest of them is found.
    distances = np.abs(accuracies[0][:, np.newaxis] - accuracies[1]).round(12)
    nearest = distances.argmin(axis=1)
    matched = distances.min(axis=1) <= tolerance + _ROUNDING
    return np.stack([np.flatnonzero(matched), nearest[matched]], axis=1)


def cross_consistency(
    first: Shaped[Any, "E1 M"],
    second: Shaped[Any, "E2 M"],
    weights: tuple[float, float],
    tolerance: float = TOLERANCE,
) -> CrossConsistency:
    """The consistency of two collections merged where they are equally accurate.

    `(w1 c1(m) + w2 c2(m)) / (w1 + w2)` at the pairs of `match_extents`. Weights that are the
    numbers of members give the consistency of the merged collection, which is the paper's; (1, 1)
    lets each collection count as much as the other, however many members it has. The mean accuracy
    of a collection is the mean of its consistency scores.

    Args:
        first: `[E1, M]`, the consistency scores of the first collection, in [0, 1].
        second: `[E2, M]`, of the second, for the same examples.
        weights: of the first and the second collection, both above 0.
        tolerance: the largest difference of matched accuracies.

    Raises:
        ValueError: scores of different examples or outside [0, 1], no extent, a weight that is not
            above 0, or a negative tolerance.

    >>> result = cross_consistency([[1, 0], [1, 1]], [[0.9, 0.1], [0.5, 0.4]], weights=(3, 1))
    >>> result.positions
    array([[0, 0]])
    >>> result.scores
    array([[0.975, 0.025]])
    """
    histories = as_score_histories(first, second)
    if not (min(weights) > 0 and np.isfinite(weights).all()):
        raise ValueError(f"weights must be above 0 and finite, got {weights}")
    accuracies = [scores.mean(axis=1) for scores in histories]
    positions = match_extents(accuracies[0], accuracies[1], tolerance)
    matched = [scores[rows] for scores, rows in zip(histories, positions.T, strict=True)]
    scores = (weights[0] * matched[0] + weights[1] * matched[1]) / sum(weights)
    return CrossConsistency(
        positions,
        np.stack([of_one[rows] for of_one, rows in zip(accuracies, positions.T, strict=True)], 1),
        scores,
        bimodality(scores),
    )

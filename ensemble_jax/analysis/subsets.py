"""How many members are enough: scores of a collection as if it had been smaller.

Appendix E of Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019) says that much
fewer members give the same picture; this measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from ensemble_jax.analysis.inputs import as_correctness
from ensemble_jax.analysis.scores import bimodality, consistency_score


class SizeDependence(NamedTuple):
    """What random subsets of a collection say, by their size.

    Attributes:
        sizes: `[S]`, numbers of members.
        bimodalities: `[S, R]`, of the consistency scores of R subsets of each size; NaN where all
            examples have one score.
        correlations: `[S, R]`, Pearson's r of the consistency scores of the subset with those of
            another of the same size without a common member; NaN where too few members are left,
            or all scores of one are equal.
    """

    sizes: Int[np.ndarray, " S"]
    bimodalities: Float[np.ndarray, "S R"]
    correlations: Float[np.ndarray, "S R"]


def size_dependence(
    correct: Shaped[Any, "N M"], sizes: Sequence[int], seed: int, num_subsets: int = 20
) -> SizeDependence:
    """Bimodality and correlation of random subsets of the members, drawn without repetition.

    Two subsets of one size share nothing but the data, so their correlation tells how far another
    collection of that size would agree.

    Args:
        correct: `[N, M]`, at one extent, boolean or numbers that are 0 or 1.
        sizes: numbers of members in 1..N.
        seed: the same seed gives the same subsets.
        num_subsets: R, for each size.

    Raises:
        ValueError: not `[N, M]`, no example, a size outside 1..N, none, or no subset.

    >>> members = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]])
    >>> size_dependence(members, sizes=[3], seed=0, num_subsets=2).bimodalities.round(3)
    array([[0.64, 0.64]])
    """
    bitmap = as_correctness(correct)
    if bitmap.ndim != 2 or bitmap.shape[1] == 0:
        raise ValueError(
            f"correct must be [N, M] with at least one example, got the shape {bitmap.shape}"
        )
    num_members = len(bitmap)
    if not len(sizes) or min(sizes) < 1 or max(sizes) > num_members:
        raise ValueError(
            f"sizes must lie in 1..{num_members}, at least one of them, got {list(sizes)}"
        )
    if num_subsets < 1:
        raise ValueError(f"num_subsets must be at least 1, got {num_subsets}")
    generator = np.random.default_rng(seed)
    shape = len(sizes), num_subsets
    bimodalities, correlations = np.empty(shape), np.full(shape, np.nan)
    for row, size in enumerate(sizes):
        for column in range(num_subsets):
            order = generator.permutation(num_members)
            scores = consistency_score(bitmap[order[:size]])
            bimodalities[row, column] = bimodality(scores)
            if 2 * size > num_members:
                continue
            others = consistency_score(bitmap[order[size : 2 * size]])
            if np.ptp(scores) and np.ptp(others):
                correlations[row, column] = np.corrcoef(scores, others)[0, 1]
    return SizeDependence(np.asarray(sizes), bimodalities, correlations)

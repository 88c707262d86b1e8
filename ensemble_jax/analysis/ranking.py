"""How far a ranking of examples can be trusted: would other members have given the same?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.stats import rankdata

from ensemble_jax.analysis.members import member_mean
from ensemble_jax.analysis.score_table import AXES, Score, check_arrays, collection_value


class Reliability(NamedTuple):
    """How alike two collections without a common member rank the same examples.

    Attributes:
        members: `[S]`, numbers of members of each of the two.
        extents: `[T]`, numbers of extents that the score is of, the first ones.
        correlations: `[S, T, R]`, Spearman's, of R pairs of each size; NaN where one of them scores
            all examples alike, and for fewer extents of a score that is of one extent alone.
    """

    members: Int[np.ndarray, " S"]
    extents: Int[np.ndarray, " T"]
    correlations: Float[np.ndarray, "S T R"]


def spearman(first: Shaped[Any, " M"], second: Shaped[Any, " M"]) -> float:
    """Spearman's rank correlation, of the examples that both score.

    Pearson's r of the ranks, ties sharing theirs, in [-1, 1]; examples with NaN are left out;
    NaN where fewer than 2 are left, or one scores all of them alike.

    Raises:
        ValueError: not `[M]` of the same examples.

    >>> spearman([0.1, 0.2, 0.3, np.nan], [1.0, 4.0, 9.0, 0.0])
    1.0
    """
    pair = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape:
        raise ValueError(
            f"scores must be [M] of the same examples, got the shapes {pair[0].shape} and "
            f"{pair[1].shape}"
        )
    known = ~(np.isnan(pair[0]) | np.isnan(pair[1]))
    ranks = [rankdata(scores[known]) for scores in pair]
    if known.sum() < 2 or not all(np.ptp(of_one) for of_one in ranks):
        return float("nan")
    centred = [of_one - of_one.mean() for of_one in ranks]
    covariance = centred[0] @ centred[1]
    # Halves of integers, whose sums are exact, so that equal orders give exactly 1.
    spread = np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1]))
    return float(np.clip(covariance / spread, -1, 1))


def reliability(
    score: Score | Callable[[Mapping[str, Any]], Any],
    arrays: Mapping[str, Shaped[Any, "*axes"]],
    counts: Sequence[int],
    seed: int,
    extents: Sequence[int] | None = None,
    num_splits: int = 20,
) -> Reliability:
    """How the agreement of two collections about a score grows with their members and extents.

    For each number of members two disjoint random subsets of that size are scored and their
    rankings correlated; each is what another such collection would have given. Halves of all
    members are the largest.

    Args:
        score: of `SCORES`, or any function of arrays by name that gives `[N, M]`, which is averaged
            over members, or `[M]`.
        arrays: by names of `AXES`.
        counts: numbers of members in 1..N/2.
        seed: the same seed draws the same members.
        extents: numbers of extents in 1..E, as if training had ended there; all by default.
        num_splits: R, pairs of subsets for each size.

    Raises:
        ValueError: an array of unknown name or other members or extents, a number outside its
            range, or no split.

    >>> from ensemble_jax.analysis import SCORES
    >>> correct = np.random.default_rng(0).random((3, 40, 200)) < np.linspace(0, 1, 200)
    >>> result = reliability(SCORES["accessibility"], {"correct": correct}, [1, 5, 20], seed=0)
    >>> np.median(result.correlations, axis=(1, 2)).round(1)
    array([0.6, 0.9, 1. ])
    """
    given = {name: np.asarray(array) for name, array in arrays.items()}
    num_members, num_extents = _sizes(given)
    lengths = [num_extents] if extents is None else list(extents)
    if not len(counts) or min(counts) < 1 or 2 * max(counts) > num_members:
        raise ValueError(
            f"counts must lie in 1..{num_members // 2}, half of the members, at least one of them, "
            f"got {list(counts)}"
        )
    if not lengths or min(lengths) < 1 or max(lengths) > num_extents:
        raise ValueError(
            f"extents must lie in 1..{num_extents}, at least one of them, got {lengths}"
        )
    if num_splits < 1:
        raise ValueError(f"num_splits must be at least 1, got {num_splits}")
    generator = np.random.default_rng(seed)
    orders = [
        [generator.permutation(num_members)[: 2 * count] for _ in range(num_splits)]
        for count in counts
    ]
    correlations = np.full((len(counts), len(lengths), num_splits), np.nan)
    needs = score.needs if isinstance(score, Score) else given
    has_extents = any(AXES[name][0] == "E" for name in needs)
    for column, length in enumerate(lengths):
        if length < num_extents and not has_extents:
            continue
        of_subset = _scorer(score, _first_extents(given, length))
        for row, count in enumerate(counts):
            for split, order in enumerate(orders[row]):
                halves = of_subset(order[:count]), of_subset(order[count:])
                correlations[row, column, split] = spearman(*halves)
    return Reliability(np.asarray(counts), np.asarray(lengths), correlations)


def spearman_brown(correlation: Shaped[Any, "*axes"], factor: float) -> Float[np.ndarray, "*axes"]:
    """What the correlation of two collections would be with `factor` times as many members.

    `f r / (1 + (f - 1) r)`: exact for means of members that are alike but for their noise.

    Args:
        correlation: of two collections of some size, at most 1.
        factor: above 0.

    Raises:
        ValueError: `factor` not above 0.

    Source: Spearman (1910) and Brown (1910).

    >>> spearman_brown(0.5, factor=2).round(4)
    np.float64(0.6667)
    """
    if not factor > 0:
        raise ValueError(f"factor must be above 0, got {factor}")
    known = np.asarray(correlation, np.float64)
    return factor * known / (1 + (factor - 1) * known)


def members_needed(result: Reliability, target: float = 0.9) -> float:
    """How many members two collections need for rankings that correlate so far.

    From the median correlation r of the largest size n and all extents by Spearman-Brown:
    `n target (1 - r) / (r (1 - target))`; infinity where r is not above 0, NaN where it is unknown.

    Args:
        result: of `reliability`.
        target: in (0, 1).

    Raises:
        ValueError: a target outside (0, 1).

    >>> members_needed(Reliability(np.array([10]), np.array([5]), np.array([[[0.5]]])), target=0.9)
    90.0
    """
    if not 0 < target < 1:
        raise ValueError(f"target must lie in (0, 1), got {target}")
    largest = result.members.argmax()
    of_largest = result.correlations[largest, result.extents.argmax()]
    known = of_largest[~np.isnan(of_largest)]
    if not len(known):
        return float("nan")
    r = float(np.median(known))
    if r <= 0:
        return float("inf")
    return round(float(result.members[largest] * target * (1 - r) / (r * (1 - target))), 6)


def bootstrap_error(
    score: Score | Callable[[Mapping[str, Any]], Any],
    arrays: Mapping[str, Shaped[Any, "*axes"]],
    seed: int,
    num_resamples: int = 100,
) -> Float[np.ndarray, " M"]:
    """The standard error of a score over the choice of members: the bootstrap's.

    The standard deviation over collections whose N members are drawn from these with repetition.
    For means of members it is what `member_mean` gives without drawing, but for its factor
    `sqrt((N - 1) / N)`.

    Args:
        score: as of `reliability`.
        arrays: by names of `AXES`.
        seed: the same seed draws the same members.
        num_resamples: at least 2.

    Raises:
        ValueError: an array of unknown name or other members, or fewer than 2 resamples.

    Source: Efron, 'Bootstrap methods: another look at the jackknife' (1979).

    >>> from ensemble_jax.analysis import SCORES
    >>> correct = np.random.default_rng(0).random((1, 100, 2)) < [0.5, 1.0]
    >>> bootstrap_error(SCORES["consistency"], {"correct": correct}, seed=0).round(2)
    array([0.05, 0.  ])
    """
    given = {name: np.asarray(array) for name, array in arrays.items()}
    num_members, _ = _sizes(given)
    if num_resamples < 2:
        raise ValueError(f"num_resamples must be at least 2, got {num_resamples}")
    of_subset = _scorer(score, given)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(num_members, size=(num_resamples, num_members))
    return np.std([of_subset(members) for members in drawn], axis=0, ddof=1)


def _sizes(arrays: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """N and E of the arrays; E is 1 where none has extents."""
    sizes = check_arrays(arrays)
    if not sizes.get("N"):
        raise ValueError(f"arrays must be of at least one member, got those of {list(arrays)}")
    return sizes["N"], sizes.get("E", 1)


def _first_extents(arrays: Mapping[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    return {
        name: array[:length] if AXES[name][0] == "E" else array for name, array in arrays.items()
    }


def _scorer(
    score: Callable[[Mapping[str, Any]], Any], arrays: Mapping[str, np.ndarray]
) -> Callable[[Int[np.ndarray, " n"]], Float[np.ndarray, " M"]]:
    """A function of positions of members that gives the score `[M]` of these members."""
    if isinstance(score, Score) and score.each_member_alone:
        of_each = np.asarray(score(arrays), np.float32)
        return lambda members: member_mean(of_each[members]).mean

    def of_subset(members):
        subset = {
            name: np.take(array, members, AXES[name].index("N")) if "N" in AXES[name] else array
            for name, array in arrays.items()
        }
        return collection_value(score(subset)).value

    return of_subset

"""Whether two collections learn the examples in the same order, and how surely that is known.

The correlation of accessibility scores, section 4.1 and figures 6c-e, 24 and 25 of Hacohen &
Weinshall, 'All Neural Networks Are Created Equal' (2019). The accessibility of a collection is the
mean of its members' own, so that members can be drawn anew without going back to the bitmaps: for
members' centred accessibilities A `[N1, M]` and B `[N2, M]` and weights u and v of the members,

    r = u A B' v / sqrt(u A A' u * v B B' v),

where the products A A', A B' and B B' are computed once, whatever the number of draws.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats

from ensemble_jax.analysis.inputs import as_correctness, as_score_histories, as_score_history

_LARGEST = 1 - 1e-15
# Of an accessibility score that do not come from the rounding of its members' float32.
_DIGITS = 6


class AccessibilityCorrelation(NamedTuple):
    """How far two collections agree about which examples are learned early.

    Attributes:
        pearson: Pearson's r, which is the paper's.
        p_value: of no correlation, two-sided, for independent examples; 0 below what floats hold.
        spearman: the rank correlation, which only asks for the order.
        low: the lower end of the bootstrap interval of `pearson`.
        high: the upper end.
    """

    pearson: float
    p_value: float
    spearman: float
    low: float
    high: float


def member_accessibility(correct: Shaped[Any, "E N M"]) -> Float[np.ndarray, "N M"]:
    """How early each single member learns each example: the share of extents at which it is right.

    `a_n(m) = mean_e correct[e, n, m]`, in [0, 1], float32; its mean over the members is the
    accessibility score of the collection.

    Args:
        correct: `[E, N, M]`, boolean or numbers that are 0 or 1.

    Raises:
        ValueError: not `[E, N, M]` with at least one extent, or a value is neither 0 nor 1.

    >>> member_accessibility([[[True, True, False]], [[True, False, False]]])
    array([[1. , 0.5, 0. ]], dtype=float32)
    """
    bitmap = as_correctness(correct)
    if bitmap.ndim != 3 or len(bitmap) == 0:
        raise ValueError(
            f"correct must be [E, N, M] with at least one extent, got the shape {bitmap.shape}"
        )
    return bitmap.mean(axis=0, dtype=np.float32)


def correlate_accessibility(
    first: Shaped[Any, "N1 M"],
    second: Shaped[Any, "N2 M"],
    seed: int,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> AccessibilityCorrelation:
    """The correlation of the accessibility scores of two collections.

    The interval is a bootstrap over the members of both: what other members of the same kinds would
    have given for the same examples. Drawing with repetition leaves fewer different members, which
    lowers all correlations a little; so the quantiles of `artanh r` of the draws, whose
    distribution is nearly normal, are moved until their mean is `artanh` of `pearson`. NaN where a
    collection finds all examples equally accessible.

    Args:
        first: `[N1, M]`, of each member of one collection (`member_accessibility`).
        second: `[N2, M]`, of another, for the same examples.
        seed: the same seed gives the same interval.
        num_resamples: how many collections are drawn.
        level: the share of them inside the interval, in (0, 1).

    Raises:
        ValueError: scores of different examples or outside [0, 1], fewer than 2 examples, no
            resample, or a level outside (0, 1).

    >>> members = [[0.0, 0.5, 1.0], [0.1, 0.4, 0.9]]
    >>> correlate_accessibility(members, members, seed=0).pearson
    1.0
    """
    members = as_score_histories(first, second)
    if members[0].shape[1] < 2:
        raise ValueError(f"a correlation needs at least 2 examples, got {members[0].shape[1]}")
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    one, other = (of_members.mean(axis=0) for of_members in members)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return AccessibilityCorrelation(*[float("nan")] * 5)
    pearson, p_value = map(float, stats.pearsonr(one, other))
    # Equal scores whose sums of floats were rounded differently shall share their rank.
    spearman, _ = map(float, stats.spearmanr(one.round(_DIGITS), other.round(_DIGITS)))
    generator = np.random.default_rng(seed)
    weights = [_draw_weights(generator, len(of_members), num_resamples) for of_members in members]
    resampled = _weighted_correlations(_products(*members), *weights)
    low, high = _centred_interval(resampled, pearson, level)
    return AccessibilityCorrelation(pearson, p_value, spearman, low, high)


def split_half_correlations(
    members: Shaped[Any, "N M"], seed: int, num_splits: int = 100
) -> Float[np.ndarray, " splits"]:
    """How far two halves of one collection agree: the ceiling for any other collection.

    Pearson's r of the accessibility scores of two random halves without a common member (figure
    6c); with an odd number of members one is left out. NaN where a half finds all examples equally
    accessible.

    Args:
        members: `[N, M]`, of each member (`member_accessibility`), N at least 2.
        seed: the same seed gives the same halves.
        num_splits: how many times the collection is split.

    Raises:
        ValueError: scores outside [0, 1], fewer than 2 members or examples, or no split.

    >>> split_half_correlations([[0.0, 0.5, 1.0], [0.0, 0.4, 0.8]], seed=0, num_splits=2).round(12)
    array([1., 1.])
    """
    scores = as_score_history(members)
    num_members = len(scores)
    if min(scores.shape) < 2:
        raise ValueError(
            f"members must be [N, M] with at least 2 members and 2 examples, "
            f"got the shape {scores.shape}"
        )
    if num_splits < 1:
        raise ValueError(f"num_splits must be at least 1, got {num_splits}")
    generator = np.random.default_rng(seed)
    ranks = generator.random((num_splits, num_members)).argsort(axis=1)
    half = num_members // 2
    halves = (ranks < half), (ranks >= half) & (ranks < 2 * half)
    return _weighted_correlations(_products(scores, scores), *(of_one / half for of_one in halves))


class _Products(NamedTuple):
    """The products of members' centred accessibilities: within both collections and across."""

    first: Float[np.ndarray, "N1 N1"]
    across: Float[np.ndarray, "N1 N2"]
    second: Float[np.ndarray, "N2 N2"]


def _products(first: Float[np.ndarray, "N1 M"], second: Float[np.ndarray, "N2 M"]) -> _Products:
    one, other = (scores - scores.mean(axis=1, keepdims=True) for scores in (first, second))
    return _Products(one @ one.T, one @ other.T, other @ other.T)


def _draw_weights(
    generator: np.random.Generator, num_members: int, num_resamples: int
) -> Float[np.ndarray, "resamples N"]:
    """How often each member is drawn, over N draws with repetition, as shares."""
    shares = np.full(num_members, 1 / num_members)
    return generator.multinomial(num_members, shares, num_resamples) / num_members


def _centred_interval(
    resampled: Float[np.ndarray, " draws"], pearson: float, level: float
) -> tuple[float, float]:
    """The share of the draws inside, moved so that their mean is the correlation itself."""
    # A perfect correlation has no finite artanh.
    transformed, centre = (
        np.arctanh(np.clip(r, -_LARGEST, _LARGEST)) for r in (resampled, pearson)
    )
    transformed = transformed[~np.isnan(transformed)]
    if not len(transformed):
        return float("nan"), float("nan")
    tails = np.quantile(transformed, [(1 - level) / 2, (1 + level) / 2])
    low, high = np.tanh(tails - transformed.mean() + centre).tolist()
    return low, high


def _weighted_correlations(
    products: _Products,
    first: Float[np.ndarray, "draws N1"],
    second: Float[np.ndarray, "draws N2"],
) -> Float[np.ndarray, " draws"]:
    """Pearson's r of two weighted means of members, for every draw of the weights."""
    variances = [
        np.einsum("dn,nm,dm->d", weights, product, weights, optimize=True)
        for weights, product in ((first, products.first), (second, products.second))
    ]
    across = np.einsum("dn,nm,dm->d", first, products.across, second, optimize=True)
    spread = np.sqrt(np.maximum(variances[0] * variances[1], 0))
    defined = spread > 0
    correlations = np.full(len(across), np.nan)
    return np.divide(across, spread, out=correlations, where=defined).clip(-1, 1)

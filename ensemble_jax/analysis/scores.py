"""What a collection knows of each example, and how it is distributed over the examples.

Axes: extents E, members N, examples M, classes K. Scores take any number of leading axes, so that
one extent and a whole history go through the same function. All of Hacohen & Weinshall, 'All Neural
Networks Are Created Equal' (2019), where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from ensemble_jax.analysis.inputs import as_correctness, as_predictions, as_scores

# Predictions counted at once; such a block and its counts stay in cache.
_BLOCK_SIZE = 1 << 16


def consistency_score(correct: Shaped[Any, "*E N M"]) -> Float[np.ndarray, "*E M"]:
    """The fraction of members that classify each example correctly.

    `c(m) = mean_n correct[n, m]`, in [0, 1]. Costs one pass over the bitmap and no copy of it.

    Args:
        correct: `[..., N, M]`, boolean or numbers that are 0 or 1.

    Raises:
        ValueError: no member, not `[..., N, M]`, or a value is neither 0 nor 1.

    >>> consistency_score([[True, True, False], [True, False, False]])
    array([1. , 0.5, 0. ])
    """
    bitmap = as_correctness(correct)
    num_members = bitmap.shape[-2]
    if num_members == 0:
        raise ValueError(f"correct must hold at least one member, got the shape {bitmap.shape}")
    return bitmap.sum(axis=-2, dtype=np.int32) / num_members


def accessibility_score(correct: Shaped[Any, "E N M"]) -> Float[np.ndarray, " M"]:
    """How early all members learn each example: its mean consistency over the extents.

    `a(m) = mean_e c^e(m)`, in [0, 1]; 1 where every member is right at every extent.

    Raises:
        ValueError: as `consistency_score`, or not `[E, N, M]` with at least one extent.

    >>> accessibility_score([[[False, False]], [[True, False]]])
    array([0.5, 0. ])
    """
    consistency = consistency_score(correct)
    if consistency.ndim != 2 or consistency.shape[0] == 0:
        raise ValueError(
            f"correct must be [E, N, M] with at least one extent, got the shape {np.shape(correct)}"
        )
    return consistency.mean(axis=0)


def member_accuracy(correct: Shaped[Any, "*E N M"]) -> Float[np.ndarray, "*E N"]:
    """The fraction of examples that each member classifies correctly, in [0, 1].

    Raises:
        ValueError: no example, not `[..., N, M]`, or a value is neither 0 nor 1.

    >>> member_accuracy([[True, True, False, False], [True, False, False, False]])
    array([0.5 , 0.25])
    """
    bitmap = as_correctness(correct)
    num_examples = bitmap.shape[-1]
    if num_examples == 0:
        raise ValueError(f"correct must hold at least one example, got the shape {bitmap.shape}")
    return bitmap.sum(axis=-1, dtype=np.int64) / num_examples


def count_votes(predictions: Shaped[Any, "*E N M"], num_classes: int) -> Int[np.ndarray, "*E M K"]:
    """How many members predict each class, for each example.

    `v(m, k) = #{n : prediction[n, m] = k}`, int32, so that votes of collections can be added. Each
    example's votes sum to N.

    Args:
        predictions: `[..., N, M]`, integers in 0..K-1.
        num_classes: K.

    Raises:
        ValueError: no member, not `[..., N, M]`, not integers, or outside 0..K-1.

    >>> count_votes([[0, 2], [1, 2]], num_classes=3)
    array([[1, 1, 0],
           [0, 0, 2]], dtype=int32)
    """
    checked = as_predictions(predictions, num_classes)
    *extents, _, num_examples = checked.shape
    votes = np.empty((*extents, num_examples, num_classes), np.int32)
    for block, block_votes in count_votes_in_blocks(checked, num_classes):
        votes[block] = block_votes
    return votes


def consensus_score(
    predictions: Shaped[Any, "*E N M"], num_classes: int
) -> Float[np.ndarray, "*E M"]:
    """The share of members that predict each example's most frequent class.

    `s(m) = max_k (1/N) #{n : prediction[n, m] = k}`, in [1/K, 1]; never below the consistency. It
    needs no labels. The votes `[..., M, K]` are never held at once.

    Args:
        predictions: `[..., N, M]`, integers in 0..K-1.
        num_classes: K.

    Raises:
        ValueError: no member, not `[..., N, M]`, not integers, or outside 0..K-1.

    >>> consensus_score([[0, 2], [1, 2]], num_classes=3)
    array([0.5, 1. ])
    """
    checked = as_predictions(predictions, num_classes)
    *extents, _, num_examples = checked.shape
    scores = np.empty((*extents, num_examples))
    for block, block_votes in count_votes_in_blocks(checked, num_classes):
        scores[block] = consensus_from_votes(block_votes)
    return scores


def consensus_from_votes(votes: Shaped[Any, "*E M K"]) -> Float[np.ndarray, "*E M"]:
    """The consensus score of predictions that `count_votes` has counted.

    `s(m) = max_k v(m, k) / sum_k v(m, k)`, in [1/K, 1].

    Args:
        votes: `[..., M, K]`, integers >= 0, at least one for each example.

    Raises:
        ValueError: no class, not integers, a negative count, or an example without votes.

    >>> consensus_from_votes([[1, 1, 0], [0, 0, 2]])
    array([0.5, 1. ])
    """
    counts = np.asarray(votes)
    if counts.ndim == 0 or counts.shape[-1] == 0:
        raise ValueError(f"votes must have the axes [..., M, K], got the shape {counts.shape}")
    if counts.dtype.kind not in "iu":
        raise ValueError(f"votes must be integers, got the type {counts.dtype}")
    if counts.size and counts.min() < 0:
        raise ValueError(f"votes must be at least 0, got {counts.min()}")
    num_votes = counts.sum(axis=-1)
    if (num_votes == 0).any():
        raise ValueError("votes must hold at least one vote for each example, got none for one")
    return counts.max(axis=-1) / num_votes


def bimodality(scores: Shaped[Any, "*E M"]) -> Float[np.ndarray, "*E"]:
    """How little the examples fall into two heaps: 0 for any two values, more for anything else.

    `kurtosis - skewness^2 - 1` over the last axis, with population moments and the plain (not
    excess) kurtosis: uniform scores give 0.8, normal ones 2. It does not change when scores are
    shifted or scaled. NaN where all scores are equal (a single one included), for which it is not
    defined.

    For standardised scores z with skewness g it is computed as the equal `mean (z^2 - g z - 1)^2`:
    a mean of squares is never negative, while the difference of the moments loses its digits
    just where the scores are most bi-modal.

    Raises:
        ValueError: no example, not numbers, or a score is not finite.

    Source: Pearson, 'Contributions to the mathematical theory of evolution' (1894).

    >>> bimodality([0.0, 0.5, 1.0]).round(12)
    np.float64(0.5)
    >>> bimodality([[0.0, 0.0, 1.0], [0.5, 0.5, 0.5]]).round(12)
    array([ 0., nan])
    """
    checked = as_scores(scores)
    # Differences to one of the scores are exactly zero for equal ones; differences to a mean,
    # which is rounded, are not.
    shifted = checked - checked[..., :1]
    spread = np.abs(shifted).max(axis=-1, keepdims=True)
    shifted /= np.where(spread > 0, spread, np.nan)
    centred = shifted - shifted.mean(axis=-1, keepdims=True)
    standardised = centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True))
    skewness = np.mean(standardised**3, axis=-1, keepdims=True)
    return np.mean((standardised**2 - skewness * standardised - 1) ** 2, axis=-1)


def count_votes_in_blocks(
    predictions: Int[np.ndarray, "*E N M"], num_classes: int
) -> Iterator[tuple[tuple[int | slice, ...], Int[np.ndarray, "block K"]]]:
    """For each block of examples: where it lies in `[..., M]`, and its votes."""
    *extents, num_members, num_examples = predictions.shape
    width = max(1, _BLOCK_SIZE // max(num_members, num_classes))
    for extent in np.ndindex(*extents):
        for start in range(0, num_examples, width):
            block = slice(start, start + width)
            # Counting example m's class k as the number m K + k takes one pass, whatever K is.
            classes = predictions[(*extent, slice(None), block)].astype(np.intp)
            size = classes.shape[-1] * num_classes
            numbers = classes + np.arange(0, size, num_classes)
            votes = np.bincount(numbers.ravel(), minlength=size).reshape(-1, num_classes)
            yield (*extent, block), votes

"""What the figures show of many scores and of many extents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from ensemble_jax.analysis.inputs import as_classes, as_scores


def score_histogram(
    scores: Shaped[Any, "*E M"], num_members: int, at_most: int = 25
) -> tuple[Float[np.ndarray, " edges"], Float[np.ndarray, "*E bins"]]:
    """The distribution over examples of a score that N members can only give as multiples of 1/N.

    Bins of equal width cover `[-1/(2N), 1 + 1/(2N)]`. With N+1 bins each value j/N is the middle of
    one. With fewer, a bin need not hold a whole number of values, and plain counting would show a
    comb that is not in the data; so each score is spread evenly over the width 1/N around it, and
    one that straddles an edge is shared between the two bins.

    Args:
        scores: `[..., M]` in [0, 1].
        num_members: N.
        at_most: the largest number of bins.

    Returns:
        The edges, and the fraction of examples in each bin, which sum to 1 over the last axis.

    Raises:
        ValueError: no example, a score outside [0, 1], no member, or no bin.

    >>> edges, fractions = score_histogram([0.0, 1.0, 1.0, 1.0], num_members=1)
    >>> edges
    array([-0.5,  0.5,  1.5])
    >>> fractions
    array([0.25, 0.75])
    """
    edges, fractions = score_histogram_by_class(
        scores, np.zeros(np.shape(scores), np.uint8), 1, num_members, at_most
    )
    return edges, fractions[..., 0, :]


def score_histogram_by_class(
    scores: Shaped[Any, "*E M"],
    classes: Shaped[Any, "*E M"],
    num_classes: int,
    num_members: int,
    at_most: int = 25,
) -> tuple[Float[np.ndarray, " edges"], Float[np.ndarray, "*E K bins"]]:
    """How much each class of examples adds to the histogram of a score: figure 27.

    Bins as of `score_histogram`, to whose fractions those of the classes add up. With consistency
    scores and `most_frequent_class` it shows which classes a collection uses for the examples that
    it knows and for those it does not.

    Args:
        scores: `[..., M]` in [0, 1].
        classes: `[..., M]`, integers in 0..K-1.
        num_classes: K.
        num_members: N.
        at_most: the largest number of bins.

    Returns:
        The edges, and the fraction of all examples that are of each class and in each bin.

    Raises:
        ValueError: as `score_histogram`, or classes of another shape or outside 0..K-1.

    >>> _, fractions = score_histogram_by_class([0.0, 1.0, 1.0, 1.0], [0, 0, 1, 1], 2, 1)
    >>> fractions
    array([[0.25, 0.25],
           [0.  , 0.5 ]])
    """
    if num_members < 1:
        raise ValueError(f"num_members must be at least 1, got {num_members}")
    if at_most < 1:
        raise ValueError(f"at_most must be at least 1, got {at_most}")
    checked = as_scores(scores)
    if checked.min(initial=0) < 0 or checked.max(initial=1) > 1:
        outside = checked[(checked < 0) | (checked > 1)][0]
        raise ValueError(f"scores must lie in [0, 1], got {outside}")
    groups = as_classes("classes", classes, num_classes)
    if groups.shape != checked.shape:
        raise ValueError(
            f"classes must have the shape of the scores, {checked.shape}, got {groups.shape}"
        )
    num_bins = min(num_members + 1, at_most)
    edges = np.linspace(-0.5, num_members + 0.5, num_bins + 1) / num_members
    # In units of 1/N, where a score covers [left, left + 1] and a bin is at least as wide. Rounding
    # puts j/N, which floats seldom hold exactly, back on its integer.
    width = (num_members + 1) / num_bins
    left = np.round(checked * num_members, 6)
    lower = np.minimum((left / width).astype(np.intp), num_bins - 1)
    in_next = np.maximum(left + 1 - (lower + 1) * width, 0)
    # What rounding leaves beyond the last edge belongs to the last bin.
    upper = np.minimum(lower + 1, num_bins - 1)
    # Bin b of class k is counted as the number k bins + b.
    offset = groups.astype(np.intp) * num_bins
    size = num_classes * num_bins
    fractions = np.empty((*checked.shape[:-1], size))
    for extent in np.ndindex(checked.shape[:-1]):
        first, second = (bins[extent] + offset[extent] for bins in (lower, upper))
        fractions[extent] = np.bincount(first, 1 - in_next[extent], size)
        fractions[extent] += np.bincount(second, in_next[extent], size)
    fractions /= checked.shape[-1]
    return edges, fractions.reshape(*checked.shape[:-1], num_classes, num_bins)


def choose_extents(
    extents: Sequence[int] | Shaped[np.ndarray, " E"], at_most: int = 7
) -> Shaped[np.ndarray, " chosen"]:
    """The extents worth a panel each: all if they are few, else evenly many with first and last.

    Even in position, not in epochs: who measured early epochs more often wanted to see them.

    Raises:
        ValueError: no extent, extents that do not rise, or fewer than 2 to be chosen.

    >>> choose_extents([0, 1, 2, 5, 10, 20, 50], at_most=4)
    array([ 0,  2, 10, 50])
    """
    given = np.asarray(extents)
    if given.ndim != 1 or len(given) == 0 or (np.diff(given) <= 0).any():
        raise ValueError(f"extents must rise, at least one of them, got {given.tolist()}")
    if at_most < 2:
        raise ValueError(f"at_most must be at least 2, got {at_most}")
    positions = np.linspace(0, len(given) - 1, min(at_most, len(given)))
    # Halves go up: rounding them to even numbers would not skip evenly.
    return given[np.floor(positions + 0.5).astype(np.intp)]

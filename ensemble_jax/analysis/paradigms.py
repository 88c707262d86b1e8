"""Do other classifiers learn the examples that networks learn first?

Appendix F and figures 30 and 31 of Hacohen & Weinshall, 'All Neural Networks Are Created Equal'
(2019). The classifiers themselves are in `ensemble_jax.classifiers`; any other's correctness will
do.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ensemble_jax.analysis.easy_sets import THRESHOLD
from ensemble_jax.analysis.inputs import as_correctness, as_scores


class Difficulty(Enum):
    """How well the networks know an example."""

    EASY = "easy"
    INTERMEDIATE = "intermediate"
    HARD = "hard"


class Accordance(NamedTuple):
    """How often a classifier is right where networks are, and where they are not.

    Attributes:
        where_right: of the examples that most networks get right, the fraction that the classifier
            gets right; NaN if there are none.
        where_wrong: of the others, likewise.
    """

    where_right: float
    where_wrong: float


def group_by_difficulty(
    scores: Shaped[Any, " M"], threshold: float = THRESHOLD
) -> dict[Difficulty, Bool[np.ndarray, " M"]]:
    """The examples that nearly all networks know, that nearly none knows, and those between.

    Easy are consistency scores above the threshold, hard those below 1 - threshold. The paper names
    the three groups without their bounds; ours are those of its easy sets, mirrored.

    Args:
        scores: `[M]`, consistency scores of the networks.
        threshold: in [0.5, 1].

    Returns:
        For each difficulty `[M]`, whether an example has it; each example has one.

    Raises:
        ValueError: not `[M]`, no example, a score that is not finite, or a threshold outside
            [0.5, 1].

    >>> groups = group_by_difficulty([0.0, 0.5, 1.0])
    >>> groups[Difficulty.HARD]
    array([ True, False, False])
    """
    checked = as_scores(scores)
    if checked.ndim != 1:
        raise ValueError(f"scores must have one axis, [M], got the shape {checked.shape}")
    if not 0.5 <= threshold <= 1:
        raise ValueError(f"threshold must lie in [0.5, 1], got {threshold}")
    easy = checked > threshold
    # 1 - threshold is rounded: 1 - 0.9 is less than the float nearest to 0.1.
    hard = checked < round(1 - threshold, 12)
    return {
        Difficulty.EASY: easy,
        Difficulty.INTERMEDIATE: ~easy & ~hard,
        Difficulty.HARD: hard,
    }


def accuracy_by_difficulty(
    correct: Shaped[Any, "*E N M"], groups: dict[Difficulty, Bool[np.ndarray, " M"]]
) -> dict[Difficulty, Float[np.ndarray, "*E N"]]:
    """The accuracy of classifiers on each group of examples: figure 30a with E stages of boosting.

    Args:
        correct: `[..., N, M]`, of N classifiers at E stages.
        groups: of the same examples (`group_by_difficulty`).

    Returns:
        `[..., N]` by group; NaN for a group without examples.

    Raises:
        ValueError: not `[..., N, M]`, a value is neither 0 nor 1, or groups of other examples.

    >>> groups = group_by_difficulty([0.0, 0.5, 1.0, 1.0])
    >>> accuracy_by_difficulty([[0, 1, 1, 0]], groups)[Difficulty.EASY]
    array([0.5])
    """
    bitmap = as_correctness(correct)
    accuracies = {}
    for difficulty, members in groups.items():
        chosen = _as_chosen(members, bitmap)
        number = np.count_nonzero(chosen)
        counts = bitmap[..., chosen].sum(axis=-1, dtype=np.int64)
        accuracies[difficulty] = counts / number if number else np.full(counts.shape, np.nan)
    return accuracies


def accordance(classifier: Shaped[Any, " M"], network_scores: Shaped[Any, " M"]) -> Accordance:
    """How often a classifier is right where networks are right, and where they are wrong.

    Figure 31 for one classifier: `#{right by both} / #{right by the networks}` and
    `#{right by the classifier alone} / #{wrong by the networks}`. The networks are right where
    their consistency score is above 1/2, so that one network may be given, too.

    Args:
        classifier: `[M]`, whether it is right, boolean or numbers that are 0 or 1.
        network_scores: `[M]`, consistency scores of the networks.

    Raises:
        ValueError: not `[M]` of the same examples, none, or a value that is neither 0 nor 1.

    >>> accordance([1, 1, 0, 0, 1], [1.0, 0.8, 0.9, 0.5, 0.0])
    Accordance(where_right=0.6666666666666666, where_wrong=0.5)
    """
    checked = as_scores(network_scores)
    if checked.ndim != 1:
        raise ValueError(f"network_scores must have one axis, [M], got the shape {checked.shape}")
    (bitmap,) = as_correctness(np.asarray(classifier)[np.newaxis])
    right = _as_chosen(checked > 0.5, bitmap)
    return Accordance(
        *(float(bitmap[of].mean()) if of.any() else float("nan") for of in (right, ~right))
    )


def _as_chosen(
    chosen: Bool[np.ndarray, " M"], bitmap: Bool[np.ndarray, "*E N M"]
) -> Bool[np.ndarray, " M"]:
    """The choice of examples, known to be of those of the bitmap."""
    if np.shape(chosen) != bitmap.shape[-1:]:
        raise ValueError(
            f"examples must be the same, got {bitmap.shape[-1]} of the classifier and the shape "
            f"{np.shape(chosen)} of the networks"
        )
    return chosen

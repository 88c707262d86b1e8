"""The examples that nearly all members of a collection classify correctly.

Section 4.2 and figure 7b of Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped

from ensemble_jax.analysis.inputs import as_score_histories, as_scores

THRESHOLD = 0.9
"""The paper's: an example is easy whose consistency score is larger."""


class EasySetSizes(NamedTuple):
    """How the easy sets of two collections overlap; `[E]` numbers of examples each.

    Attributes:
        shared: easy for both collections.
        only_first: easy for the first collection and not for the second.
        only_second: easy for the second collection and not for the first.
    """

    shared: Int[np.ndarray, " E"]
    only_first: Int[np.ndarray, " E"]
    only_second: Int[np.ndarray, " E"]


def easy_set(scores: Shaped[Any, "*E M"], threshold: float = THRESHOLD) -> Bool[np.ndarray, "*E M"]:
    """Whether each example is easy: `{m : c(m) > threshold}`.

    Args:
        scores: `[..., M]`, consistency scores.
        threshold: an example with just this score is not easy.

    Raises:
        ValueError: no example, or a score is not finite.

    >>> easy_set([0.0, 0.9, 1.0])
    array([False, False,  True])
    """
    return as_scores(scores) > threshold


def compare_easy_sets(
    first: Shaped[Any, "E M"], second: Shaped[Any, "E M"], threshold: float = THRESHOLD
) -> EasySetSizes:
    """How many examples are easy for both of two collections, or for one alone, at every extent.

    Args:
        first: `[E, M]`, the consistency scores of one collection, in [0, 1].
        second: `[E, M]`, of another at the same extents for the same examples.
        threshold: an example is easy whose score is larger.

    Raises:
        ValueError: scores of different shapes or outside [0, 1].

    >>> compare_easy_sets([[1, 1, 0.5]], [[1, 0, 1]])
    EasySetSizes(shared=array([1]), only_first=array([1]), only_second=array([1]))
    """
    histories = as_score_histories(first, second)
    if len(histories[0]) != len(histories[1]):
        raise ValueError(
            f"scores of both collections must be of the same extents, got "
            f"{len(histories[0])} and {len(histories[1])} of them"
        )
    one, other = (easy_set(scores, threshold) for scores in histories)
    return EasySetSizes(
        *(np.sum(easy, axis=1) for easy in (one & other, one & ~other, other & ~one))
    )

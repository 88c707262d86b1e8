"""Which class a collection gives to each example, right or wrong.

Appendix E and figure 27 of Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ensemble_jax.analysis.inputs import as_classes, as_correctness, as_predictions
from ensemble_jax.analysis.scores import count_votes_in_blocks


class FrequentClass(NamedTuple):
    """The class that most members predict for each example.

    Attributes:
        classes: `[..., M]`; of several equally frequent classes the one with the smallest number.
        votes: `[..., M]`, how many members predict it, in 1..N.
        tied: `[..., M]`, whether another class has as many votes.
    """

    classes: Int[np.ndarray, "*E M"]
    votes: Int[np.ndarray, "*E M"]
    tied: Bool[np.ndarray, "*E M"]


def most_frequent_class(predictions: Shaped[Any, "*E N M"], num_classes: int) -> FrequentClass:
    """The class that most members predict for each example, with its votes.

    `argmax_k v(m, k)` and `max_k v(m, k)` of the votes v (`count_votes`), whose share of N is the
    consensus score. The votes `[..., M, K]` are never held at once.

    Args:
        predictions: `[..., N, M]`, integers in 0..K-1.
        num_classes: K.

    Raises:
        ValueError: no member, not `[..., N, M]`, not integers, or outside 0..K-1.

    >>> most_frequent_class([[0, 2], [1, 2], [1, 0]], num_classes=3).classes
    array([1, 2])
    """
    checked = as_predictions(predictions, num_classes)
    *extents, _, num_examples = checked.shape
    shape = (*extents, num_examples)
    classes, votes = np.empty(shape, np.intp), np.empty(shape, np.int32)
    tied = np.empty(shape, np.bool_)
    for block, counts in count_votes_in_blocks(checked, num_classes):
        classes[block] = counts.argmax(axis=-1)
        votes[block] = most = counts.max(axis=-1)
        tied[block] = (counts == most[:, np.newaxis]).sum(axis=-1) > 1
    return FrequentClass(classes, votes, tied)


def accuracy_by_class(
    correct: Shaped[Any, "N M"], labels: Shaped[Any, " M"], num_classes: int
) -> Float[np.ndarray, "N K"]:
    """How often each member is right on the examples of each class; NaN for one without examples.

    `a_n(k) = mean of correct[n, m] over the m with labels[m] = k`, in [0, 1].

    Args:
        correct: `[N, M]`, boolean or numbers that are 0 or 1.
        labels: `[M]`, integers in 0..K-1.
        num_classes: K.

    Raises:
        ValueError: not these shapes, or a value is neither 0 nor 1, or a label outside 0..K-1.

    >>> accuracy_by_class([[1, 0, 1], [1, 0, 0]], labels=[0, 0, 1], num_classes=2)
    array([[0.5, 1. ],
           [0.5, 0. ]])
    """
    checked = as_correctness(correct)
    classes = as_classes("labels", labels, num_classes)
    if checked.ndim != 2 or classes.shape != checked.shape[1:]:
        raise ValueError(
            f"correct must be [N, M] and labels [M], "
            f"got the shapes {checked.shape} and {classes.shape}"
        )
    sizes = np.bincount(classes, minlength=num_classes)
    right = [np.bincount(classes[of_member], minlength=num_classes) for of_member in checked]
    with np.errstate(invalid="ignore"):  # 0 / 0 of a class without examples
        return np.stack(right) / sizes

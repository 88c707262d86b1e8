"""Which labels are likely wrong, by the probabilities of members that were not trained on them.

Northcutt, Jiang & Chuang, 'Confident learning: estimating uncertainty in dataset labels' (2021).
All take the held-out mean probabilities `[M, K]` of a collection
(`member_mean(probabilities, ~train_mask).mean`) or of a cross-validation. Probabilities of members
that were trained on the labels work, too, but less well: wrong labels are memorised.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from ensemble_jax.analysis.inputs import as_labels, as_probabilities

# Of probabilities that are a threshold but for rounding.
_ROUNDING = 1e-6


class QualityScore(Enum):
    """How good a label is, by the probabilities of all classes."""

    SELF_CONFIDENCE = "self_confidence"
    """The probability of the label: for labels that are wrong at random, and strange examples."""
    NORMALIZED_MARGIN = "normalized_margin"
    """How much it is above the best other class: where one other class is clearly better."""


class ConfidentJoint(NamedTuple):
    """How often examples of a label are confidently of a class.

    Attributes:
        thresholds: `[K]`, `class_thresholds`.
        counts: `[K, K]`, examples with the label of the row that are confidently of the class of
            the column.
        suggested: `[M]`, the class that an example is confidently of; -1 where it is of none.
    """

    thresholds: Float[np.ndarray, " K"]
    counts: Int[np.ndarray, "K K"]
    suggested: Int[np.ndarray, " M"]


def class_thresholds(
    probabilities: Shaped[Any, "M K"], labels: Shaped[Any, " M"]
) -> Float[np.ndarray, " K"]:
    """How sure one usually is of an example that has the label of a class.

    `t_k = mean_{m: y_m = k} p[m, k]`, in [0, 1]; 1 for a class without examples, which is then
    never suggested. Hard classes have a low one.

    Args:
        probabilities: `[M, K]`.
        labels: `[M]`, integers in 0..K-1.

    Raises:
        ValueError: no probabilities `[M, K]`, or no labels in 0..K-1 of the same examples.

    Source: equation 2.

    >>> class_thresholds([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]], labels=[0, 0, 1])
    array([0.5, 0.5])
    """
    checked, classes = _checked(probabilities, labels)
    own = np.take_along_axis(checked, classes[:, np.newaxis], axis=1)[:, 0]
    num_classes = checked.shape[1]
    sizes = np.bincount(classes, minlength=num_classes)
    return np.where(sizes, np.bincount(classes, own, num_classes) / np.maximum(sizes, 1), 1.0)


def confident_joint(probabilities: Shaped[Any, "M K"], labels: Shaped[Any, " M"]) -> ConfidentJoint:
    """Which class each example is confidently of, counted for each label.

    An example is confidently of the most probable class among those whose threshold it reaches.
    What is off the diagonal is likely mislabelled, and its share estimates the label noise
    (`noise_matrix`).

    Args:
        probabilities: `[M, K]`.
        labels: `[M]`, integers in 0..K-1.

    Raises:
        ValueError: no probabilities `[M, K]`, or no labels in 0..K-1 of the same examples.

    Source: equation 1.

    >>> found = confident_joint([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.9, 0.1]], [0, 0, 1, 1])
    >>> found.counts
    array([[1, 0],
           [1, 1]])
    >>> found.suggested
    array([ 0, -1,  1,  0])
    """
    checked, classes = _checked(probabilities, labels)
    thresholds = class_thresholds(checked, classes)
    reached = checked >= thresholds - _ROUNDING
    suggested = np.where(reached, checked, -1).argmax(axis=1)
    confident = reached.any(axis=1)
    num_classes = len(thresholds)
    pairs = classes[confident] * num_classes + suggested[confident]
    counts = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    return ConfidentJoint(thresholds, counts, np.where(confident, suggested, -1))


def noise_matrix(joint: Shaped[Any, "K K"], labels: Shaped[Any, " M"]) -> Float[np.ndarray, "K K"]:
    """The share of all examples that have a label and are of a class, by the confident joint.

    `Q[i, j]` of the label i and the class j: the rows of the counts are scaled to how often each
    label is given, then all to 1. The trace is the estimated share of right labels.

    Args:
        joint: `[K, K]`, the counts of `confident_joint`.
        labels: `[M]`, integers in 0..K-1, at least one.

    Raises:
        ValueError: no `[K, K]`, labels outside 0..K-1, or no confident example.

    Source: equation 3.

    >>> noise_matrix([[2, 0], [1, 1]], labels=[0, 0, 0, 1])
    array([[0.75 , 0.   ],
           [0.125, 0.125]])
    """
    counts = np.asarray(joint, np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.sum() > 0:
        raise ValueError(f"joint must be [K, K] with an example, got the shape {counts.shape}")
    classes = as_labels(labels, np.shape(labels), len(counts))
    rows = counts.sum(axis=1, keepdims=True)
    sizes = np.bincount(classes, minlength=len(counts))[:, np.newaxis]
    scaled = counts / np.maximum(rows, 1) * sizes
    return scaled / scaled.sum()


def label_quality(
    probabilities: Shaped[Any, "M K"],
    labels: Shaped[Any, " M"],
    score: QualityScore = QualityScore.SELF_CONFIDENCE,
    adjusted: bool = False,
) -> Float[np.ndarray, " M"]:
    """How likely each label is right, in [0, 1].

    Self-confidence `p[m, y]` or the normalized margin `(p[m, y] - max_{k != y} p[m, k] + 1) / 2`.
    Adjusted, of `q[m, k]` in place of p, which is proportional to `p[m, k] - t_k + max_j t_j` with
    the `class_thresholds` t: then examples of a hard class, of which one is never sure, do not fill
    the list.

    Args:
        probabilities: `[M, K]`.
        labels: `[M]`, integers in 0..K-1.
        score: which.
        adjusted: whether classes count by how sure one usually is of them.

    Raises:
        ValueError: no probabilities `[M, K]`, fewer than 2 classes, or no labels in 0..K-1 of the
            same examples.

    Source: Northcutt, Jiang & Chuang (2021); adjusted: Kuan & Mueller, 'Model-agnostic label
    quality scoring to detect real-world label errors' (2022).

    >>> label_quality([[0.75, 0.25], [0.25, 0.75]], labels=[0, 0])
    array([0.75, 0.25])
    """
    checked, classes = _checked(probabilities, labels)
    if checked.shape[1] < 2:
        raise ValueError(f"probabilities must be of at least 2 classes, got {checked.shape[1]}")
    if adjusted:
        thresholds = class_thresholds(checked, classes)
        checked = checked - thresholds + thresholds.max()
        checked /= checked.sum(axis=1, keepdims=True)
    places = classes[:, np.newaxis]
    own = np.take_along_axis(checked, places, axis=1)[:, 0]
    if score is QualityScore.SELF_CONFIDENCE:
        return own
    others = checked.copy()
    np.put_along_axis(others, places, -np.inf, axis=1)
    return (own - others.max(axis=1) + 1) / 2


def _checked(
    probabilities: Shaped[Any, "M K"], labels: Shaped[Any, " M"]
) -> tuple[Float[np.ndarray, "M K"], Int[np.ndarray, " M"]]:
    checked = as_probabilities(probabilities, num_axes=2).astype(np.float64)
    return checked, as_labels(labels, checked.shape[:1], checked.shape[1])

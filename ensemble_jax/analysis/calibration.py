"""How right probabilities are: of an ensemble (the mean over its members) or of each member."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from ensemble_jax.analysis.inputs import as_classes, as_labels, as_probabilities
from ensemble_jax.analysis.members import member_mean
from ensemble_jax.analysis.outputs import el2n


class ReliabilityTable(NamedTuple):
    """What a reliability diagram shows.

    Attributes:
        edges: `[bins + 1]`, of the confidence, from 0 to 1.
        counts: `[bins]`, examples whose confidence lies above one edge and at most at the next.
        confidence: `[bins]`, the mean probability of the predicted class; NaN for an empty bin.
        accuracy: `[bins]`, the share of right predictions; NaN for an empty bin.
        standard_error: `[bins]`, binomial, of the accuracy; NaN for an empty bin.
    """

    edges: Float[np.ndarray, " edges"]
    counts: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]
    standard_error: Float[np.ndarray, " bins"]


class ClassTable(NamedTuple):
    """What is predicted of the examples of each class.

    Attributes:
        support: `[K]`, examples of the class.
        precision: `[..., K]`, the share of right predictions of the class; NaN where never.
        recall: `[..., K]`, the share of its examples that are found; NaN for a class without any.
        f1: `[..., K]`, the harmonic mean of both; NaN where both are.
    """

    support: Int[np.ndarray, " K"]
    precision: Float[np.ndarray, "*N K"]
    recall: Float[np.ndarray, "*N K"]
    f1: Float[np.ndarray, "*N K"]


def ensemble_accuracy(
    probabilities: Shaped[Any, "N M K"], labels: Shaped[Any, " M"]
) -> tuple[float, float]:
    """How often the mean of the members' probabilities is largest for the label.

    Ties go to the class with the smallest number. With its binomial standard error over the
    examples, `sqrt(a (1 - a) / M)`.

    Args:
        probabilities: `[N, M, K]`.
        labels: `[M]`, integers in 0..K-1, at least one.

    Raises:
        ValueError: no probabilities `[N, M, K]`, or no labels in 0..K-1 of the same examples.

    Source: Lakshminarayanan, Pritzel & Blundell (2017).

    >>> accuracy, error = ensemble_accuracy([[[0.5, 0.5], [1.0, 0.0]]], labels=[0, 1])
    >>> accuracy, round(error, 4)
    (0.5, 0.3536)
    """
    mean = member_mean(as_probabilities(probabilities, num_axes=3)).mean
    classes = as_labels(labels, mean.shape[:1], mean.shape[1])
    accuracy = float((mean.argmax(axis=-1) == classes).mean())
    return accuracy, float(np.sqrt(accuracy * (1 - accuracy) / len(classes)))


def reliability_table(
    probabilities: Shaped[Any, "M K"], labels: Shaped[Any, " M"], num_bins: int = 15
) -> ReliabilityTable:
    """How often predictions of each confidence are right.

    Bins of equal width of the largest probability `max_k p[m, k]`.

    Args:
        probabilities: `[M, K]`.
        labels: `[M]`, integers in 0..K-1.
        num_bins: at least 1.

    Raises:
        ValueError: no probabilities `[M, K]`, no labels in 0..K-1 of the same examples, or no bin.

    Source: Guo, Pleiss, Sun & Weinberger, 'On calibration of modern neural networks' (2017),
    section 2.

    >>> table = reliability_table([[0.75, 0.25], [0.25, 0.75], [1.0, 0.0]], [0, 0, 0], num_bins=2)
    >>> table.confidence.round(4), table.accuracy.round(4)
    (array([   nan, 0.8333]), array([   nan, 0.6667]))
    """
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    checked = as_probabilities(probabilities, num_axes=2)
    classes = as_labels(labels, checked.shape[:1], checked.shape[1])
    confidence = checked.max(axis=-1).astype(np.float64)
    right = checked.argmax(axis=-1) == classes
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.searchsorted(edges, confidence).clip(1, num_bins) - 1
    counts = np.bincount(bins, minlength=num_bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty bin
        mean, accuracy = (
            np.bincount(bins, values, num_bins) / counts for values in (confidence, right)
        )
        error = np.sqrt(accuracy * (1 - accuracy) / counts)
    return ReliabilityTable(edges, counts, mean, accuracy, error)


def expected_calibration_error(
    probabilities: Shaped[Any, "M K"], labels: Shaped[Any, " M"], num_bins: int = 15
) -> float:
    """How far confidence and accuracy are apart.

    `ECE = sum_b (n_b / M) |accuracy_b - confidence_b|` over the bins of `reliability_table`, in
    [0, 1]; NaN without examples. It depends on the bins, and is biased upwards for few examples.

    Raises:
        ValueError: as `reliability_table`.

    Source: Guo, Pleiss, Sun & Weinberger (2017), equation 3.

    >>> round(expected_calibration_error([[0.75, 0.25], [0.75, 0.25]], labels=[0, 1]), 4)
    0.25
    """
    table = reliability_table(probabilities, labels, num_bins)
    if not table.counts.any():
        return float("nan")
    gaps = np.abs(table.accuracy - table.confidence)
    return float(np.nansum(gaps * table.counts) / table.counts.sum())


def brier_score(
    probabilities: Shaped[Any, "*N M K"], labels: Shaped[Any, "*N M"]
) -> Float[np.ndarray, "*N"]:
    """How far probabilities are from the labels.

    `mean_m sum_k (p[m, k] - [y_m = k])^2`, in [0, 2], the mean square of `el2n`. A proper score:
    the true probabilities have the least.

    Args:
        probabilities: `[M, K]`, or `[..., M, K]` for each of several.
        labels: `[M]`, or `[..., M]`; integers in 0..K-1.

    Raises:
        ValueError: no probabilities, or labels outside 0..K-1 or of another shape.

    Source: Brier, 'Verification of forecasts expressed in terms of probability' (1950).

    >>> round(float(brier_score([[1.0, 0.0], [0.5, 0.5]], labels=[0, 0])), 4)
    0.25
    """
    return np.mean(el2n(probabilities, labels).astype(np.float64) ** 2, axis=-1)


def confusion(
    predictions: Shaped[Any, "*N M"], labels: Shaped[Any, " M"], num_classes: int
) -> Int[np.ndarray, "*N K K"]:
    """How many examples of each label (rows) are predicted as each class (columns).

    Args:
        predictions: `[M]`, or `[..., M]` for each of several; integers in 0..K-1.
        labels: `[M]`, integers in 0..K-1.
        num_classes: K.

    Raises:
        ValueError: not integers in 0..K-1, or not of the same examples.

    >>> confusion([0, 1, 1], labels=[0, 0, 1], num_classes=2)
    array([[1, 1],
           [0, 1]])
    """
    predicted = as_classes("predictions", predictions, num_classes)
    classes = as_labels(labels, predicted.shape[-1:], num_classes)
    counts = np.empty((*predicted.shape[:-1], num_classes, num_classes), np.int64)
    for member in np.ndindex(predicted.shape[:-1]):
        pairs = classes.astype(np.intp) * num_classes + predicted[member]
        counts[member] = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, -1)
    return counts


def class_table(
    predictions: Shaped[Any, "*N M"], labels: Shaped[Any, " M"], num_classes: int
) -> ClassTable:
    """Precision, recall and F1 of each class.

    Args:
        predictions: `[M]`, or `[..., M]` for each of several; integers in 0..K-1.
        labels: `[M]`, integers in 0..K-1.
        num_classes: K.

    Raises:
        ValueError: not integers in 0..K-1, or not of the same examples.

    >>> class_table([0, 1, 1], labels=[0, 0, 1], num_classes=2).recall
    array([0.5, 1. ])
    """
    counts = confusion(predictions, labels, num_classes)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    predicted, support = counts.sum(axis=-2), counts.sum(axis=-1)
    with np.errstate(invalid="ignore"):  # 0 / 0 of a class that is never predicted or given
        return ClassTable(
            support[(0,) * (support.ndim - 1)],
            right / predicted,
            right / support,
            2 * right / (predicted + support),
        )

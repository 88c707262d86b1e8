"""Images and labels as scikit-learn takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt

_LARGEST_PIXEL = 255


class Flattened(NamedTuple):
    """What a classifier learns from, and what it is asked about.

    Attributes:
        inputs: `[M, features]`.
        labels: `[M]`, in 0..K-1.
        asked: `[M, features]` by name of the set.
    """

    inputs: Float[np.ndarray, "M features"]
    labels: Int[np.ndarray, " M"]
    asked: dict[str, Float[np.ndarray, "M features"]]


def flatten_inputs(
    inputs: Shaped[Any, "M ..."], labels: Shaped[Any, " M"], asked: Mapping[str, Any]
) -> Flattened:
    """One row of features for each example; bytes are taken for pixels and divided by 255.

    Raises:
        ValueError: inputs and labels of different or no examples, labels that are no integers from
            0 on, or sets of other shapes or types than the inputs.
    """
    given = np.asarray(inputs)
    learned = np.asarray(labels)
    if given.ndim < 2 or learned.shape != given.shape[:1] or not len(given):
        raise ValueError(
            f"inputs must be [M, ...] and labels [M] with at least one example, "
            f"got the shapes {given.shape} and {learned.shape}"
        )
    if learned.dtype.kind not in "iu" or learned.min() < 0:
        raise ValueError(
            f"labels must be integers from 0 on, got {learned.dtype} from {learned.min()} on"
        )
    sets = {name: np.asarray(of_set) for name, of_set in asked.items()}
    for name, of_set in sets.items():
        if of_set.shape[1:] != given.shape[1:] or of_set.dtype != given.dtype:
            raise ValueError(
                f"examples of {name} must be {given.dtype} [M, {_listed(given.shape[1:])}] as the "
                f"inputs, got {of_set.dtype} and the shape {of_set.shape}"
            )
    return Flattened(
        _flatten(given), learned, {name: _flatten(of_set) for name, of_set in sets.items()}
    )


def as_collection(
    predictions: Shaped[np.ndarray, "E N M"], labels: Int[np.ndarray, " M"]
) -> UInt[np.ndarray, "E N M"]:
    """The predictions in the smallest type for the classes, as a run has them."""
    return predictions.astype(np.min_scalar_type(labels.max()))


def _flatten(examples):
    rows = examples.reshape(len(examples), -1)
    return rows / _LARGEST_PIXEL if rows.dtype == np.uint8 else rows


def _listed(shape):
    return ", ".join(map(str, shape))

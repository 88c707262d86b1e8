"""What the scores accept, and what they say of anything else."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

# Of a sum of probabilities in float16.
_TOLERANCE = 1e-2


def as_correctness(
    correct: Shaped[Any, "*E N M"], name: str = "correct"
) -> Bool[np.ndarray, "*E N M"]:
    """The same bitmap as booleans.

    Raises:
        ValueError: not `[..., N, M]`, or a value is neither 0 nor 1.
    """
    bitmap = np.asarray(correct)
    if bitmap.ndim < 2:
        raise ValueError(f"{name} must have the axes [..., N, M], got the shape {bitmap.shape}")
    if bitmap.dtype == np.bool_:
        return bitmap
    if bitmap.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be boolean or hold 0 and 1, got the type {bitmap.dtype}")
    other = (bitmap != 0) & (bitmap != 1)
    if other.any():
        raise ValueError(f"{name} must be boolean or hold 0 and 1, got {bitmap[other][0]}")
    return bitmap.astype(np.bool_)


def as_correctness_history(
    correct: Shaped[Any, "E *N M"], of_members: bool = False
) -> Bool[np.ndarray, "E *N M"]:
    """The same bitmap as booleans, known to have an extent, and to be `[E, N, M]` where asked.

    Raises:
        ValueError: anything else.
    """
    history = as_correctness(correct)
    if len(history) == 0:
        raise ValueError(
            f"correct must be [E, ..., M] with at least one extent, got the shape {history.shape}"
        )
    if of_members and (history.ndim != 3 or history.shape[1] == 0):
        raise ValueError(
            f"correct must be [E, N, M] with at least one member, got the shape {history.shape}"
        )
    return history


def as_classes(
    name: str, classes: Shaped[Any, "*axes"], num_classes: int
) -> Int[np.ndarray, "*axes"]:
    """The same array, known to hold integers in 0..K-1.

    Raises:
        ValueError: not integers, or outside 0..K-1.
    """
    checked = np.asarray(classes)
    if checked.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, got the type {checked.dtype}")
    if checked.size and (checked.min() < 0 or checked.max() >= num_classes):
        outside = checked[(checked < 0) | (checked >= num_classes)][0]
        raise ValueError(f"{name} must lie in 0..{num_classes - 1}, got {outside}")
    return checked


def as_predictions(
    predictions: Shaped[Any, "*E N M"], num_classes: int
) -> Int[np.ndarray, "*E N M"]:
    """The predictions as an array, known to be countable.

    Raises:
        ValueError: no member, not `[..., N, M]`, not integers, or outside 0..K-1.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    checked = as_classes("predictions", predictions, num_classes)
    if checked.ndim < 2 or checked.shape[-2] == 0:
        raise ValueError(
            f"predictions must be [..., N, M] with at least one member, "
            f"got the shape {checked.shape}"
        )
    return checked


def as_train_mask(train_mask: Shaped[Any, "N M"], num_members: int) -> Bool[np.ndarray, "N M"]:
    """The same mask as booleans, known to be of so many members.

    Raises:
        ValueError: not `[N, M]`, or a value is neither 0 nor 1.
    """
    mask = as_correctness(train_mask, "train_mask")
    if mask.ndim != 2 or len(mask) != num_members:
        raise ValueError(f"train_mask must be [{num_members}, M], got the shape {mask.shape}")
    return mask


def as_numbers(
    name: str, values: Shaped[Any, "*axes"], low: float = -np.inf, high: float = np.inf
) -> Num[np.ndarray, "*axes"]:
    """The same array, known to hold numbers in [low, high] of any type, and no NaN.

    Raises:
        ValueError: anything else.
    """
    checked = np.asarray(values)
    if checked.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers, got the type {checked.dtype}")
    # Row by row, since a comparison holds as many booleans, and float16 is compared slowly.
    for row in checked if checked.ndim > 1 else [checked]:
        row = row.astype(np.float32) if row.dtype == np.float16 else row
        if row.size and not (low <= row.min() and row.max() <= high):
            outside = row[~((row >= low) & (row <= high))][0]
            raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {outside}")
    return checked


def as_history(
    name: str, values: Shaped[Any, "E *N M"], low: float = -np.inf, high: float = np.inf
) -> Num[np.ndarray, "E *N M"]:
    """The same numbers, known to have an extent.

    Raises:
        ValueError: not `[E, ..., M]`, no extent, NaN, or outside [low, high].
    """
    history = as_numbers(name, values, low, high)
    if history.ndim < 2 or len(history) == 0:
        raise ValueError(
            f"{name} must be [E, ..., M] with at least one extent, got the shape {history.shape}"
        )
    return history


def as_probabilities(
    probabilities: Shaped[Any, "*N M K"], num_axes: int | None = None
) -> Num[np.ndarray, "*N M K"]:
    """The same probabilities of K classes, of any floating type.

    Raises:
        ValueError: not `[..., M, K]`, or not of `num_axes` axes, or not positive numbers whose sum
            is 1 within a hundredth.
    """
    checked = as_numbers("probabilities", probabilities, 0, 1)
    if checked.ndim < 2 or checked.shape[-1] == 0 or num_axes not in (None, checked.ndim):
        axes = {None: "[..., M, K]", 2: "[M, K]", 3: "[N, M, K]"}[num_axes]
        raise ValueError(f"probabilities must be {axes}, got the shape {checked.shape}")
    for row in checked if checked.ndim > 2 else [checked]:
        total = row.sum(axis=-1, dtype=np.float32)
        if total.size and np.abs(total - 1).max() > _TOLERANCE:
            outside = total.flat[np.abs(total - 1).argmax()]
            raise ValueError(f"probabilities must sum to 1 over the classes, got {outside}")
    return checked


def as_labels(
    labels: Shaped[Any, "*N M"], shape: tuple[int, ...], num_classes: int
) -> Int[np.ndarray, "*N M"]:
    """The labels of examples, one for all members or one for each.

    Raises:
        ValueError: not integers in 0..K-1, or of another shape.
    """
    checked = as_classes("labels", labels, num_classes)
    if checked.shape not in (shape, shape[-1:]):
        raise ValueError(
            f"labels must be {list(shape[-1:])}"
            + (f" or {list(shape)}" if len(shape) > 1 else "")
            + f", got the shape {checked.shape}"
        )
    return np.broadcast_to(checked, shape)


def as_scores(scores: Shaped[Any, "*E M"]) -> Float[np.ndarray, "*E M"]:
    """The same scores in float64.

    Raises:
        ValueError: no example, not numbers, or a score is not finite.
    """
    checked = np.asarray(scores)
    if checked.dtype.kind not in "biuf":
        raise ValueError(f"scores must be numbers, got the type {checked.dtype}")
    if checked.ndim == 0 or checked.shape[-1] == 0:
        raise ValueError(f"scores must be of at least one example, got the shape {checked.shape}")
    if not np.isfinite(checked).all():
        raise ValueError(f"scores must be finite, got {checked[~np.isfinite(checked)][0]}")
    return checked.astype(np.float64)


def as_score_history(scores: Shaped[Any, "E M"]) -> Float[np.ndarray, "E M"]:
    """The same scores in float64, known to be `[E, M]` in [0, 1] with at least one extent.

    Raises:
        ValueError: anything else.
    """
    history = as_scores(scores)
    if history.ndim != 2 or len(history) == 0:
        raise ValueError(
            f"scores must be [E, M] with at least one extent, got the shape {history.shape}"
        )
    if history.min() < 0 or history.max() > 1:
        outside = history[(history < 0) | (history > 1)][0]
        raise ValueError(f"scores must lie in [0, 1], got {outside}")
    return history


def as_score_histories(
    first: Shaped[Any, "E1 M"], second: Shaped[Any, "E2 M"]
) -> tuple[Float[np.ndarray, "E1 M"], Float[np.ndarray, "E2 M"]]:
    """Two histories of scores, known to be of equally many examples.

    Raises:
        ValueError: as `as_score_history`, or different numbers of examples.
    """
    histories = as_score_history(first), as_score_history(second)
    if histories[0].shape[1] != histories[1].shape[1]:
        raise ValueError(
            f"scores of both collections must be of the same examples, got the shapes "
            f"{histories[0].shape} and {histories[1].shape}"
        )
    return histories

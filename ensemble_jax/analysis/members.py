"""From what each member says to what the collection says, and how surely."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from ensemble_jax.analysis.inputs import as_correctness


class MemberMean(NamedTuple):
    """What members say on average.

    Attributes:
        mean: `[...]`; NaN where no member counts.
        standard_error: `[...]`, of the mean, over the members that count; NaN below two of them.
            Of a correctness it is the binomial one.
        count: `[...]`, how many members count.
    """

    mean: Float[np.ndarray, "*axes"]
    standard_error: Float[np.ndarray, "*axes"]
    count: Int[np.ndarray, "*axes"]


def member_mean(
    values: Shaped[Any, " N *axes"], where: Shaped[Any, "N M"] | None = None
) -> MemberMean:
    """The mean over members, of those that `where` marks and that do not say NaN.

    `mean = sum_n w_n x_n / n'` and `standard_error = sqrt(sum_n w_n (x_n - mean)^2 / n' (n' - 1))`
    with `n' = sum_n w_n`. Members are read one after another, so that nothing but the result is
    held.

    Args:
        values: `[N, M]` scores of each member, or `[N, M, K]` of each class, too.
        where: `[N, M]`, for example `~train_mask` for the members that were not trained on an
            example; all of them by default.

    Raises:
        ValueError: no member, not numbers, `where` of other members or examples.

    >>> member_mean([[0.0, 1.0], [1.0, np.nan]])
    MemberMean(mean=array([0.5, 1. ]), standard_error=array([0.5, nan]), count=array([2, 1]))
    >>> member_mean([[0.0, 1.0], [1.0, 1.0]], where=[[True, True], [False, True]]).mean
    array([0., 1.])
    """
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":
        raise ValueError(f"values must be numbers, got the type {given.dtype}")
    if given.ndim < 2 or len(given) == 0:
        raise ValueError(
            f"values must be [N, M, ...] with at least one member, got the shape {given.shape}"
        )
    chosen = np.True_ if where is None else as_correctness(where, "where")
    if chosen.ndim:
        if chosen.shape != given.shape[:2]:
            raise ValueError(f"where must be {list(given.shape[:2])}, got {list(chosen.shape)}")
        chosen = chosen.reshape(*chosen.shape, *[1] * (given.ndim - 2))
    chosen = np.broadcast_to(chosen, given.shape)
    count = np.zeros(given.shape[1:], np.int64)
    total, squares = np.zeros(given.shape[1:]), np.zeros(given.shape[1:])
    # 0 / 0 of no member, and infinity, from which nothing differs by a number.
    with np.errstate(invalid="ignore", divide="ignore"):
        for of_member, counts in zip(given, chosen, strict=True):
            counts = counts & ~np.isnan(of_member)
            count += counts
            np.add(total, of_member, out=total, where=counts)
        mean = total / count
        for of_member, counts in zip(given, chosen, strict=True):
            counts = counts & ~np.isnan(of_member)
            np.add(squares, (of_member - mean) ** 2, out=squares, where=counts)
        error = np.sqrt(squares / (count * (count - 1.0)))
    return MemberMean(mean, error, count)


def check_held_out(train_mask: Shaped[Any, "N M"]) -> None:
    """See that each example can be judged by a member that was not trained on it.

    Args:
        train_mask: `[N, M]`, whether a member was trained on an example.

    Raises:
        ValueError: not truth values `[N, M]`, or examples that all members were trained on.

    >>> check_held_out([[1, 0], [1, 1]])
    Traceback (most recent call last):
    ...
    ValueError: each example must be held out of a member, got 1 of 2 that all were trained on
    """
    mask = as_correctness(train_mask, "train_mask")
    never = int(mask.all(axis=0).sum())
    if never:
        raise ValueError(
            f"each example must be held out of a member, got {never} of {mask.shape[1]} that all "
            f"were trained on"
        )

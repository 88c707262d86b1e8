"""How well a score finds the examples that are known to be wrong.

Larger scores are more suspect: a score that is low for wrong labels is given negated. Ties count as
if they were in random order, and an example whose score is NaN is found after all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.stats import rankdata


class Detection(NamedTuple):
    """How well one score finds what is wrong.

    Attributes:
        auroc: the area under the ROC curve; 0.5 by chance.
        average_precision: the area under the steps of precision over recall; the share of wrong
            examples by chance.
        precision: by k, among the k most suspect examples.
        precision_at_true_number: k the number of wrong examples, where precision is recall.
    """

    auroc: float
    average_precision: float
    precision: dict[int, float]
    precision_at_true_number: float


def auroc(scores: Shaped[Any, " M"], wrong: Shaped[Any, " M"]) -> float:
    """The chance that a wrong example has a larger score than a right one, ties counted half.

    `(R - n (n + 1) / 2) / (n (M - n))` with the sum R of the ranks of the n wrong examples
    (Mann-Whitney), in [0, 1]; NaN where no example or every one is wrong.

    Raises:
        ValueError: not `[M]` numbers and 0 or 1 of the same examples.

    >>> auroc([0.9, 0.8, 0.1, 0.1], wrong=[1, 0, 1, 0])
    0.625
    """
    suspicion, positive = _checked(scores, wrong)
    count = int(positive.sum())
    if count in (0, len(positive)):
        return float("nan")
    ranks = rankdata(suspicion)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * (len(positive) - count)))


def average_precision(scores: Shaped[Any, " M"], wrong: Shaped[Any, " M"]) -> float:
    """The mean precision at which wrong examples are found, from the most suspect on.

    `sum_t (R_t - R_{t-1}) P_t` over the distinct scores t with precision P and recall R among the
    examples of at least that score, in (0, 1]; NaN where no example is wrong.

    Raises:
        ValueError: not `[M]` numbers and 0 or 1 of the same examples.

    >>> round(average_precision([0.9, 0.8, 0.1, 0.1], wrong=[1, 0, 1, 0]), 3)
    0.75
    """
    suspicion, positive = _checked(scores, wrong)
    if not positive.any():
        return float("nan")
    sizes, found = _tied_groups(suspicion, positive)
    return float((found * found.cumsum() / sizes.cumsum()).sum() / positive.sum())


def precision_at(scores: Shaped[Any, " M"], wrong: Shaped[Any, " M"], k: int) -> float:
    """The share of wrong examples among the k most suspect, in [0, 1].

    Where ties straddle the k-th place it is the expectation over their random order.

    Raises:
        ValueError: not `[M]` numbers and 0 or 1 of the same examples, or k outside 1..M.

    >>> precision_at([0.9, 0.8, 0.1, 0.1], wrong=[1, 0, 1, 0], k=3)
    0.5
    """
    suspicion, positive = _checked(scores, wrong)
    if not 1 <= k <= len(positive):
        raise ValueError(f"k must lie in 1..{len(positive)}, got {k}")
    sizes, found = _tied_groups(suspicion, positive)
    before = sizes.cumsum() - sizes
    taken = np.clip(k - before, 0, sizes)
    return float((taken * found / sizes).sum() / k)


def detection(
    scores: Shaped[Any, " M"], wrong: Shaped[Any, " M"], at: Sequence[int] = (100,)
) -> Detection:
    """All of them together.

    Args:
        scores: `[M]`, larger for more suspect examples; NaN for unknown.
        wrong: `[M]`, whether an example is wrong.
        at: each k of `precision`; those above M are left out.

    Raises:
        ValueError: not `[M]` numbers and 0 or 1 of the same examples, or a k below 1.

    >>> detection([0.9, 0.8, 0.1], wrong=[1, 0, 0], at=[2])
    Detection(auroc=1.0, average_precision=1.0, precision={2: 0.5}, precision_at_true_number=1.0)
    """
    _, positive = _checked(scores, wrong)
    number = int(positive.sum())
    return Detection(
        auroc(scores, wrong),
        average_precision(scores, wrong),
        {k: precision_at(scores, wrong, k) for k in at if k <= len(positive)},
        precision_at(scores, wrong, number) if number else float("nan"),
    )


def _checked(
    scores: Shaped[Any, " M"], wrong: Shaped[Any, " M"]
) -> tuple[Float[np.ndarray, " M"], Bool[np.ndarray, " M"]]:
    """Scores without NaN, and what is wrong as booleans."""
    suspicion, positive = np.asarray(scores), np.asarray(wrong)
    if suspicion.ndim != 1 or suspicion.dtype.kind not in "biuf" or not len(suspicion):
        raise ValueError(
            f"scores must be [M] numbers of at least one example, got the shape {suspicion.shape} "
            f"and the type {suspicion.dtype}"
        )
    if positive.shape != suspicion.shape or not np.isin(positive, (0, 1)).all():
        raise ValueError(
            f"wrong must hold 0 or 1 for each of {len(suspicion)} examples, "
            f"got the shape {positive.shape} and the type {positive.dtype}"
        )
    suspicion = suspicion.astype(np.float64)
    unknown = np.isnan(suspicion)
    # Below all others, minus infinity included.
    ranks = rankdata(suspicion[~unknown], method="dense")
    suspicion[~unknown], suspicion[unknown] = ranks, 0
    return suspicion, positive.astype(np.bool_)


def _tied_groups(
    suspicion: Float[np.ndarray, " M"], positive: Bool[np.ndarray, " M"]
) -> tuple[Float[np.ndarray, " groups"], Float[np.ndarray, " groups"]]:
    """How many examples have each score, from the largest on, and how many of them are wrong."""
    _, group = np.unique(-suspicion, return_inverse=True)
    return np.bincount(group).astype(float), np.bincount(group, positive)

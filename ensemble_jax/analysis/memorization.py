"""What members know of examples that they were not trained on, from members of random subsets.

`train_mask[n, m]` says whether member n was trained on example m (`Run.train_mask`). Estimates are
means over the members that were, and over those that were not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ensemble_jax.analysis.inputs import as_numbers, as_train_mask
from ensemble_jax.analysis.members import member_mean

# Influences that are held at once.
_BLOCK_SIZE = 1 << 24
# Of shares of examples that count as one fraction.
_DIGITS = 2
# Of the members, for the choice of a penalty.
_FOLDS = 5


class Estimate(NamedTuple):
    """An estimate for each example, with its standard error.

    Attributes:
        value: `[M]`; NaN for an example that lacks the members it takes.
        standard_error: `[M]`, of the members' spread; NaN where that takes more members.
    """

    value: Float[np.ndarray, " M"]
    standard_error: Float[np.ndarray, " M"]


class TopInfluences(NamedTuple):
    """The train examples that help each test example most.

    Attributes:
        examples: `[M2, k]`, their positions 0..M-1, the most helpful first.
        influence: `[M2, k]`, float32.
    """

    examples: Int[np.ndarray, "M2 k"]
    influence: Float[np.ndarray, "M2 k"]


def c_score(
    correct: Shaped[Any, "N M"],
    train_mask: Shaped[Any, "N M"],
    subset_fraction: Shaped[Any, " N"] | None = None,
) -> Estimate:
    """How well members do on an example without having seen it, whatever the size of their set.

    `C(m) = mean_s mean_{n of s, m not in S_n} correct[n, m]` over the subset fractions s that
    members have: the expected correctness when held out, in [0, 1]. Near 1 for regular examples,
    low for exceptions and wrong labels. An example that no member of some fraction was without is
    scored by the other fractions.

    Args:
        correct: `[N, M]` at the last extent, or probabilities of the labels.
        train_mask: `[N, M]`, whether a member was trained on an example.
        subset_fraction: `[N]`, s of each member; by default the share of examples that it was
            trained on, to two digits.

    Raises:
        ValueError: outside [0, 1], or not `[N, M]` of the same members and examples.

    Source: Jiang, Zhang, Talwar & Mozer, 'Characterizing structural regularities of labeled data in
    overparameterized models' (2021), equations 1 and 2.

    >>> c_score([[1, 1, 0], [1, 0, 0]], train_mask=[[1, 0, 0], [0, 1, 0]]).value
    array([1., 1., 0.])
    """
    values, mask = _of_members(correct, train_mask)
    if subset_fraction is None:
        fractions = mask.mean(axis=1).round(_DIGITS)
    else:
        fractions = np.asarray(subset_fraction)
        if fractions.shape != mask.shape[:1]:
            raise ValueError(f"subset_fraction must be {[len(mask)]}, got {list(fractions.shape)}")
    held_out = [
        member_mean(values[fractions == fraction], ~mask[fractions == fraction])
        for fraction in np.unique(fractions)
    ]
    means = member_mean(np.stack([of_fraction.mean for of_fraction in held_out]))
    errors = np.stack([of_fraction.standard_error for of_fraction in held_out])
    errors[np.stack([of_fraction.count for of_fraction in held_out]) == 0] = 0
    with np.errstate(invalid="ignore", divide="ignore"):  # no fraction at all
        return Estimate(means.mean, np.sqrt((errors**2).sum(axis=0)) / means.count)


def memorization(correct: Shaped[Any, "N M"], train_mask: Shaped[Any, "N M"]) -> Estimate:
    """How much it takes to have seen an example to be right about it.

    `mem(m) = mean_{n: m in S_n} correct[n, m] - mean_{n: m not in S_n} correct[n, m]`, in [-1, 1];
    near 0 for what follows from other examples, near 1 for what is learned by heart, such as wrong
    labels.

    Args:
        correct: `[N, M]` at the last extent, or probabilities of the labels.
        train_mask: `[N, M]`, whether a member was trained on an example.

    Raises:
        ValueError: outside [0, 1], or not `[N, M]` of the same members and examples.

    Source: Feldman & Zhang, 'What neural networks memorize and why' (2020), equation 1; the
    subsets of members are those of section 3.

    >>> mask = [[1, 0], [1, 1], [0, 1]]
    >>> memorization([[1, 1], [1, 1], [0, 1]], mask).value
    array([1., 0.])
    """
    values, mask = _of_members(correct, train_mask)
    seen, held_out = member_mean(values, mask), member_mean(values, ~mask)
    return Estimate(
        seen.mean - held_out.mean, np.hypot(seen.standard_error, held_out.standard_error)
    )


def influence(
    train_mask: Shaped[Any, "N M"], correct: Shaped[Any, "N M2"]
) -> Float[np.ndarray, "M M2"]:
    """How much each train example helps with each test example, all at once.

    `infl(i, j) = mean_{n: i in S_n} correct[n, j] - mean_{n: i not in S_n} correct[n, j]`, in
    [-1, 1], float32; NaN for a train example that all members have, or none. With the train
    examples as `correct` its diagonal is `memorization`. Takes `4 M M2` bytes: of large sets
    `influence_blocks` and `top_influences` hold less.

    Args:
        train_mask: `[N, M]`, whether a member was trained on a train example.
        correct: `[N, M2]` of the test examples, or probabilities of their labels.

    Raises:
        ValueError: outside [0, 1], or not of the same members.

    Source: Feldman & Zhang (2020), equation 2.

    >>> influence([[1, 0], [1, 1], [0, 1], [0, 0]], [[1], [1], [0], [0]])
    array([[1.],
           [0.]], dtype=float32)
    """
    blocks = [block for _, block in influence_blocks(train_mask, correct)]
    return np.concatenate(blocks, axis=1)


def influence_blocks(
    train_mask: Shaped[Any, "N M"], correct: Shaped[Any, "N M2"], block_size: int | None = None
) -> Iterator[tuple[slice, Float[np.ndarray, "M block"]]]:
    """`influence` for some test examples at a time: which ones, and theirs.

    Costs `2 N M M2` operations in products of matrices: 8 s for 100 members and 50,000 x 50,000
    examples at 60 GFLOP/s.

    Args:
        train_mask: `[N, M]`, whether a member was trained on a train example.
        correct: `[N, M2]` of the test examples, or probabilities of their labels.
        block_size: test examples at a time; by default as many as take 64 MiB.

    Raises:
        ValueError: outside [0, 1], not of the same members, or no example at a time.

    >>> [(where, block.shape) for where, block in influence_blocks(
    ...     [[1, 0], [0, 1]], np.ones((2, 5)), block_size=3)]
    [(slice(0, 3, None), (2, 3)), (slice(3, 5, None), (2, 2))]
    """
    values = as_numbers("correct", correct, 0, 1)
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(
            f"correct must be [N, M] with at least one member, got the shape {values.shape}"
        )
    mask = as_train_mask(train_mask, len(values))
    size = block_size if block_size is not None else max(1, _BLOCK_SIZE // max(1, mask.shape[1]))
    if size < 1:
        raise ValueError(f"block_size must be at least 1, got {size}")
    return _influence_blocks(mask, values, size)


def _influence_blocks(mask, values, size):
    num_members, num_test = values.shape
    with_it = mask.sum(axis=0, dtype=np.float32)[:, np.newaxis]
    without = num_members - with_it
    # sum with / n1 - (sum of all - sum with) / n0 takes one product of matrices.
    shares = mask.T.astype(np.float32)
    with np.errstate(divide="ignore"):
        scale = np.where((with_it > 0) & (without > 0), 1 / with_it + 1 / without, np.nan)
        rest = np.where(without > 0, 1 / without, np.nan)
    for start in range(0, num_test, size):
        place = slice(start, min(start + size, num_test))
        block = values[:, place].astype(np.float32)
        result = shares @ block
        result *= scale
        result -= block.sum(axis=0) * rest
        yield place, result


def top_influences(
    train_mask: Shaped[Any, "N M"], correct: Shaped[Any, "N M2"], k: int = 10
) -> TopInfluences:
    """The k train examples of the largest `influence` on each test example.

    Never holds more than a block of the influences. Train examples without an influence come last.

    Args:
        train_mask: `[N, M]`, whether a member was trained on a train example.
        correct: `[N, M2]` of the test examples, or probabilities of their labels.
        k: in 1..M.

    Raises:
        ValueError: as `influence`, or k outside 1..M.

    >>> top_influences([[1, 0], [1, 1], [0, 1], [0, 0]], [[1], [1], [0], [0]], k=1).examples
    array([[0]])
    """
    blocks = influence_blocks(train_mask, correct)
    num_train, num_test = np.shape(train_mask)[1], np.shape(correct)[1]
    if not 1 <= k <= num_train:
        raise ValueError(f"k must lie in 1..{num_train}, got {k}")
    examples = np.empty((num_test, k), np.intp)
    values = np.empty((num_test, k), np.float32)
    for place, block in blocks:
        rows = np.ascontiguousarray(block.T)
        rows[np.isnan(rows)] = -np.inf
        # Partitioning values is many times as fast as partitioning their places.
        least = np.partition(rows, num_train - k, axis=1)[:, num_train - k]
        for test, (row, bound) in enumerate(zip(rows, least, strict=True), place.start):
            candidates = np.flatnonzero(row >= bound)
            # Equal ones in the order of the set.
            top = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
            examples[test], values[test] = top, row[top]
    values[np.isneginf(values)] = np.nan
    return TopInfluences(examples, values)


def linear_datamodel(
    train_mask: Shaped[Any, "N M"],
    margin: Shaped[Any, "N M2"],
    alpha: float | None = None,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "M2 M"], Float[np.ndarray, " M2"]]:
    """How a member's margin on each test example follows from which examples it was trained on.

    For each test example j the lasso `min_{w,b} (1 / 2N) sum_n (w . S_n + b - margin[n, j])^2 +
    alpha ||w||_1`, whose weights say what each train example adds to the margin. It takes many
    members: far more than the examples that matter for one.

    Args:
        train_mask: `[N, M]`, whether a member was trained on a train example.
        margin: `[N, M2]`, of the test examples at the last extent (`label_margin` of logits).
        alpha: the penalty; chosen for each test example by cross-validation over 5 parts of the
            members by default.
        seed: of the parts.

    Returns:
        The weights w and the intercepts b, float32.

    Raises:
        ValueError: not `[N, M]` and `[N, M2]` of the same members, NaN, fewer than 2 members (5 for
            the choice of `alpha`), or `alpha` not above 0.

    Source: Ilyas et al., 'Datamodels: predicting predictions from training data' (2022), section 2.

    >>> masks = np.random.default_rng(0).random((200, 3)) < 0.5
    >>> weights, _ = linear_datamodel(masks, 2.0 * masks[:, :1] - 1, alpha=0.01)
    >>> (weights.round(1) + 0.0).tolist()
    [[2.0, 0.0, 0.0]]
    """
    from sklearn.linear_model import Lasso, LassoCV  # takes a second to load
    from sklearn.model_selection import KFold

    margins = as_numbers("margin", margin)
    if margins.ndim != 2:
        raise ValueError(f"margin must be [N, M], got the shape {margins.shape}")
    mask = as_train_mask(train_mask, len(margins)).astype(np.float64)
    least = 2 if alpha is not None else _FOLDS
    if len(mask) < least:
        raise ValueError(f"margin must be of at least {least} members, got {len(mask)}")
    if alpha is not None and not alpha > 0:
        raise ValueError(f"alpha must be above 0, got {alpha}")
    if alpha is None:
        model = LassoCV(cv=KFold(_FOLDS, shuffle=True, random_state=seed))
    else:
        model = Lasso(alpha)
    weights = np.empty((margins.shape[1], mask.shape[1]), np.float32)
    intercepts = np.empty(margins.shape[1], np.float32)
    for row, of_one in enumerate(margins.T.astype(np.float64)):
        fitted = model.fit(mask, of_one)
        weights[row], intercepts[row] = fitted.coef_, fitted.intercept_
    return weights, intercepts


def _of_members(
    correct: Shaped[Any, "N M"], train_mask: Shaped[Any, "N M"]
) -> tuple[Shaped[np.ndarray, "N M"], Bool[np.ndarray, "N M"]]:
    """Both, known to be of the same members and examples."""
    values = as_numbers("correct", correct, 0, 1)
    mask = as_train_mask(train_mask, len(values) if values.ndim else 0)
    if values.shape != mask.shape:
        raise ValueError(
            f"correct and train_mask must be [N, M] of the same examples, got the shapes "
            f"{values.shape} and {mask.shape}"
        )
    return values, mask

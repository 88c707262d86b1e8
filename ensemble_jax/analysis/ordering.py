"""Which of two examples is learned first: a partial order of the examples.

Section 2 of Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019): example a is
*easier* than b at an extent e if `c^e(a) >= c^e(b)`, and *learned at least as fast* if it is easier
at all extents after some extent e'. Among finitely many extents that hangs on the last one alone,
since e' may be the last but one; so the functions here tell from where on it holds, or ask for it
from a given extent on. From a given extent on it is transitive and leaves some pairs unordered.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped

from ensemble_jax.analysis.inputs import as_classes, as_score_history

# Pairs compared at once; their scores at one extent stay in cache.
_BLOCK_SIZE = 1 << 16


class OrderedShare(NamedTuple):
    """How many pairs of examples are ordered; the shares of three kinds add up to 1.

    Attributes:
        strictly: one example is learned at least as fast as the other, but not the other way round.
        equally: each is learned at least as fast as the other, so they have the same scores.
        unordered: neither is.
    """

    strictly: float
    equally: float
    unordered: float


def easier_since(
    scores: Shaped[Any, "E M"], first: Shaped[Any, "*pairs"], second: Shaped[Any, "*pairs"]
) -> Int[np.ndarray, "*pairs"]:
    """From which extent on each first example is easier than its second one.

    The least position s for which `c^e(a) >= c^e(b)` at all extents at s and later; E where the
    second is ahead at the last extent, so that there is none. It takes time in E for each pair and
    memory for the pairs only: all pairs of a few examples by `first[:, None]` and `second[None]`,
    or some random ones of many.

    Args:
        scores: `[E, M]`, consistency scores in [0, 1].
        first: positions of examples in 0..M-1, of any shape.
        second: likewise; the two are broadcast.

    Raises:
        ValueError: no extent, a score outside [0, 1], or an example outside 0..M-1.

    >>> curves = np.transpose([[0.2, 0.6, 1.0], [0.4, 0.5, 0.9]])
    >>> easier_since(curves, [0, 1, 0], [1, 0, 0])
    array([1, 3, 0])
    """
    history = as_score_history(scores)
    pairs = np.broadcast_arrays(
        as_classes("first", first, history.shape[1]), as_classes("second", second, history.shape[1])
    )
    since = np.zeros(pairs[0].shape, np.intp)
    flat = since.reshape(-1)
    one, other = (examples.reshape(-1) for examples in pairs)
    for start in range(0, len(flat), _BLOCK_SIZE):
        block = slice(start, start + _BLOCK_SIZE)
        # The last extent at which the second is ahead decides.
        for position, at_extent in enumerate(history):
            behind = at_extent[one[block]] < at_extent[other[block]]
            flat[block][behind] = position + 1
    return since


def learned_at_least_as_fast(
    scores: Shaped[Any, "E M"],
    first: Shaped[Any, "*pairs"],
    second: Shaped[Any, "*pairs"],
    since: int,
) -> Bool[np.ndarray, "*pairs"]:
    """Whether each first example is easier than its second one at the extent `since` and all later.

    Args:
        scores: `[E, M]`, consistency scores in [0, 1].
        first: positions of examples in 0..M-1, of any shape.
        second: likewise; the two are broadcast.
        since: a position in 0..E-1; the last one gives the paper's definition to the letter.

    Raises:
        ValueError: as `easier_since`, or `since` outside 0..E-1.

    >>> curves = np.transpose([[0.2, 0.6, 1.0], [0.4, 0.5, 0.9]])
    >>> learned_at_least_as_fast(curves, [0, 1], [1, 0], since=1)
    array([ True, False])
    """
    history = as_score_history(scores)
    if not 0 <= since < len(history):
        raise ValueError(f"since must lie in 0..{len(history) - 1}, got {since}")
    return easier_since(history[since:], first, second) == 0


def ordered_share(
    scores: Shaped[Any, "E M"], since: int, seed: int, num_pairs: int = 100_000
) -> OrderedShare:
    """How nearly the examples are learned one after another, by random pairs of different ones.

    Members that each went their own way would leave few pairs ordered from an early extent on.

    Args:
        scores: `[E, M]`, consistency scores in [0, 1], of at least 2 examples.
        since: a position in 0..E-1, from which on the order must hold.
        seed: the same seed gives the same pairs.
        num_pairs: how many are drawn, with repetition; a share then has a standard error of at most
            `0.5 / sqrt(num_pairs)`.

    Raises:
        ValueError: as `learned_at_least_as_fast`, fewer than 2 examples, or no pair.

    >>> ordered_share(np.transpose([[0.0, 0.5], [0.5, 1.0]]), since=0, seed=0)
    OrderedShare(strictly=1.0, equally=0.0, unordered=0.0)
    """
    num_examples = np.shape(scores)[-1] if np.ndim(scores) else 0
    if num_examples < 2:
        raise ValueError(f"an order needs at least 2 examples, got {num_examples}")
    if num_pairs < 1:
        raise ValueError(f"num_pairs must be at least 1, got {num_pairs}")
    generator = np.random.default_rng(seed)
    first = generator.integers(0, num_examples, num_pairs)
    second = (first + generator.integers(1, num_examples, num_pairs)) % num_examples
    forth = learned_at_least_as_fast(scores, first, second, since)
    back = learned_at_least_as_fast(scores, second, first, since)
    return OrderedShare(
        strictly=float((forth ^ back).mean()),
        equally=float((forth & back).mean()),
        unordered=float((~forth & ~back).mean()),
    )

"""When each member learns each example, and whether it forgets it again.

All take the history of one network `[E, M]` or of many `[E, N, M]` and say it of each member;
`member_mean` averages. Extents are counted by their position 0..E-1, so that sets measured at other
epochs can be compared; `extents[position]` is the epoch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ensemble_jax.analysis.inputs import as_correctness_history


def forgetting_events(
    correct: Shaped[Any, "E *N M"], never: float = np.inf
) -> Float[np.ndarray, "*N M"]:
    """How often a member is right about an example at one extent and wrong at the next.

    `f_n(m) = #{e : correct[e, n, m] and not correct[e + 1, n, m]}`, in 0..floor(E / 2), float32;
    `never` for an example that the member is right about at no extent.

    Args:
        correct: `[E, ..., M]`, boolean or numbers that are 0 or 1.
        never: infinitely many events in the paper. A finite number lets members that never learn an
            example be averaged with others; E is more than any count.

    Raises:
        ValueError: no extent, not `[E, ..., M]`, or a value is neither 0 nor 1.

    Source: Toneva et al., 'An empirical study of example forgetting during deep neural network
    learning' (2019), definition 3.

    >>> forgetting_events([[1, 1, 0], [0, 1, 0], [1, 1, 0]])
    array([ 1.,  0., inf], dtype=float32)
    """
    history = as_correctness_history(correct)
    events = np.zeros(history.shape[1:], np.float32)
    for before, after in pairwise(history):
        events += before & ~after
    events[~history.any(axis=0)] = never
    return events


def unforgettable(correct: Shaped[Any, "E *N M"]) -> Bool[np.ndarray, "*N M"]:
    """Whether a member learns an example and never forgets it: no forgetting event.

    Args:
        correct: `[E, ..., M]`, boolean or numbers that are 0 or 1.

    Raises:
        ValueError: no extent, not `[E, ..., M]`, or a value is neither 0 nor 1.

    Source: Toneva et al. (2019), section 3.

    >>> unforgettable([[1, 1, 0, 0], [0, 1, 0, 1]])
    array([False,  True, False,  True])
    """
    return forgetting_events(correct) == 0


def first_learned(
    correct: Shaped[Any, "E *N M"], never: float = np.inf
) -> Float[np.ndarray, "*N M"]:
    """The first extent at which a member is right about an example.

    `min {e : correct[e, n, m]}`, in 0..E-1, float32; `never` where there is none.

    Args:
        correct: `[E, ..., M]`, boolean or numbers that are 0 or 1.
        never: a finite number, for example E, lets members be averaged.

    Raises:
        ValueError: no extent, not `[E, ..., M]`, or a value is neither 0 nor 1.

    Source: Toneva et al. (2019), section 3.

    >>> first_learned([[0, 1, 0], [1, 0, 0], [1, 1, 0]])
    array([ 1.,  0., inf], dtype=float32)
    """
    history = as_correctness_history(correct)
    first = np.full(history.shape[1:], never, np.float32)
    for position in reversed(range(len(history))):
        first[history[position]] = position
    return first


def learning_time(
    correct: Shaped[Any, "E *N M"], never: float = np.inf
) -> Float[np.ndarray, "*N M"]:
    """The extent from which on a member is right about an example at all later ones, too.

    `min {e : correct[e', n, m] for all e' >= e}`, in 0..E-1, float32, at least `first_learned`;
    `never` where the member is wrong at the last extent.

    Args:
        correct: `[E, ..., M]`, boolean or numbers that are 0 or 1.
        never: a finite number, for example E, lets members be averaged.

    Raises:
        ValueError: no extent, not `[E, ..., M]`, or a value is neither 0 nor 1.

    Source: 'iteration learned' of Baldock et al., 'Deep learning through the lens of example
    difficulty' (2021), for the label in place of the last prediction.

    >>> learning_time([[1, 0, 1], [0, 1, 1], [1, 1, 0]])
    array([ 2.,  1., inf], dtype=float32)
    """
    history = as_correctness_history(correct)
    still = np.ones(history.shape[1:], np.bool_)
    time = np.full(history.shape[1:], len(history), np.float32)
    for at_extent in history[::-1]:
        still &= at_extent
        time -= still
    time[~history[-1]] = never
    return time


def learning_time_spread(correct: Shaped[Any, "E N M"]) -> Float[np.ndarray, " M"]:
    """How differently members time an example: the standard deviation of their learning times.

    `std_n t_n(m)` of the `learning_time` t, with E for a member that is wrong in the end; in
    [0, E / 2], float32. It is larger for wrongly labelled examples, which each member memorises at
    a time of its own.

    Args:
        correct: `[E, N, M]`, boolean or numbers that are 0 or 1.

    Raises:
        ValueError: no extent or member, not `[E, N, M]`, or a value is neither 0 nor 1.

    Source: Shwartz, Stern & Weinshall, 'The dynamic of consensus in deep networks and the
    identification of noisy labels' (2022, arXiv 2210.00583), section 3.

    >>> learning_time_spread([[[1, 0], [1, 0]], [[1, 0], [1, 1]]])
    array([0. , 0.5], dtype=float32)
    """
    history = as_correctness_history(correct, of_members=True)
    return learning_time(history, never=len(history)).std(axis=0)


def forget_fraction(correct: Shaped[Any, "E *N M"]) -> Float[np.ndarray, " E *N"]:
    """The share of examples that a member knows at an extent and has lost in the end.

    `F_e = mean_m correct[e, n, m] and not correct[E - 1, n, m]`, in [0, 1]; 0 at the last extent.
    What overfits locally shows here, though the accuracy may still rise.

    Args:
        correct: `[E, ..., M]`, of examples that no member was trained on, boolean or numbers that
            are 0 or 1.

    Raises:
        ValueError: no extent or example, not `[E, ..., M]`, or a value is neither 0 nor 1.

    Source: Stern, Yaacoby & Weinshall, 'On local overfitting and forgetting in deep neural
    networks' (2024, arXiv 2412.12968).

    >>> forget_fraction([[1, 1, 0, 0], [0, 1, 1, 1], [0, 1, 0, 1]])
    array([0.25, 0.25, 0.  ])
    """
    history = as_correctness_history(correct)
    if history.shape[-1] == 0:
        raise ValueError(f"correct must hold at least one example, got the shape {history.shape}")
    lost = ~history[-1]
    return np.stack([(at_extent & lost).mean(axis=-1) for at_extent in history])


def forgotten_share(correct: Shaped[Any, "E *N M"]) -> Float[np.ndarray, "*N M"]:
    """How long a member knew an example that it is wrong about in the end.

    The share of extents at which it is right, and 0 where it is right at the last one; in [0, 1),
    float32. Its mean over examples is that of `forget_fraction` over extents.

    Args:
        correct: `[E, ..., M]`, boolean or numbers that are 0 or 1.

    Raises:
        ValueError: no extent, not `[E, ..., M]`, or a value is neither 0 nor 1.

    Source: the same, example by example.

    >>> forgotten_share([[1, 1, 0], [0, 1, 0]])
    array([0.5, 0. , 0. ], dtype=float32)
    """
    history = as_correctness_history(correct)
    return np.where(history[-1], np.float32(0), history.mean(axis=0, dtype=np.float32))

"""Times of what is compared, on machines that become faster and slower meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

_MOST_ROUNDS = 12


def take_turns(
    calls: Sequence[Callable[[], float]], seconds: float
) -> Float[np.ndarray, "rounds calls"]:
    """What each of the calls says that it took, in a few rounds in which all take turns.

    Args:
        calls: return the seconds they took.
        seconds: of each of the calls, after which no round is begun.
    """
    rounds: list[list[float]] = []
    while len(rounds) < _MOST_ROUNDS and np.sum(rounds) < seconds * len(calls):
        rounds.append([call() for call in calls])
    return np.array(rounds)

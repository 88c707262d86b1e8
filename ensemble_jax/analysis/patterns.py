"""How the consistency of single examples moves while a collection learns.

Appendix E and figure 29 of Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019). The
paper shows five chosen images; the choice by formula is ours.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from ensemble_jax.analysis.inputs import as_score_history

LEAST_STRENGTH = 0.1
"""Weaker patterns are not chosen: among K classes a dip from chance is at most 1/K deep."""


class Pattern(Enum):
    """What the consistency of an example may look like over the extents."""

    ALWAYS_RIGHT = "always right"
    DIPS_THEN_RISES = "dips, then rises"
    RISES_LATE = "rises late"
    FALLS = "falls"
    ALWAYS_WRONG = "always wrong"


def pattern_strengths(scores: Shaped[Any, "E M"]) -> dict[Pattern, Float[np.ndarray, " M"]]:
    """How clearly each example shows each pattern, at most 1; 0 or less means not at all.

    With c the consistency of an example, `early` the extents before the middle and `end` the last
    quarter of the extents, counted and not in epochs (at least one each):

    - always right: `min c^e` over all extents but the first, which may be the initialisation,
    - dips, then rises: `max_e min(max_{e' < e} c^e' - c^e, min_end c - c^e)`, the depth of a dip,
    - rises late: `min_end c - mean_e c^e`, right in the end and for a short time,
    - falls: `max_early c - max_end c`, right in the beginning and not in the end,
    - always wrong: `1 - 2 max c^e` over all extents but the first: never half of the members right.

    Args:
        scores: `[E, M]`, consistency scores in [0, 1], at least 3 extents.

    Raises:
        ValueError: fewer than 3 extents, no example, or a score outside [0, 1].

    >>> curves = np.transpose([[0.2, 1.0, 1.0, 1.0], [0.2, 0.0, 0.5, 1.0], [0.9, 0.8, 0.0, 0.0]])
    >>> pattern_strengths(curves)[Pattern.DIPS_THEN_RISES]
    array([0. , 0.2, 0. ])
    """
    history = as_score_history(scores)
    num_extents = len(history)
    if num_extents < 3:
        raise ValueError(f"patterns need at least 3 extents, got {num_extents}")
    early = history[: num_extents // 2]
    end = history[-max(1, num_extents // 4) :]
    from_above = np.maximum.accumulate(history, axis=0) - history
    depths = np.minimum(from_above, end.min(axis=0) - history)
    return {
        Pattern.ALWAYS_RIGHT: history[1:].min(axis=0),
        Pattern.DIPS_THEN_RISES: depths.max(axis=0),
        Pattern.RISES_LATE: end.min(axis=0) - history.mean(axis=0),
        Pattern.FALLS: early.max(axis=0) - end.max(axis=0),
        Pattern.ALWAYS_WRONG: 1 - 2 * history[1:].max(axis=0),
    }


def choose_typical_examples(
    scores: Shaped[Any, "E M"], least_strength: float = LEAST_STRENGTH
) -> dict[Pattern, int]:
    """For each pattern the example that shows it most clearly, by position.

    The patterns choose in the order of `Pattern`, each among the examples that are left, and of
    equally clear ones the first. A pattern that no example shows is left out.

    Args:
        scores: `[E, M]`, consistency scores in [0, 1], at least 3 extents.
        least_strength: what `pattern_strengths` must be for an example to be chosen.

    Raises:
        ValueError: as `pattern_strengths`.

    >>> curves = np.transpose([[0.2, 1.0, 1.0, 1.0], [0.2, 0.0, 0.5, 1.0], [0.9, 0.8, 0.0, 0.0]])
    >>> {pattern.name: example for pattern, example in choose_typical_examples(curves).items()}
    {'ALWAYS_RIGHT': 0, 'DIPS_THEN_RISES': 1, 'FALLS': 2}
    """
    chosen: dict[Pattern, int] = {}
    for pattern, strength in pattern_strengths(scores).items():
        strength[list(chosen.values())] = -np.inf
        strongest = int(strength.argmax())
        if strength[strongest] >= least_strength:
            chosen[pattern] = strongest
    return chosen

"""A member's evaluation, lifted over a collection and compiled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Num, UInt

from ensemble_jax.collection import Placement
from ensemble_jax.evaluation.evaluator import Evaluation
from ensemble_jax.models import Variables

Sets = Mapping[str, tuple[Num[Array | np.ndarray, "M ..."], ...]]
"""Sets of examples on the devices by name: inputs, and labels where there are any."""


class Evaluations(NamedTuple):
    """What all members do, `[N, ...]`.

    Attributes:
        splits: on labelled examples, by the name of the split.
        probes: the predicted classes of examples without labels, by the name of the probe.
    """

    splits: Mapping[str, Evaluation]
    probes: Mapping[str, UInt[Array, "N M"]]


class CollectionEvaluation:
    """Evaluates all members on every set of a kind: `evaluation(variables)`.

    Constructing it compiles, so that no call does.

    Args:
        evaluate: a function of one member's variables and of the arrays of a set: an evaluator for
            labelled sets, a predictor for probes.
        placement: of the members.
        variables: of all members, or their shapes.
        sets: what to evaluate, by name.

    Attributes:
        compile_seconds: how long the compilation took.
    """

    def __init__(
        self,
        evaluate: Callable[..., Any],
        placement: Placement,
        variables: Any,
        sets: Sets,
    ) -> None:
        started = time.perf_counter()
        self._sets = sets
        # Sets of one size share a program.
        self._compiled: dict[tuple, Callable[..., Any]] = {}
        for arrays in sets.values():
            if (form := _form(arrays)) not in self._compiled:
                lifted = placement.lift(evaluate, shared=range(1, 1 + len(arrays)))
                self._compiled[form] = lifted.lower(variables, *arrays).compile()
        self.compile_seconds = time.perf_counter() - started

    @property
    def compiled(self) -> tuple[Any, ...]:
        """The compiled programs, one for each form of sets, for reading them."""
        return tuple(self._compiled.values())

    def __call__(self, variables: Variables) -> dict[str, Any]:
        """What every member, `[N, ...]`, does on each set; returns before it is computed."""
        return {
            name: self._compiled[_form(arrays)](variables, *arrays)
            for name, arrays in self._sets.items()
        }


def _form(arrays):
    """What a compiled program depends on."""
    return tuple((array.shape, array.dtype) for array in arrays)

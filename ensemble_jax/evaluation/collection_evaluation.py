"""A member's evaluation, lifted over a collection and compiled."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Int, Num

from ensemble_jax.collection import Placement
from ensemble_jax.evaluation.evaluator import Evaluation, Evaluator
from ensemble_jax.models import Variables


@runtime_checkable
class LabelledExamples(Protocol):
    """Examples on the devices."""

    @property
    def inputs(self) -> Num[Array | np.ndarray, "M ..."]:
        """`[M, ...]`, raw."""
        ...

    @property
    def labels(self) -> Int[Array | np.ndarray, " M"]:
        """`[M]`, in 0..K-1."""
        ...


class CollectionEvaluation:
    """Evaluates all members on every split: `evaluation(variables)`.

    Constructing it compiles, so that no call does.

    Attributes:
        compile_seconds: how long the compilation took.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        placement: Placement,
        variables: Any,
        splits: Mapping[str, LabelledExamples],
    ) -> None:
        started = time.perf_counter()
        self._splits = splits
        lifted = placement.lift(evaluator, shared=(1, 2))
        self._compiled = {
            name: lifted.lower(variables, examples.inputs, examples.labels).compile()
            for name, examples in splits.items()
        }
        self.compile_seconds = time.perf_counter() - started

    def __call__(self, variables: Variables) -> dict[str, Evaluation]:
        """What every member, `[N, ...]`, does on each split; returns before it is computed."""
        return {
            name: self._compiled[name](variables, examples.inputs, examples.labels)
            for name, examples in self._splits.items()
        }

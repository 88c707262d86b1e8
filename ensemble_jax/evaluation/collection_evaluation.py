"""A member's evaluation, lifted over a collection and compiled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Num

from ensemble_jax.collection import Placement
from ensemble_jax.networks import Variables
from ensemble_jax.pool_feed import PoolFeed, PoolName

Arrays = tuple[Num[Array | np.ndarray, "M ..."], ...]
"""A set of examples on the devices: inputs, and labels where there are any."""


class CollectionEvaluation:
    """Evaluates all members on every set of a kind: `evaluation(variables)`.

    Constructing it compiles, so that no call does.

    Args:
        evaluate: a function of one member's variables and of the arrays of a set: an evaluator for
            labelled sets, a predictor for probes. One for all sets, or one for each by its name.
        placement: of the members.
        variables: of all members, or their shapes.
        sets: what to evaluate, by name: arrays on the devices, or what feeds labelled ones in
            pools.
        join: makes one result of those of pools, `(results, sizes) -> result`, on the host;
            `join_evaluations` for an evaluator. Needed where a set comes in pools.

    Attributes:
        compile_seconds: how long the compilation took.
    """

    def __init__(
        self,
        evaluate: Callable[..., Any] | Mapping[str, Callable[..., Any]],
        placement: Placement,
        variables: Any,
        sets: Mapping[str, Arrays | PoolFeed],
        join: Callable[[Sequence[Any], Sequence[int]], Any] | None = None,
    ) -> None:
        started = time.perf_counter()
        self._sets = sets
        self._join = join
        self._evaluators = (
            evaluate if isinstance(evaluate, Mapping) else dict.fromkeys(sets, evaluate)
        )
        # Sets of one size share a program, if they share an evaluator.
        self._compiled: dict[tuple, Callable[..., Any]] = {}
        for name, examples in sets.items():
            if isinstance(examples, PoolFeed) and (join is None or not _joins(examples)):
                raise ValueError(
                    f"pools of {name} must be joined, and several have a multiple of 8 examples "
                    f"each, got {examples.pools}"
                )
            forms = map(_arrays, examples.forms) if isinstance(examples, PoolFeed) else [examples]
            for arrays in forms:
                if (program := self._program(name, arrays)) not in self._compiled:
                    lifted = placement.lift(
                        self._evaluators[name], shared=range(1, 1 + len(arrays))
                    )
                    self._compiled[program] = lifted.lower(variables, *arrays).compile()
        self.compile_seconds = time.perf_counter() - started

    @property
    def compiled(self) -> tuple[Any, ...]:
        """The compiled programs, one for each form of sets, for reading them."""
        return tuple(self._compiled.values())

    def __call__(self, variables: Variables) -> dict[str, Any]:
        """The results of every member, `[N, ...]`, on each set.

        Where all sets are on the devices, it returns before they are computed.
        """
        return {
            name: self._of_pools(name, variables, examples)
            if isinstance(examples, PoolFeed)
            else self._of_arrays(name, variables, examples)
            for name, examples in self._sets.items()
        }

    def _program(self, name, arrays):
        """What a compiled program depends on."""
        return self._evaluators[name], *((array.shape, array.dtype) for array in arrays)

    def _of_arrays(self, name, variables, arrays):
        return self._compiled[self._program(name, arrays)](variables, *arrays)

    def _of_pools(self, name, variables, feed):
        """Pool after pool, the next one read meanwhile."""
        parts, count = [], feed.pools.count
        for number in range(count):
            following = PoolName(number + 1) if number + 1 < count else None
            pool = feed.take(PoolName(number), following)
            parts.append(jax.device_get(self._of_arrays(name, variables, _arrays(pool))))
            # There is room for two pools: this one is freed before the one after the next is read.
            del pool
        assert self._join is not None
        return self._join(parts, feed.pools.sizes)


def _joins(feed):
    """Whether the packed bits of its pools can be put one behind the other."""
    return feed.pools.count == 1 or feed.pools.size % 8 == 0


def _arrays(pool):
    """What is evaluated of a pool."""
    return pool.inputs, pool.labels

"""Where a member's randomness comes from: `fold_in` of names, never a chain of splits.

So a member's keys depend on (run seed, member, epoch, step) alone: not on N, on the members beside
it, on the devices, or on whether the run was resumed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Self

import jax
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, UInt32

from ensemble_jax.numerics import PRNG


class Stream(IntEnum):
    """The sources of randomness in a training, each with keys of its own."""

    INITIALISATION = 0
    ORDER = 1
    DROPOUT = 2
    AUGMENTATION = 3


class StreamIds(NamedTuple):
    """Whose randomness a member has, by source; members that share a number share the source.

    Scalars of one member, or `[N]` before they are lifted.
    """

    initialisation: Int[Array | np.ndarray, ...] | int
    order: Int[Array | np.ndarray, ...] | int
    dropout: Int[Array | np.ndarray, ...] | int
    augmentation: Int[Array | np.ndarray, ...] | int

    @classmethod
    def own(cls, member: Int[Array | np.ndarray, ...] | int) -> Self:
        """Everything of the member's own."""
        return cls(member, member, member, member)


def member_key(
    seed: Int[Array, ""] | int, stream: Stream, member: Int[Array, ""] | int
) -> PRNGKeyArray:
    """The key of one member's source of randomness."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed, impl=PRNG), stream), member)


def independent_seeds(seeds: UInt32[np.ndarray, " N"], extent: int) -> UInt32[np.ndarray, " N"]:
    """Seeds of the members that the protocol `independent` trains for just this extent.

    Members with equal seeds get equal ones; different extents give different ones.

    Source: Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019), Appendix D.
    """
    return np.array(
        [np.random.SeedSequence([int(seed), extent]).generate_state(1)[0] for seed in seeds],
        np.uint32,
    )

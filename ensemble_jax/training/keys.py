"""Where a member's randomness comes from: `fold_in` of names, never a chain of splits.

So a member's keys depend on (run seed, member, epoch, step) alone: not on N, on the members beside
it, on the devices, or on whether the run was resumed.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import jax
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, UInt32

from ensemble_jax.numerics import PRNG
from ensemble_jax.options import Source

# Keys are made with these numbers: other numbers would give other members for the same seed. The
# sources that are not here are drawn on the host.
_NUMBERS = {
    Source.INITIALISATION: 0,
    Source.ORDER: 1,
    Source.DROPOUT: 2,
    Source.AUGMENTATION: 3,
}


class SourceIds(NamedTuple):
    """Whose randomness a member has, by the value of a `Source`.

    Members that share a number share the source. Scalars of one member, or `[N]` before they are
    lifted.
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
    seed: Int[Array | np.ndarray, ""] | int, source: Source, member: Int[Array, ""] | int
) -> PRNGKeyArray:
    """The key of one member's source of randomness."""
    key = jax.random.key(seed, impl=PRNG)
    return jax.random.fold_in(jax.random.fold_in(key, _NUMBERS[source]), member)


def independent_seeds(seeds: UInt32[np.ndarray, " N"], extent: int) -> UInt32[np.ndarray, " N"]:
    """Seeds of the members that the protocol `independent` trains for just this extent.

    Members with equal seeds get equal ones; different extents give different ones.

    Source: Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019), Appendix D.
    """
    return np.array(
        [np.random.SeedSequence([int(seed), extent]).generate_state(1)[0] for seed in seeds],
        np.uint32,
    )

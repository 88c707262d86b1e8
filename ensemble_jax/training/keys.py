"""Where a member's randomness comes from: `fold_in` of names, never a chain of splits.

So a member's keys depend on (run seed, member, epoch, step) alone: not on N, on the members beside
it, on the devices, or on whether the run was resumed.
"""

from __future__ import annotations

from enum import IntEnum

import jax
from jaxtyping import Array, Int, PRNGKeyArray


class Stream(IntEnum):
    """The sources of randomness in a training, each with keys of its own."""

    INITIALISATION = 0
    ORDER = 1
    DROPOUT = 2


def member_key(
    seed: Int[Array, ""] | int, stream: Stream, member: Int[Array, ""] | int
) -> PRNGKeyArray:
    """The key of one member's source of randomness."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), member)

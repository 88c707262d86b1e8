"""The order in which one member sees the examples of one epoch."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ensemble_jax.ops import random_bits


class Batches(NamedTuple):
    """An epoch cut into S batches of B examples.

    Attributes:
        indices: `[S, B]`, the position of each example in the training set.
        weights: `[S, B]`, 1 for an example and 0 for the padding that fills the last batch.
    """

    indices: Int[Array, "S B"]
    weights: Float[Array, "S B"]


def shuffled_batches(key: PRNGKeyArray, num_examples: int, batch_size: int) -> Batches:
    """Every example exactly once, in an order drawn from the key; the last batch may be short.

    Raises:
        ValueError: if a batch is empty or larger than the set.
    """
    if not 1 <= batch_size <= num_examples:
        raise ValueError(
            f"batch_size must lie in 1..{num_examples} (the training examples), got {batch_size}"
        )
    order = jax.random.permutation(key, num_examples)
    return _cut(order, jnp.ones(num_examples, jnp.float32), batch_size)


def shuffled_subset_batches(
    key: PRNGKeyArray, indices: Int[Array, " m"], size: Int[Array, ""], batch_size: int
) -> Batches:
    """The first `size` of the indices exactly once, in an order drawn from the key.

    The order depends on these indices and the key alone, not on how many more entries fill up: so
    members with subsets of different sizes can be computed together. What fills up comes last, with
    weight 0, in the last batches.

    Raises:
        ValueError: if a batch is empty or larger than `indices`.
    """
    if not 1 <= batch_size <= len(indices):
        raise ValueError(
            f"batch_size must lie in 1..{len(indices)} (the training examples of a member), "
            f"got {batch_size}"
        )
    place = jnp.arange(len(indices))
    fills_up = place >= size
    # JAX's own permutation of n numbers is another one for every n.
    order = jnp.lexsort((random_bits(key, indices.shape), fills_up))
    weights = (place < size).astype(jnp.float32)
    return _cut(indices[order], weights, batch_size)


def _cut(order, weights, batch_size):
    """Batches of an order, the last one filled up with the last entry."""
    steps = -(-len(order) // batch_size)
    padding = (0, steps * batch_size - len(order))
    return Batches(
        jnp.pad(order, padding, mode="edge").reshape(steps, batch_size),
        jnp.pad(weights, padding).reshape(steps, batch_size),
    )

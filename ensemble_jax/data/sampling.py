"""The order in which one member sees the examples of one epoch."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


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
    steps = -(-num_examples // batch_size)
    padding = (0, steps * batch_size - num_examples)
    order = jax.random.permutation(key, num_examples)
    weights = jnp.ones(num_examples, jnp.float32)
    return Batches(
        jnp.pad(order, padding).reshape(steps, batch_size),
        jnp.pad(weights, padding).reshape(steps, batch_size),
    )

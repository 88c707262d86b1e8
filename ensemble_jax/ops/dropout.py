"""Dropout whose mask is hashed from a counter, and whose rate may be traced."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ensemble_jax.ops.random import fast_bits


def dropout(
    inputs: Float[Array, ...], rate: Float[Array, ""] | float, key: PRNGKeyArray
) -> Float[Array, ...]:
    """Zero each entry with probability `rate` and scale the others by `1 / (1 - rate)`.

    Source: Srivastava et al., 'Dropout', JMLR 2014, in its inverted form: nothing is scaled when
    the network is evaluated.

    Args:
        inputs: activations of any shape.
        rate: in [0, 1), as a float32; it may be traced, so members may differ in it.
        key: one of JAX's threefry keys; two equal keys give two equal masks.
    """
    threshold = (jnp.float32(2**32) * jnp.asarray(rate, jnp.float32)).astype(jnp.uint32)
    kept = fast_bits(key, inputs.shape) >= threshold
    return jnp.where(kept, jnp.asarray(inputs, jnp.float32) / (1 - rate), 0).astype(inputs.dtype)

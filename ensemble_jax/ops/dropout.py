"""Dropout whose mask is hashed from a counter, and whose rate may be traced."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

_GOLDEN = 0x9E3779B9


def dropout(
    inputs: Float[Array, "B ..."],
    rate: Float[Array, ""] | float,
    key: PRNGKeyArray,
    first_row: Int[Array, ""] | int = 0,
) -> Float[Array, "B ..."]:
    """Zero each entry with probability `rate` and scale the others by `1 / (1 - rate)`.

    Source: Srivastava et al., 'Dropout', JMLR 2014, in its inverted form: nothing is scaled when
    the network is evaluated.

    Args:
        inputs: activations of any shape, one row for each example.
        rate: in [0, 1), as a float32; it may be traced, so members may differ in it.
        key: two equal keys give two equal masks.
        first_row: the place in its batch of the first row: of a batch in parts, every part is
            masked as it would be in the whole.
    """
    threshold = (jnp.float32(2**32) * jnp.asarray(rate, jnp.float32)).astype(jnp.uint32)
    kept = random_bits(key, inputs.shape, first_row) >= threshold
    return jnp.where(kept, inputs / (1 - rate), 0).astype(inputs.dtype)


def random_bits(
    key: PRNGKeyArray, shape: tuple[int, ...], first_row: Int[Array, ""] | int = 0
) -> UInt32[Array, ...]:
    """32 random bits for each entry of `shape`, hashed from the key and the entry's position.

    The position is the one in an array of as many rows as it takes, whose row `first_row` is the
    first here.

    Made for masks: JAX's threefry takes several times as long and its `rbg` gives other bits
    under `vmap`, so that a member would depend on those beside it. Not for cryptography.
    """
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    size = math.prod(shape)
    start = jnp.asarray(first_row, jnp.uint32) * jnp.uint32(math.prod(shape[1:]))
    counter = (jax.lax.iota(jnp.uint32, size) + start).reshape(shape)
    # The finaliser of MurmurHash3 (A. Appleby, public domain), in which every input bit flips every
    # output bit with a probability close to one half. The key's second word comes in between its
    # halves: without it, keys would give copies of one mask, shifted by their first words.
    bits = counter * jnp.uint32(_GOLDEN) + first
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B) ^ second
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)

"""Keys whose random bits are hashed from a counter: cheap enough for a mask of every activation.

JAX's threefry takes several times as long, and its `rbg` gives other bits under `vmap`, so that a
member would depend on those beside it.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl
from jaxtyping import Array, PRNGKeyArray, UInt, UInt32

_GOLDEN = 0x9E3779B9


def fast_key(key: PRNGKeyArray) -> PRNGKeyArray:
    """A key of the same two words whose bits are cheap, for all that takes a JAX key.

    `jax.random.bernoulli`, and so the dropout of any library, reads bits of the hash in
    `random_bits`. What `fold_in`, `split` and `clone` make of the key are such keys again, of the
    words that they make of threefry's: few and well mixed. The bits of an array repeat after 2^32
    entries. Not for cryptography.

    Args:
        key: one of JAX's threefry keys, its default; or an array of them.

    Raises:
        ValueError: if the key is of another kind.
    """
    if jax.random.key_impl(key) != "threefry2x32":
        raise ValueError(
            f"key must be a threefry2x32 key, JAX's default, got one of {jax.random.key_impl(key)}"
        )
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_HASH)


def random_bits(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, ...]:
    """32 random bits for each entry of `shape`, hashed from the key and the entry's position.

    Args:
        key: one of JAX's threefry keys.
        shape: of the result.
    """
    return jax.random.bits(fast_key(key), shape, jnp.uint32)


def _threefry(words):
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def _seed(seed):
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


def _split(words, shape):
    return jax.random.key_data(jax.random.split(_threefry(words), shape))


def _fold_in(words, data):
    return jax.random.key_data(jax.random.fold_in(_threefry(words), data))


def _bits(words, bit_width, shape) -> UInt[Array, ...]:
    # The words of keys that are close to each other are so, too; those drawn by them are not.
    key = jax.random.bits(_threefry(words), (2,), jnp.uint32)
    counter = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    if bit_width == 64:
        high, low = (_hash(key, 2 * counter + half).astype(jnp.uint64) for half in (0, 1))
        return (high << 32) | low
    # All bits are as good as any other.
    return (_hash(key, counter) >> (32 - bit_width)).astype(f"uint{bit_width}")


def _hash(key, counter):
    """The finaliser of MurmurHash3 (A. Appleby, public domain) of counter and key.

    Every bit that goes in flips every bit that comes out with a probability close to one half. The
    key's second word comes in between its halves: without it, keys would give copies of one
    sequence, shifted by their first words.
    """
    bits = counter * jnp.uint32(_GOLDEN) + key[0]
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B) ^ key[1]
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


_HASH = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_bits,
    fold_in=_fold_in,
    name="ensemble_jax_hash",
    tag="hash",
)

"""Keys whose random bits are hashed from a counter: cheap enough for a mask of every activation.

JAX's threefry takes several times as long, and its `rbg` gives other bits under `vmap`, so that a
member would depend on those beside it.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl
from jaxtyping import Array, Int, PRNGKeyArray, UInt, UInt32

_GOLDEN = 0x9E3779B9
_TAG = "hash"


def fast_key(key: PRNGKeyArray) -> PRNGKeyArray:
    """A key of the same words whose bits are cheap, for all that takes a JAX key.

    `jax.random.bernoulli`, and so the dropout of any library, reads the bits of `fast_bits`.
    `fold_in`, `split` and `clone` make such keys again; their words are those that threefry makes,
    which are few and well mixed. The bits of an array repeat after 2^32 entries. Not for
    cryptography.

    Args:
        key: one of JAX's threefry keys, its default; or an array of them. A key that is cheap
            already stays as it is.

    Raises:
        ValueError: if the key is of another kind.
    """
    if str(jax.random.key_impl(key)) == _TAG:
        return key
    if jax.random.key_impl(key) != "threefry2x32":
        raise ValueError(
            f"key must be a threefry2x32 key, JAX's default, got one of {jax.random.key_impl(key)}"
        )
    words = jax.random.key_data(key)
    first_row = jnp.zeros((*words.shape[:-1], 1), words.dtype)
    return jax.random.wrap_key_data(jnp.concatenate([words, first_row], -1), impl=_HASH)


def with_first_row(key: PRNGKeyArray, first_row: Int[Array, ""] | int) -> PRNGKeyArray:
    """The same key for a microbatch: arrays drawn from it are rows of those that the key draws.

    An array of rows `[b, ...]` has the bits of the rows from `first_row` on of a larger one
    `[B, ...]`, and so have those drawn from what `split` and `fold_in` make of the key. A mask for
    every example is then the same whether a batch is computed at once or in parts.

    Args:
        key: one of `fast_key`.
        first_row: the place in the batch of the first example of the microbatch.
    """
    words = jax.random.key_data(key)
    row = jnp.asarray(first_row, words.dtype)
    return jax.random.wrap_key_data(words.at[..., 2].set(row), impl=_HASH)


def fast_bits(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, ...]:
    """32 random bits for each entry of `shape`, hashed from the key and the entry's position.

    Args:
        key: as `fast_key` takes it.
        shape: of the result.
    """
    return jax.random.bits(fast_key(key), shape, jnp.uint32)


def _threefry(words):
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def _seed(seed):
    words = jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))
    return jnp.concatenate([words, jnp.zeros(1, words.dtype)])


def _split(words, shape):
    keys = jax.random.key_data(jax.random.split(_threefry(words[:2]), shape))
    return jnp.concatenate([keys, jnp.broadcast_to(words[2:], (*keys.shape[:-1], 1))], -1)


def _fold_in(words, data):
    new = jax.random.key_data(jax.random.fold_in(_threefry(words[:2]), data))
    return jnp.concatenate([new, words[2:]])


def _bits(words, bit_width, shape) -> UInt[Array, ...]:
    # The words of keys that are close to each other are so, too; those drawn by them are not.
    key = jax.random.bits(_threefry(words[:2]), (2,), jnp.uint32)
    start = words[2] * jnp.uint32(math.prod(shape[1:])) if shape else words[2]
    counter = (jax.lax.iota(jnp.uint32, math.prod(shape)) + start).reshape(shape)
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
    key_shape=(3,),
    seed=_seed,
    split=_split,
    random_bits=_bits,
    fold_in=_fold_in,
    name="ensemble_jax_hash",
    tag=_TAG,
)

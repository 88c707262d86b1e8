"""The statistics are of fixed keys: a test that fails says that the bits have changed for worse.

Scores are in units of the standard deviation that independent bits have; `SIGMAS` are exceeded by
chance once in 1.7 million.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from ensemble_jax import ops
from ensemble_jax.ops.random import with_first_row

SIGMAS = 5.0
KEY = jax.random.key(1)

# Of `jax.random.key(0)`: a run that is resumed after an update must find the masks that it had.
GOLDEN = np.uint32([2785538982, 1139799706, 1574479217, 3641479596])

fast_bits = jax.jit(ops.fast_bits, static_argnums=1)


def key_words(key):
    """Without the row at which a microbatch begins."""
    return np.asarray(jax.random.key_data(key))[..., :2]


def test_a_member_has_its_own_bits_beside_others():
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(4))
    together = jax.jit(jax.vmap(lambda key: ops.fast_bits(key, (3, 5, 7))))(keys)
    for bits, key in zip(together, keys, strict=True):
        np.testing.assert_array_equal(bits, fast_bits(key, (3, 5, 7)))


def test_the_bits_depend_on_the_position_not_on_the_shape():
    np.testing.assert_array_equal(fast_bits(KEY, (6, 10)).ravel(), fast_bits(KEY, (60,)))
    assert fast_bits(KEY, ()).shape == ()


def test_golden_bits():
    np.testing.assert_array_equal(fast_bits(jax.random.key(0), (4,)), GOLDEN)


def test_each_of_the_32_bits_is_balanced():
    bits = np.asarray(fast_bits(KEY, (1 << 18,)))
    set_bits = (bits[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    scores = (set_bits.mean(axis=0) - 0.5) * 2 * np.sqrt(len(bits))
    assert np.abs(scores).max() < SIGMAS


def test_no_two_of_the_32_bits_are_correlated():
    bits = np.asarray(fast_bits(KEY, (1 << 16,)))
    signs = ((bits[:, None] >> np.arange(32, dtype=np.uint32)) & 1) * 2.0 - 1
    scores = signs.T @ signs / np.sqrt(len(bits))
    assert np.abs(scores - np.diag(np.diag(scores))).max() < SIGMAS


def test_every_value_is_as_frequent():
    bits = np.asarray(fast_bits(KEY, (1 << 18,)))
    for shift in (0, 8, 16, 24):
        counts = np.bincount((bits >> shift) & 255, minlength=256)
        expected = len(bits) / 256
        chi_square = ((counts - expected) ** 2 / expected).sum()
        assert abs(chi_square - 255) < SIGMAS * np.sqrt(2 * 255)


def test_a_fast_key_has_the_same_words_and_other_bits():
    fast = ops.fast_key(KEY)
    np.testing.assert_array_equal(key_words(fast), key_words(KEY))
    np.testing.assert_array_equal(jax.random.bits(fast, (7,)), ops.fast_bits(KEY, (7,)))
    assert (jax.random.bits(fast, (7,)) != jax.random.bits(KEY, (7,))).all()


def test_keys_made_of_a_fast_key_have_the_words_that_threefry_makes():
    fast = ops.fast_key(KEY)
    for make in (lambda key: jax.random.fold_in(key, 7), lambda key: jax.random.split(key, (2, 3))):
        assert make(fast).dtype == fast.dtype
        np.testing.assert_array_equal(key_words(make(fast)), key_words(make(KEY)))


def test_an_array_of_keys_becomes_one_of_fast_keys():
    keys = jax.random.split(KEY, (2, 3))
    np.testing.assert_array_equal(
        jax.random.bits(ops.fast_key(keys)[1, 2], (4,)), ops.fast_bits(keys[1, 2], (4,))
    )


def test_keys_of_other_kinds_are_refused():
    with pytest.raises(ValueError, match=r"key must be a threefry2x32 key.* got one of rbg"):
        ops.fast_key(jax.random.key(0, impl="rbg"))


@pytest.mark.parametrize("width", [8, 16, 32])
def test_narrow_bits_are_the_highest(width):
    bits = jax.random.bits(ops.fast_key(KEY), (5, 3), f"uint{width}")
    assert bits.dtype == f"uint{width}"
    np.testing.assert_array_equal(bits, np.asarray(fast_bits(KEY, (5, 3))) >> (32 - width))


def test_wide_bits_are_two_narrow_ones():
    with jax.enable_x64(True):
        bits = np.asarray(jax.random.bits(ops.fast_key(KEY), (5, 3), "uint64"))
    halves = np.asarray(fast_bits(KEY, (5, 3, 2))).astype(np.uint64)
    np.testing.assert_array_equal(bits, halves[..., 0] << np.uint64(32) | halves[..., 1])


def draw(key, step):
    key = jax.random.fold_in(ops.fast_key(key), step)
    first, second = jax.random.split(key)
    return jax.random.bernoulli(first, 0.3, (3, 5)), jax.random.normal(second, (4,))


@pytest.mark.parametrize("others", [1, 2, 5])
def test_a_member_draws_the_same_alone_and_among_others(others):
    """Under `vmap`, in a scan, and compiled."""
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(others))

    @jax.jit
    def together(keys):
        return jax.lax.scan(
            lambda _, step: (None, jax.vmap(draw, (0, None))(keys, step)), None, jnp.arange(3)
        )[1]

    for member, key in enumerate(keys):
        for step in range(3):
            for ours, alone in zip(together(keys), draw(key, step), strict=True):
                np.testing.assert_array_equal(ours[step, member], alone)


def test_draws_of_a_fast_key_are_what_they_are_called():
    key = ops.fast_key(KEY)
    n = 1 << 16
    shares = [jax.random.bernoulli(key, p, (n,)).mean() for p in (0.1, 0.5, 0.75)]
    for p, share in zip((0.1, 0.5, 0.75), shares, strict=True):
        assert abs(share - p) < SIGMAS * np.sqrt(p * (1 - p) / n)
    normal = np.asarray(jax.random.normal(key, (n,)))
    assert abs(normal.mean()) < SIGMAS / np.sqrt(n)
    assert abs(normal.var() - 1) < SIGMAS * np.sqrt(2 / n)
    np.testing.assert_array_equal(np.sort(jax.random.permutation(key, 100)), np.arange(100))


def test_bits_of_keys_made_of_each_other_are_not_correlated():
    """Of a key and of all that comes of it; threefry folds and splits the same number alike."""
    fast = ops.fast_key(KEY)
    keys = [fast, *jax.random.split(fast, 8), *(jax.random.fold_in(fast, i) for i in range(8, 16))]
    masks = np.array([jax.random.bits(key, (1 << 14,)) >> 31 for key in keys]) * 2.0 - 1
    scores = masks @ masks.T / np.sqrt(masks.shape[1])
    assert np.abs(scores - np.diag(np.diag(scores))).max() < SIGMAS


def test_layers_of_flax_draw_from_it():
    ones, key = jnp.ones((64, 64)), ops.fast_key(KEY)
    linen = nn.Dropout(0.25, deterministic=False).apply({}, ones, rngs={"dropout": key})
    for outputs in (linen, nnx.Dropout(0.25, rngs=nnx.Rngs(dropout=key))(ones)):
        kept = np.asarray(outputs) != 0
        np.testing.assert_allclose(outputs[kept], 1 / 0.75)
        assert abs(kept.mean() - 0.75) < SIGMAS * np.sqrt(0.25 * 0.75 / kept.size)
    jaxpr = jax.make_jaxpr(lambda key: jax.random.bernoulli(ops.fast_key(key), 0.5, (99,)))(KEY)
    assert "hash" in str(jaxpr)


@pytest.mark.parametrize("derive", [lambda key: key, lambda key: jax.random.fold_in(key, 7)])
def test_rows_of_a_microbatch_are_those_of_the_batch(derive):
    key = ops.fast_key(KEY)
    whole = jax.random.bits(derive(key), (6, 3, 5))
    for first in (0, 2, 4):
        part = jax.random.bits(derive(with_first_row(key, first)), (2, 3, 5))
        np.testing.assert_array_equal(part, whole[first : first + 2])
    split = jax.random.split(with_first_row(key, 2))[1]
    np.testing.assert_array_equal(
        jax.random.bits(split, (4, 3)), jax.random.bits(jax.random.split(key)[1], (6, 3))[2:]
    )

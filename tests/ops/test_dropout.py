"""The statistics are of fixed keys: a test that fails says that the bits have changed for worse.

A share of n independent entries of probability p has the std sqrt(p (1 - p) / n); `SIGMAS` of
them are exceeded by chance once in 1.7 million.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax import ops

SIGMAS = 5.0
SHAPE = (32, 8, 8, 32)
SIZE = int(np.prod(SHAPE))
ONES = np.ones(SHAPE, np.float32)
KEY = jax.random.key(1)

dropout = jax.jit(ops.dropout)
fast_bits = jax.jit(ops.fast_bits, static_argnums=1)


def mask(rate, key):
    return np.asarray(dropout(ONES, rate, key)) != 0


def keys_of_one_bit():
    """A key and the 64 that differ from it in one bit."""
    data = jax.random.key_data(KEY)
    flips = [np.uint32([1 << bit, 0]) for bit in range(32)]
    flips += [flip[::-1] for flip in flips]
    return [jax.random.wrap_key_data(data ^ flip) for flip in [np.uint32([0, 0]), *flips]]


def correlations(masks, others):
    """Of each pair, in units of the std that independent masks have."""
    masks, others = (m.reshape(len(m), -1).astype(np.float64) for m in (masks, others))
    masks, others = (
        (m - m.mean(1, keepdims=True)) / m.std(1, keepdims=True) for m in (masks, others)
    )
    return (masks * others).mean(axis=1) * np.sqrt(masks.shape[1])


def test_rate_zero_is_the_identity():
    inputs = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_array_equal(dropout(inputs, 0.0, KEY), inputs)


@pytest.mark.parametrize("rate", [0.125, 0.25, 0.5, 0.9])
def test_kept_entries_are_scaled_and_the_others_zero(rate):
    inputs = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    outputs, kept = np.asarray(dropout(inputs, rate, KEY)), mask(rate, KEY)
    np.testing.assert_allclose(outputs[kept], inputs[kept] / (1 - rate), rtol=1e-6)
    assert not outputs[~kept].any()


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.99])
def test_the_share_dropped_is_the_rate(rate):
    dropped = np.mean([1 - mask(rate, jax.random.key(seed)).mean() for seed in range(16)])
    assert abs(dropped - rate) < SIGMAS * np.sqrt(rate * (1 - rate) / (16 * SIZE))


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_the_mean_is_kept(rate):
    mean = np.mean([dropout(ONES, rate, jax.random.key(seed)).mean() for seed in range(16)])
    assert abs(mean - 1) < SIGMAS * np.sqrt(rate / (1 - rate) / (16 * SIZE))


@pytest.mark.parametrize("rate", [2.0**-32, 0.25, 0.3, 0.5, 1 - 2.0**-24])
def test_an_entry_is_dropped_where_its_bits_are_below_the_rate(rate):
    bits = np.asarray(fast_bits(KEY, SHAPE)).astype(np.float64)
    np.testing.assert_array_equal(mask(rate, KEY), bits >= 2.0**32 * np.float32(rate))


def test_a_traced_rate_is_that_rate():
    rates = np.array([0.0, 0.25, 0.5], np.float32)
    inputs = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    traced = jax.jit(jax.vmap(ops.dropout, (None, 0, None)))(inputs, rates, KEY)
    for outputs, rate in zip(traced, rates, strict=True):
        np.testing.assert_allclose(outputs, ops.dropout(inputs, float(rate), KEY), rtol=1e-6)


def test_gradient_flows_where_it_was_kept():
    gradient = jax.grad(lambda x: ops.dropout(x, 0.25, KEY).sum())(ONES)
    np.testing.assert_allclose(gradient, mask(0.25, KEY) / 0.75, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_the_type_stays(dtype):
    for rate in (0.5, np.float32(0.5)):
        assert ops.dropout(jnp.ones((4, 4), dtype), rate, KEY).dtype == dtype


def test_equal_keys_equal_masks():
    np.testing.assert_array_equal(mask(0.5, KEY), mask(0.5, jax.random.key(1)))


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_every_position_is_kept_as_often(rate):
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(4000))
    masks = jax.jit(jax.vmap(lambda key: ops.dropout(jnp.ones(500), rate, key)))(keys) != 0
    scores = (np.mean(masks, axis=0) - (1 - rate)) / np.sqrt(rate * (1 - rate) / len(keys))
    assert np.abs(scores).max() < SIGMAS
    # And their spread is that of independent draws, neither more nor less.
    assert abs(scores.std() - 1) < SIGMAS / np.sqrt(2 * len(scores))


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_neighbours_are_not_correlated(rate):
    kept = mask(rate, KEY).ravel()
    # In a row, between channels, columns, rows and images, and a few in between.
    lags = [*range(1, 34), 64, 255, 256, 257, 2047, 2048, 2049, 1 << 12]
    scores = [correlations(kept[None, lag:], kept[None, :-lag])[0] for lag in lags]
    assert np.abs(scores).max() < SIGMAS


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_masks_of_keys_that_differ_in_one_bit_are_not_correlated(rate):
    first, *others = (mask(rate, key) for key in keys_of_one_bit())
    scores = correlations(np.array([first] * len(others)), np.array(others))
    assert len(scores) == 64
    assert np.abs(scores).max() < SIGMAS


def test_masks_of_the_steps_of_an_epoch_are_not_correlated():
    masks = np.array([mask(0.5, jax.random.fold_in(KEY, step)) for step in range(20)])
    pairs = [(i, j) for i in range(len(masks)) for j in range(i)]
    scores = correlations(*(masks[list(side)] for side in zip(*pairs, strict=True)))
    assert np.abs(scores).max() < SIGMAS
    assert abs(scores.std() - 1) < SIGMAS / np.sqrt(2 * len(scores))


def test_masks_are_not_shifted_copies():
    """Adding to the counter must not be what a key does."""
    masks = [mask(0.5, jax.random.fold_in(KEY, step)).ravel()[:4096] * 2.0 - 1 for step in (0, 1)]
    spectra = [np.fft.fft(m - m.mean()) for m in masks]
    at_every_shift = np.fft.ifft(spectra[0] * spectra[1].conj()).real / np.sqrt(4096)
    assert np.abs(at_every_shift).max() < SIGMAS

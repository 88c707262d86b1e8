from __future__ import annotations

import jax
import numpy as np
import pytest
from ensemble_jax.data.sampling import shuffled_batches
from hypothesis import given, settings
from hypothesis import strategies as st

# Every size is compiled anew and run once.
shuffled = jax.jit(
    shuffled_batches,
    static_argnums=(1, 2),
    compiler_options={"xla_backend_optimization_level": 0},
)


@settings(deadline=None, max_examples=10)
@given(st.data(), st.integers(1, 20))
def test_every_example_exactly_once(data, num_examples):
    batch_size = data.draw(st.integers(1, num_examples))
    indices, weights = shuffled(jax.random.key(0), num_examples, batch_size)
    steps = int(np.ceil(num_examples / batch_size))
    assert indices.shape == weights.shape == (steps, batch_size)
    assert weights.dtype == np.float32
    # The padding is at the end, so that every batch but the last is full.
    flat = np.asarray(weights).ravel()
    np.testing.assert_array_equal(flat, np.arange(flat.size) < num_examples)
    assert sorted(np.asarray(indices)[np.asarray(weights) == 1]) == list(range(num_examples))
    # Padding must be a valid position, whatever is done with what stands there.
    assert ((np.asarray(indices) >= 0) & (np.asarray(indices) < num_examples)).all()


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "last"),
    [(10, 4, [1, 1, 0, 0]), (8, 4, [1] * 4), (3, 3, [1] * 3)],
)
def test_the_last_batch(num_examples, batch_size, last):
    _, weights = shuffled(jax.random.key(0), num_examples, batch_size)
    np.testing.assert_array_equal(weights[-1], last)


def test_equal_keys_equal_orders_and_different_keys_different_ones():
    orders = [tuple(shuffled(jax.random.key(s), 30, 30).indices[0].tolist()) for s in (0, 0, 1, 2)]
    assert orders[0] == orders[1]
    assert len(set(orders)) == 3
    assert orders[0] != tuple(range(30))


def test_the_order_does_not_depend_on_the_batch_size():
    whole = shuffled(jax.random.key(0), 12, 12).indices.ravel()
    np.testing.assert_array_equal(shuffled(jax.random.key(0), 12, 5).indices.ravel()[:12], whole)


def test_every_order_is_as_frequent():
    keys = jax.random.split(jax.random.key(0), 6000)
    orders = jax.jit(jax.vmap(lambda key: shuffled_batches(key, 3, 3).indices[0]))(keys)
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    # Five deviations of a binomial of 1/6.
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(6000 * 1 / 6 * 5 / 6)


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_an_impossible_batch_size_is_refused(batch_size):
    message = rf"^batch_size must lie in 1\.\.10 \(the training examples\), got {batch_size}$"
    with pytest.raises(ValueError, match=message):
        shuffled_batches(jax.random.key(0), 10, batch_size)

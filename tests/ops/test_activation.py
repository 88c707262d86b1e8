from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax import ops

INPUTS = np.array([-100, -20, -3, -1, -1e-3, -1e-9, 0, 1e-9, 1e-3, 1, 3, 100], np.float32)


def test_elu_is_its_definition():
    expected = np.where(INPUTS > 0, INPUTS, np.expm1(INPUTS.astype(np.float64)))
    np.testing.assert_allclose(ops.elu(INPUTS), expected, rtol=0, atol=2e-7)


def test_gradient_of_elu_is_that_of_its_definition():
    gradient = jax.vmap(jax.grad(ops.elu))(INPUTS)
    expected = np.exp(np.minimum(INPUTS, 0).astype(np.float64))
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(value):
    # A member that diverges is found by its numbers.
    outputs, pull_back = jax.vjp(ops.elu, jnp.float32(value))
    np.testing.assert_array_equal(outputs, value)
    assert not np.isfinite(pull_back(jnp.float32(value))[0])


def test_gradient_keeps_one_array():
    _, pull_back = jax.vjp(ops.elu, INPUTS)
    kept = [leaf for leaf in jax.tree.leaves(pull_back) if leaf.size == INPUTS.size]
    assert len(kept) == 1

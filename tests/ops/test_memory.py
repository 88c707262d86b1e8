"""What is stored is the same array, and on a CPU nothing is fused across it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.ops.memory import stored

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("lifted", [stored, jax.jit(stored), jax.vmap(stored)])
def test_it_is_the_same_array(lifted):
    np.testing.assert_array_equal(lifted(ARRAY), ARRAY)


def test_its_gradient_is_that_of_the_identity():
    gradient = jax.grad(lambda x: (stored(x) ** 2).sum())(ARRAY)
    np.testing.assert_array_equal(gradient, 2 * ARRAY)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="only a CPU stores")
def test_nothing_is_fused_across_it():
    def fusions(between):
        def function(x):
            return jnp.tanh(between(jnp.exp(x) + 1)) * 2

        return jax.jit(function).lower(ARRAY).compile().as_text().count(" fusion(")

    assert fusions(lambda x: x) == 1
    assert fusions(stored) == 2

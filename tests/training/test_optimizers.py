from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.optimizers import decayed_learning_rate, make_update_rule
from ensemble_jax.options import Optimizer


@pytest.mark.parametrize(
    ("learning_rate", "factor", "every", "expected"),
    [
        # The paper's: divided by 1.8 every 20 epochs.
        (0.05, 1.8, 20, {0: 0.05, 19: 0.05, 20: 0.05 / 1.8, 39: 0.05 / 1.8, 40: 0.05 / 3.24}),
        (1.0, 2.0, 1, {0: 1.0, 1: 0.5, 2: 0.25, 10: 1 / 1024}),
        (0.1, 1.0, 3, {0: 0.1, 2: 0.1, 3: 0.1, 100: 0.1}),
        (0.4, 4.0, 3, {2: 0.4, 3: 0.1, 5: 0.1, 6: 0.025}),
    ],
)
def test_decayed_learning_rate(tiny, learning_rate, factor, every, expected):
    settings = jax.tree.map(
        lambda x: x[0],
        tiny.settings(1, learning_rate=learning_rate, decay_factor=factor, decay_epochs=every),
    )
    rates = {epoch: float(decayed_learning_rate(settings, epoch)) for epoch in expected}
    assert rates == pytest.approx(expected, rel=1e-6)
    traced = jax.jit(decayed_learning_rate)(settings, jnp.arange(len(expected)))
    assert traced.dtype == jnp.float32
    epochs = np.array(list(expected))
    vectorised = jax.vmap(decayed_learning_rate, (None, 0))(settings, epochs)
    np.testing.assert_allclose(vectorised, list(expected.values()), rtol=1e-6)


def test_l2_shrinks_kernels_and_nothing_else(tiny):
    """Of a gradient of zero, SGD's step is that of `l2 * sum(kernel ** 2)` alone."""
    params = {
        "Dense_0": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, 2.0)},
        "BatchNorm_0": {"scale": jnp.full(3, 2.0), "bias": jnp.full(3, 2.0)},
    }
    settings = jax.tree.map(lambda x: x[0], tiny.settings(1, l2=0.03))
    rule = make_update_rule(Optimizer.SGD, settings, 0.5)
    updates, _ = rule.update(jax.tree.map(jnp.zeros_like, params), rule.init(params), params)
    np.testing.assert_allclose(updates["Dense_0"].pop("kernel"), -0.5 * 2 * 0.03 * 2.0, rtol=1e-6)
    assert not any(leaf.any() for leaf in jax.tree.leaves(updates))


@pytest.mark.parametrize("optimizer", Optimizer)
def test_every_number_may_be_traced(tiny, optimizer):
    params = {"Dense_0": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}

    def update(settings, gradient):
        rule = make_update_rule(optimizer, settings, settings.learning_rate)
        return rule.update(gradient, rule.init(params), params)[0]

    settings = tiny.settings(2, learning_rate=(0.1, 0.2), momentum=(0.5, 0.9), l2=0.0)
    updates = jax.jit(jax.vmap(update, (0, None)))(settings, params)["Dense_0"]["kernel"]
    assert (updates < 0).all()
    np.testing.assert_allclose(updates[1], 2 * updates[0], rtol=1e-5)


@pytest.mark.parametrize("optimizer", [o for o in Optimizer if o is not Optimizer.MOMENTUM])
def test_momentum_is_that_of_the_optimizer_momentum_alone(tiny, optimizer):
    params = {"Dense_0": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}

    def two_steps(momentum):
        settings = jax.tree.map(lambda x: x[0], tiny.settings(1, momentum=momentum))
        rule = make_update_rule(optimizer, settings, 0.1)
        _, state = rule.update(params, rule.init(params), params)
        return rule.update(params, state, params)

    jax.tree.map(np.testing.assert_array_equal, two_steps(0.1), two_steps(0.9))

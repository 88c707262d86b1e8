"""Batch normalisation: the statistics of the examples that count, and no others."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ensemble_jax.models import TrainingPass
from ensemble_jax.models.layers import BatchNorm

# Compile time is all the time there is, so nothing is optimised that is run once.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

B, SHAPE = 6, (3, 4, 5)
EPSILON = 1e-5


@pytest.fixture
def inputs() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(B, *SHAPE)) * [1, 2, 0.5, 3, 1]
    return (values + np.array([0, 5, -3, 100, 1])).astype(np.float32)


def make_variables() -> dict:
    """Such that each of the four matters."""
    rng = np.random.default_rng(1)
    scale, bias, mean = (rng.normal(size=5).astype(np.float32) for _ in range(3))
    variance = rng.uniform(0.5, 2, 5).astype(np.float32)
    params, kept = {"scale": scale, "bias": bias}, {"mean": mean, "var": variance}
    return {"params": params, "batch_stats": kept}


def apply_in_training(variables, inputs, weights):
    training = TrainingPass(weights=weights)
    return BatchNorm().apply(variables, inputs, training, mutable=["batch_stats"])


def train(inputs, weights=None):
    return quick_jit(apply_in_training)(make_variables(), inputs, weights)


def test_variables_begin_as_the_identity(inputs):
    variables = BatchNorm().init(jax.random.key(0), inputs, None)
    assert jax.tree.map(np.unique, variables) == {
        "params": {"scale": 1, "bias": 0},
        "batch_stats": {"mean": 0, "var": 1},
    }
    outputs = BatchNorm().apply(variables, inputs, None)
    np.testing.assert_allclose(outputs, inputs / np.sqrt(1 + EPSILON), rtol=1e-6)


@pytest.mark.parametrize("weights", [None, [1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 1]], ids=str)
def test_statistics_are_those_of_the_examples_that_count(inputs, weights):
    outputs, updated = train(inputs, None if weights is None else jnp.float32(weights))
    counted = inputs.astype(float)[np.array(weights or [1] * B, bool)]
    mean, variance = counted.mean((0, 1, 2)), counted.var((0, 1, 2))
    (scale, bias), kept = make_variables()["params"].values(), make_variables()["batch_stats"]
    expected = (inputs - mean) / np.sqrt(variance + EPSILON) * scale + bias
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-4)
    # The kept variance moves towards the unbiased one.
    moved = {"mean": mean, "var": counted.var((0, 1, 2), ddof=1)}
    for name, value in moved.items():
        np.testing.assert_allclose(
            updated["batch_stats"][name], 0.9 * kept[name] + 0.1 * value, rtol=1e-5
        )


def test_padding_changes_nothing(inputs):
    """Neither outputs nor statistics nor gradients, whatever the padding is."""
    padded = np.concatenate([inputs, 1e3 * inputs[:2]])
    cotangent = np.random.default_rng(2).normal(size=inputs.shape).astype(np.float32)

    def loss(variables, x, weights):
        outputs, updated = apply_in_training(variables, x, weights)
        return (outputs[:B] * cotangent).sum(), (outputs[:B], updated)

    results = [
        quick_jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(make_variables(), x, weights)
        for x, weights in ((inputs, None), (padded, jnp.float32([1] * B + [0, 0])))
    ]
    (_, whole), (variables_gradient, gradient) = results[0]
    (_, part), (padded_variables_gradient, padded_gradient) = results[1]
    for ours, theirs in (
        (whole, part),
        (variables_gradient["params"], padded_variables_gradient["params"]),
        (gradient, padded_gradient[:B]),
    ):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs
        )
    assert not padded_gradient[B:].any()


def test_a_batch_of_padding_alone_stays_finite(inputs):
    outputs, updated = train(inputs, jnp.zeros(B))
    assert np.abs(outputs).max() < 20
    assert jax.tree.all(jax.tree.map(lambda x: np.isfinite(x).all(), updated))


def test_evaluation_uses_what_is_kept(inputs):
    variables = make_variables()
    outputs = BatchNorm().apply(variables, inputs, None)
    kept = variables["batch_stats"]
    normalised = (inputs - kept["mean"]) / np.sqrt(kept["var"] + EPSILON)
    expected = normalised * variables["params"]["scale"] + variables["params"]["bias"]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_pytorch_keeps_the_same(inputs):
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    variables = make_variables()
    layer = torch.nn.BatchNorm2d(5)
    layer.load_state_dict(
        {
            "weight": torch.from_numpy(variables["params"]["scale"]),
            "bias": torch.from_numpy(variables["params"]["bias"]),
            "running_mean": torch.from_numpy(variables["batch_stats"]["mean"]),
            "running_var": torch.from_numpy(variables["batch_stats"]["var"]),
            "num_batches_tracked": torch.tensor(0),
        }
    )
    theirs = layer(torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy()))
    outputs, updated = train(inputs)
    np.testing.assert_allclose(
        outputs, theirs.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-3, atol=1e-4
    )
    for name, kept in (("mean", layer.running_mean), ("var", layer.running_var)):
        np.testing.assert_allclose(updated["batch_stats"][name], kept.numpy(), rtol=1e-5)

"""Batch normalisation of the architectures: statistics by hand, and PyTorch's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ensemble_jax.networks import Variables, as_network, prepared
from ensemble_jax.options import Precision
from ensemble_jax.zoo.architecture import batch_norm

B, SHAPE = 6, (3, 4, 5)
EPSILON = 1e-5


class Normalised(nn.Module):
    """Batch normalisation alone; means over pixels are its outputs where `[B, K]` is needed."""

    pooled: bool = False

    @nn.compact
    def __call__(self, x, train: bool):
        x = batch_norm(x, train)
        return x.mean((1, 2)) if self.pooled else x


@pytest.fixture
def inputs() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(B, *SHAPE)) * [1, 2, 0.5, 3, 1]
    return (values + np.array([0, 5, -3, 100, 1])).astype(np.float32)


def make_variables() -> Variables:
    """Such that each of the four matters."""
    rng = np.random.default_rng(1)
    scale, bias, mean = (rng.normal(size=5).astype(np.float32) for _ in range(3))
    variance = rng.uniform(0.5, 2, 5).astype(np.float32)
    kept = {"BatchNorm_0": {"mean": jnp.asarray(mean), "var": jnp.asarray(variance)}}
    params = {"BatchNorm_0": {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}}
    return Variables(params, {"batch_stats": kept})


NETWORK = as_network(Normalised())
PARAMS = jax.tree.map(np.asarray, make_variables().params["BatchNorm_0"])
KEPT = jax.tree.map(np.asarray, make_variables().state["batch_stats"]["BatchNorm_0"])


def train(inputs, network=NETWORK):
    outputs, state = network.apply(make_variables(), inputs, key=jax.random.key(0), train=True)
    return outputs, state["batch_stats"]["BatchNorm_0"]


def test_variables_begin_as_the_identity(inputs):
    variables = NETWORK.init(jax.random.key(0), inputs)
    assert jax.tree.map(np.unique, variables) == Variables(
        {"BatchNorm_0": {"scale": 1, "bias": 0}},
        {"batch_stats": {"BatchNorm_0": {"mean": 0, "var": 1}}},
    )
    outputs, _ = NETWORK.apply(variables, inputs, key=None, train=False)
    np.testing.assert_allclose(outputs, inputs / np.sqrt(1 + EPSILON), rtol=1e-6)


def test_statistics_are_those_of_the_batch(inputs):
    outputs, kept = train(inputs)
    exact = inputs.astype(float)
    mean, variance = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    normalised = (inputs - mean) / np.sqrt(variance + EPSILON)
    expected = normalised * PARAMS["scale"] + PARAMS["bias"]
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(kept["mean"], 0.9 * KEPT["mean"] + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(kept["var"], 0.9 * KEPT["var"] + 0.1 * variance, rtol=1e-5)


def test_small_variance_beside_a_large_mean_is_not_lost():
    values = np.random.default_rng(0).normal(size=(500, 1, 1, 5))
    outputs, _ = train((1000 + values).astype(np.float32))
    np.testing.assert_allclose(np.std(outputs, axis=(0, 1, 2)), np.abs(PARAMS["scale"]), rtol=1e-2)


def test_evaluation_uses_what_is_kept(inputs):
    outputs, state = NETWORK.apply(make_variables(), inputs, key=None, train=False)
    normalised = (inputs - KEPT["mean"]) / np.sqrt(KEPT["var"] + EPSILON)
    expected = normalised * PARAMS["scale"] + PARAMS["bias"]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, state, make_variables().state)


def test_statistics_stay_float32_in_bfloat16(inputs):
    network = prepared(as_network(Normalised(pooled=True)), precision=Precision.BFLOAT16)
    outputs, kept = train(inputs, network)
    assert {leaf.dtype for leaf in jax.tree.leaves((outputs, kept))} == {jnp.dtype("float32")}
    exact = inputs.astype(jnp.bfloat16).astype(float)
    expected = 0.9 * KEPT["var"] + 0.1 * exact.var((0, 1, 2))
    np.testing.assert_allclose(kept["var"], expected, rtol=1e-4)


def test_pytorch_does_the_same_but_keeps_the_unbiased_variance(inputs):
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    layer = torch.nn.BatchNorm2d(5)
    tensors = {
        "weight": PARAMS["scale"],
        "bias": PARAMS["bias"],
        "running_mean": KEPT["mean"],
        "running_var": KEPT["var"],
    }
    layer.load_state_dict(
        {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
        | {"num_batches_tracked": torch.tensor(0)}
    )
    theirs = layer(torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy()))
    outputs, kept = train(inputs)
    np.testing.assert_allclose(
        outputs, theirs.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(kept["mean"], layer.running_mean.numpy(), rtol=1e-5)
    count = inputs[..., 0].size
    biased = 0.9 * KEPT["var"] + (layer.running_var.numpy() - 0.9 * KEPT["var"]) * (1 - 1 / count)
    np.testing.assert_allclose(kept["var"], biased, rtol=1e-5)

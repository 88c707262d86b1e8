"""Raw inputs, and the precision that layers compute in."""

from __future__ import annotations

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ensemble_jax.networks import (
    Network,
    Sequences,
    Variables,
    as_network,
    prepared,
    rounding_products,
)
from ensemble_jax.options import Precision

KEY = jax.random.key(1)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.relu(nn.Dense(16)(x.reshape(len(x), -1)))
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not train)(x))


def recorder() -> tuple[Network, list]:
    """A network that writes down what it sees."""
    seen = []

    def apply(variables, inputs, *, key, train):
        seen.append(inputs)
        return jnp.zeros((len(jax.tree.leaves(inputs)[0]), 2)), variables.state

    return Network(lambda key, inputs: Variables({}, {}), apply), seen


def see(inputs, **options):
    network, seen = recorder()
    prepared(network, **options).apply(Variables({}, {}), inputs, key=None, train=False)
    return seen[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_are_normalised(dtype):
    mean, std = np.float32([100, 50, 10]), np.float32([50, 20, 3])
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(dtype)
    inputs = see(images, mean=mean, std=std)
    assert inputs.dtype == jnp.float32
    np.testing.assert_allclose(inputs, (images.astype(float) - mean) / std, rtol=1e-5, atol=1e-5)
    rounded = see(images, mean=mean, std=std, precision=Precision.BFLOAT16)
    np.testing.assert_array_equal(rounded, inputs.astype(jnp.bfloat16))


def test_texts_become_the_vectors_of_their_words():
    vectors = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    texts = np.array([[3, 1, 0], [4, 0, 0]], np.int32)
    inputs = see(texts, word_vectors=vectors)
    assert isinstance(inputs, Sequences)
    np.testing.assert_array_equal(inputs.vectors, vectors[texts])
    np.testing.assert_array_equal(inputs.present, [[1, 1, 0], [1, 0, 0]])
    rounded = see(texts, word_vectors=vectors, precision=Precision.BFLOAT16)
    assert rounded.vectors.dtype == jnp.bfloat16


def test_without_a_mean_integers_stay():
    assert see(np.ones((2, 3), np.int32), mean=None).dtype == jnp.int32
    floats = np.ones((2, 3), np.float32)
    assert see(floats, mean=None, precision=Precision.BFLOAT16).dtype == jnp.bfloat16


def test_initialisation_sees_what_is_prepared():
    vectors = np.ones((5, 2), np.float32)
    network, shapes = Network(lambda key, inputs: Variables(inputs, {}), recorder()[0].apply), []
    shapes = jax.eval_shape(
        prepared(network, word_vectors=vectors).init, KEY, np.zeros((2, 3), np.int32)
    )
    assert shapes.params.vectors.shape == (2, 3, 2)


@pytest.mark.parametrize("train", [False, True])
def test_what_is_prepared_is_what_the_network_computes(train):
    raw = np.random.default_rng(0).normal(3, 2, (5, 4)).astype(np.float32)
    network = as_network(Net())
    wrapped = prepared(network, mean=3.0, std=2.0)
    variables = wrapped.init(KEY, raw)
    jax.tree.map(np.testing.assert_array_equal, variables, network.init(KEY, (raw - 3) / 2))
    ours, _ = wrapped.apply(variables, raw, key=KEY, train=train)
    theirs, _ = network.apply(variables, (raw - 3) / 2, key=KEY, train=train)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_float32_with_fewer_digits():
    inputs = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    precisions = Precision.FLOAT32, Precision.BFLOAT16
    networks = [prepared(as_network(Net()), precision=precision) for precision in precisions]
    variables = networks[0].init(KEY, inputs)
    exact, rounded = (
        network.apply(variables, inputs, key=None, train=False)[0] for network in networks
    )
    assert rounded.dtype == jnp.float32
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=0.05)
    assert np.abs(rounded - exact).max() > 1e-4


def test_a_tpu_rounds_what_it_multiplies_and_nothing_else():
    inputs = np.ones((2, 4), np.float32)
    assert see(inputs, precision=Precision.BFLOAT16, platform="tpu").dtype == jnp.float32
    assert see(inputs, precision=Precision.BFLOAT16, platform="gpu").dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        (Precision.FLOAT32, "HIGHEST"),
        (Precision.TENSORFLOAT32, "HIGH,"),
        (Precision.BFLOAT16, "DEFAULT"),
    ],
)
def test_products_are_in_the_precision_asked_for(precision, expected):
    network = rounding_products(as_network(Net()), precision)
    inputs = np.zeros((5, 4), np.float32)
    variables = network.init(KEY, inputs)
    jaxpr = jax.make_jaxpr(partial(network.apply, key=None, train=False))(variables, inputs)
    assert str(jaxpr).count(f"Precision.{expected}") or str(jaxpr).count(expected) >= 2


def test_bfloat16_is_what_layers_multiply_and_nothing_else():
    network = prepared(as_network(Net()), precision=Precision.BFLOAT16)
    inputs = np.zeros((5, 4), np.float32)
    params = network.init(KEY, inputs).params
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}

    def loss(params):
        return network.apply(Variables(params, {}), inputs, key=KEY, train=True)[0].sum()

    gradient = jax.grad(loss)(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}
    products = re.findall(
        r"(\w+)\[[\d,]*\] = dot_general\[", str(jax.make_jaxpr(jax.grad(loss))(params))
    )
    assert len(products) > 3
    assert set(products) == {"bf16"}


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda x: x.sum(1), "(5,)"),
        (lambda x: x[:, :, None], "(5, 4, 1)"),
        (lambda x: x[:3], "(3, 4)"),
        (lambda x: (x, x), "tuple"),
    ],
)
def test_outputs_of_other_shapes_are_refused(make, got):
    network = Network(
        lambda key, inputs: Variables({}, {}),
        lambda variables, inputs, *, key, train: (make(inputs), variables.state),
    )
    apply = partial(prepared(network).apply, Variables({}, {}), key=None, train=False)
    message = f"the network must return an array of shape [B, K] for 5 examples, got {got}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        apply(np.zeros((5, 4), np.float32))

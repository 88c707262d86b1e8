"""What every network obeys, whichever way it is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from ensemble_jax.networks import (
    Network,
    Variables,
    as_network,
    count_parameters,
    prepared,
    scaled_dropout,
)
from ensemble_jax.options import Precision

SHAPE, K = (6, 6, 2), 3
INPUTS = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = nn.max_pool(x, (2, 2), (2, 2)).reshape(len(x), -1)
        return nn.Dense(K)(nn.Dropout(0.5, deterministic=not train)(x))


class NnxNet(nnx.Module):
    """The same network; its layers lie in a list, whose places are names as well."""

    def __init__(self, rngs: nnx.Rngs):
        self.layers = nnx.List(
            [nnx.Conv(2, 4, (3, 3), rngs=rngs), nnx.BatchNorm(4, momentum=0.9, rngs=rngs)]
        )
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(36, K, rngs=rngs)

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        x = nnx.max_pool(nnx.relu(x), (2, 2), (2, 2)).reshape(len(x), -1)
        return self.dense(self.dropout(x))


class NnxWithMode(nnx.Module):
    """The same, but told by an argument."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(2, features, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(features, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(9 * features, K, rngs=rngs)

    def __call__(self, x, *, train: bool):
        x = nnx.relu(self.norm(self.conv(x), use_running_average=not train))
        x = nnx.max_pool(x, (2, 2), (2, 2)).reshape(len(x), -1)
        return self.dense(self.dropout(x, deterministic=not train))


def pure_network() -> Network:
    """By hand, with a count of its steps as state and additive noise in training."""

    def init(key, inputs):
        size = inputs[0].size
        return Variables({"kernel": jax.random.normal(key, (size, K))}, {"steps": jnp.zeros(())})

    def apply(variables, inputs, *, key, train):
        outputs = inputs.reshape(len(inputs), -1) @ variables.params["kernel"]
        if not train:
            return outputs, variables.state
        noise = jax.random.normal(key, outputs.shape)
        return outputs + noise, {"steps": variables.state["steps"] + 1}

    return Network(init, apply)


NETWORKS: dict[str, Network] = {
    "linen": as_network(LinenNet()),
    "nnx": as_network(NnxNet),
    "nnx_with_mode": as_network(lambda rngs: NnxWithMode(4, rngs=rngs)),
    "pure": as_network(pure_network()),
}
WITH_DROPOUT = [name for name in NETWORKS if name != "pure"]
COUNT = (3 * 3 * 2 * 4 + 4) + 2 * 4 + (36 * K + K)
SEEDS = range(3)


class Compiled:
    """A network's variables for a seed, and its functions compiled."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.init = jax.jit(lambda seed: network.init(jax.random.key(seed), INPUTS))
        self.evaluate = jax.jit(
            lambda variables: network.apply(variables, INPUTS, key=None, train=False)
        )
        self.train = jax.jit(
            lambda variables, seed: network.apply(
                variables, INPUTS, key=jax.random.key(seed), train=True
            )
        )


@pytest.fixture(scope="module", params=NETWORKS)
def compiled(request) -> Compiled:
    return Compiled(NETWORKS[request.param])


def member(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def assert_equal(ours, theirs) -> None:
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def assert_close(ours, theirs) -> None:
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), ours, theirs)


def test_a_member_is_its_key(compiled):
    assert_equal(compiled.init(0), compiled.init(0))
    ours, theirs = (jax.tree.leaves(compiled.init(seed).params) for seed in (0, 1))
    kernels = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.ndim > 1]
    assert kernels
    assert not any(np.isin(a, b).any() for a, b in kernels)


def test_evaluation_is_deterministic_and_keeps_the_state(compiled):
    variables = compiled.init(0)
    outputs, state = compiled.evaluate(variables)
    assert outputs.shape == (len(INPUTS), K)
    assert_equal(state, variables.state)
    assert_equal(compiled.evaluate(variables)[0], outputs)


def test_training_is_its_key(compiled):
    variables = compiled.init(0)
    outputs, _ = compiled.train(variables, 1)
    assert_equal(compiled.train(variables, 1)[0], outputs)
    assert np.abs(compiled.train(variables, 2)[0] - outputs).max() > 0.01


def test_training_changes_the_state_and_keeps_its_form(compiled):
    variables = compiled.init(0)
    _, state = compiled.train(variables, 1)
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, variables.state)
    for new, old in zip(*map(jax.tree.leaves, (state, variables.state)), strict=True):
        assert new.dtype == old.dtype
        assert (new != old).all()


def test_members_at_once_are_members_alone(compiled):
    seeds = jnp.array(SEEDS)
    members = jax.vmap(compiled.init)(seeds)
    trained = jax.vmap(compiled.train)(members, seeds + 10)
    evaluated = jax.vmap(compiled.evaluate)(members)
    for i in SEEDS:
        alone = compiled.init(i)
        assert_equal(member(members, i), alone)
        assert_close(member(trained, i), compiled.train(alone, i + 10))
        assert_close(member(evaluated, i), compiled.evaluate(alone))


def test_gradients_inside_a_loop(compiled):
    """A loop over steps takes the state as what it carries, and gradients are not all zero."""
    apply = compiled.network.apply

    @jax.jit
    def run(variables):
        def loss(params, state, key):
            outputs, state = apply(Variables(params, state), INPUTS, key=key, train=True)
            return (outputs**2).sum(), state

        def step(variables, seed):
            gradient, state = jax.grad(loss, has_aux=True)(*variables, jax.random.key(seed))
            params = jax.tree.map(lambda p, g: p - 1e-3 * g, variables.params, gradient)
            return Variables(params, state), None

        return jax.lax.scan(step, variables, jnp.arange(3))[0]

    old = compiled.init(0)
    for before, after in zip(*map(jax.tree.leaves, (old, run(old))), strict=True):
        assert np.abs(before - after).max() > 0


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_parameters_are_nested_dictionaries_as_many_as_by_hand(name):
    network = NETWORKS[name]
    assert count_parameters(network, jax.ShapeDtypeStruct(INPUTS.shape, np.float32)) == COUNT
    paths = jax.tree_util.tree_leaves_with_path(network.init(jax.random.key(0), INPUTS))
    names = {str(path[-1].key) for path, _ in paths}
    assert names == {"kernel", "bias", "scale", "mean", "var"}
    assert all(isinstance(key.key, str) for path, _ in paths for key in path[1:])


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_dropout_scale(name):
    """0 is no dropout; each member may have its own; 1 drops as often as the layer says."""
    network, key = NETWORKS[name], jax.random.key(4)
    variables = network.init(jax.random.key(0), INPUTS)

    @jax.jit
    def train(scale):
        with scaled_dropout(scale):
            return network.apply(variables, INPUTS, key=key, train=True)[0]

    scales = jnp.array([0.0, 0.5, 1.0, 1.9])
    alone = [train(scale) for scale in scales]
    assert_close(jax.vmap(train)(scales), jnp.stack(alone))
    differences = [np.abs(alone[i + 1] - alone[i]).max() for i in range(3)]
    assert min(differences) > 1e-3
    # What is not dropped is scaled by 1 / (1 - rate), so at rate 0 nothing is.
    without, _ = DETERMINISTIC[name].apply(variables, INPUTS, key=key, train=True)
    assert_close(alone[0], without)


class LinenWithout(LinenNet):
    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(K)(nn.max_pool(x, (2, 2), (2, 2)).reshape(len(x), -1))


def without_dropout(make: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    def factory(rngs):
        module = make(rngs)
        module.dropout.rate = 0.0
        return module

    return as_network(factory)


DETERMINISTIC = {
    "linen": as_network(LinenWithout()),
    "nnx": without_dropout(NnxNet),
    "nnx_with_mode": without_dropout(lambda rngs: NnxWithMode(4, rngs=rngs)),
}


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_evaluation_knows_no_dropout_scale(name):
    network = NETWORKS[name]
    variables = network.init(jax.random.key(0), INPUTS)
    plain, _ = network.apply(variables, INPUTS, key=None, train=False)
    with scaled_dropout(1.5):
        scaled, _ = network.apply(variables, INPUTS, key=None, train=False)
    assert_equal(scaled, plain)
    again, _ = network.apply(variables, INPUTS, key=jax.random.key(1), train=True)
    assert_equal(again, network.apply(variables, INPUTS, key=jax.random.key(1), train=True)[0])


def test_both_apis_compute_the_same():
    linen, flax = NETWORKS["linen"], NETWORKS["nnx"]
    params, state = flax.init(jax.random.key(0), INPUTS)
    renamed = Variables(
        {
            "Conv_0": params["layers"]["0"],
            "BatchNorm_0": params["layers"]["1"],
            "Dense_0": params["dense"],
        },
        {"batch_stats": {"BatchNorm_0": state["layers"]["1"]}},
    )
    ours, _ = flax.apply(Variables(params, state), INPUTS, key=None, train=False)
    theirs, _ = linen.apply(renamed, INPUTS, key=None, train=False)
    assert_close(ours, theirs)
    _, ours = flax.apply(Variables(params, state), INPUTS, key=jax.random.key(1), train=True)
    _, theirs = linen.apply(renamed, INPUTS, key=jax.random.key(1), train=True)
    assert_close(ours["layers"]["1"], theirs["batch_stats"]["BatchNorm_0"])


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_bfloat16_leaves_variables_and_outputs_float32(name):
    network = prepared(NETWORKS[name], precision=Precision.BFLOAT16)

    def loss(params, state):
        variables = Variables(params, state)
        outputs, state = network.apply(variables, INPUTS, key=jax.random.key(0), train=True)
        return outputs.sum(), (outputs, state)

    variables = jax.eval_shape(network.init, jax.random.key(0), INPUTS)
    results = jax.eval_shape(jax.value_and_grad(loss, has_aux=True), *variables)
    dtypes = {leaf.dtype for leaf in jax.tree.leaves((variables, results))}
    assert dtypes == {jnp.dtype("float32")}
    program = str(jax.make_jaxpr(jax.grad(lambda *args: loss(*args)[0]))(*variables))
    assert "bf16[5,6,6,4] = conv_general_dilated" in program.replace("\n", " ")

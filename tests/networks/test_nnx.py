"""Modules of flax.nnx: factories, variables, streams of randomness, and mistakes."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from ensemble_jax.networks import Variables, as_network, scaled_dropout

X = np.ones((4, 6), np.float32)
KEY = jax.random.key(7)


class Net(nnx.Module):
    def __init__(self, features: int = 2, *, rngs: nnx.Rngs):
        self.dense = nnx.Linear(6, features, rngs=rngs)

    def __call__(self, x):
        return self.dense(x)


def by_position(stream):
    return Net(3, rngs=stream)


@pytest.mark.parametrize(
    ("factory", "features"), [(Net, 2), (by_position, 3), (lambda rngs: Net(5, rngs=rngs), 5)]
)
def test_classes_and_functions(factory, features):
    network = as_network(factory)
    variables = network.init(KEY, X)
    assert jax.tree.map(jnp.shape, variables.params) == {
        "dense": {"kernel": (6, features), "bias": (features,)}
    }
    assert variables.state == {}
    outputs, state = network.apply(variables, X, key=None, train=False)
    np.testing.assert_allclose(outputs, X @ variables.params["dense"]["kernel"], rtol=1e-5)
    assert state == {}


def test_initialisation_is_flaxs_own():
    variables = as_network(Net).init(KEY, X)
    theirs = Net(rngs=nnx.Rngs(KEY))
    np.testing.assert_array_equal(variables.params["dense"]["kernel"], theirs.dense.kernel[...])


class Many(nnx.Module):
    """More layers than there are digits, so that places in lists are in no alphabetic order."""

    def __init__(self, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(6, 6, rngs=rngs) for _ in range(12)])

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_places_in_lists_keep_their_order():
    network = as_network(Many)
    params = network.init(KEY, X).params
    for i in range(12):
        params["layers"][str(i)]["kernel"] = jnp.eye(6) if i != 10 else 3 * jnp.eye(6)
        params["layers"][str(i)]["bias"] = jnp.full(6, 1.0 if i == 11 else 0.0)
    outputs, _ = network.apply(Variables(params, {}), X, key=None, train=False)
    np.testing.assert_array_equal(outputs, 3 * X + 1)


class Counter(nnx.Module):
    """Variables of other types, an array that is no variable, and one array under two names."""

    def __init__(self, rngs: nnx.Rngs):
        self.calls = nnx.Variable(jnp.zeros((), jnp.int32))
        self.dense = nnx.Linear(6, 6, use_bias=False, rngs=rngs)
        self.same = self.dense
        self.constant = np.full(6, 2.0, np.float32)

    def __call__(self, x, train: bool):
        if train:
            self.calls[...] += 1
        return self.same(self.dense(x)) * self.constant[np.newaxis]


def test_other_variables_are_state():
    network = as_network(Counter)
    variables = network.init(KEY, X)
    assert jax.tree.map(jnp.shape, variables) == Variables(
        {"dense": {"kernel": (6, 6)}}, {"calls": ()}
    )
    outputs, state = network.apply(variables, X, key=KEY, train=True)
    assert state == {"calls": 1}
    kernel = variables.params["dense"]["kernel"]
    np.testing.assert_allclose(outputs, X @ kernel @ kernel * 2, rtol=1e-5)
    assert network.apply(variables, X, key=None, train=False)[1] is variables.state


class Noisy(nnx.Module):
    """Streams of several names: some of the factory's, one of its own that begins the same."""

    def __init__(self, rngs: nnx.Rngs):
        self.rngs = rngs
        self.own = nnx.Rngs(0)
        self.drops = nnx.List([nnx.Dropout(0.5, rngs=rngs) for _ in range(2)])

    def __call__(self, x, train: bool):
        if not train:
            return x
        drawn = [jax.random.normal(s(), (6,)) for s in (self.rngs.noise, self.rngs.other, self.own)]
        return jnp.stack([*drawn, *(drop(jnp.arange(1.0, 7.0)) for drop in self.drops)])


def test_streams_of_any_name_begin_with_the_key_of_the_step():
    network = as_network(Noisy)
    assert network.init(KEY, X) == Variables({}, {})

    def draw(seed):
        return network.apply(Variables({}, {}), X, key=jax.random.key(seed), train=True)[0][:3]

    ours, others = np.asarray(draw(0)), np.asarray(draw(1))
    assert len(np.unique(ours)) == ours.size
    np.testing.assert_array_equal(draw(0), ours)
    assert not np.isin(others, ours).any()


class Dropped(nnx.Module):
    def __init__(self, broadcast: tuple[int, ...] = (), rate: float = 0.5, *, rngs: nnx.Rngs):
        self.drop = nnx.Dropout(rate, broadcast_dims=broadcast, rngs=rngs)

    def __call__(self, x):
        return self.drop(x)


def drop(scale, **fields):
    inputs = np.ones((40, 50), np.float32)
    network = as_network(lambda rngs: Dropped(**fields, rngs=rngs))
    with scaled_dropout(scale):
        return np.asarray(network.apply(Variables({}, {}), inputs, key=KEY, train=True)[0])


@pytest.mark.parametrize("scale", [0.2, 1.0, 1.5])
def test_scaled_dropout_drops_as_often_as_it_should(scale):
    outputs, rate = drop(scale), 0.5 * scale
    np.testing.assert_allclose(np.unique(outputs), [0, 1 / (1 - rate)], rtol=1e-6)
    assert (outputs == 0).mean() == pytest.approx(rate, abs=0.05)


def test_dimensions_that_share_a_mask_still_do():
    outputs = drop(1.0, broadcast=(1,))
    np.testing.assert_array_equal(outputs, np.repeat(outputs[:, :1], 50, axis=1))
    assert set(np.unique(outputs)) == {0, 2}


def test_a_rate_of_zero_stays():
    np.testing.assert_array_equal(drop(1.5, rate=0.0), 1)


@pytest.mark.parametrize("given", [nnx.Rngs(0), nnx.Rngs(0).dropout, jax.random.key(0)])
def test_randomness_may_be_given_to_the_call(given):
    class Given(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.drop = nnx.Dropout(0.5)

        def __call__(self, x, train: bool):
            source = nnx.clone(given) if isinstance(given, nnx.Rngs | nnx.RngStream) else given
            return self.drop(x, deterministic=not train, rngs=source)

    with scaled_dropout(1.0):
        outputs, _ = as_network(Given).apply(Variables({}, {}), X, key=KEY, train=True)
    assert set(np.unique(outputs)) == {0, 2}


class NeedsMask(Net):
    def __call__(self, x, mask):
        return x * mask


class NeedsFeatures(nnx.Module):
    def __init__(self, features: int, rngs: nnx.Rngs):
        self.dense = nnx.Linear(6, features, rngs=rngs)


ALLOWED = "network must be a flax.linen module, a function rngs -> flax.nnx module, or a Network"
MISTAKES = [
    (
        NeedsMask,
        "module NeedsMask requires the argument mask of __call__; allowed are the inputs and "
        "train, training, is_training, deterministic",
    ),
    (
        NeedsFeatures,
        "network NeedsFeatures requires the argument features; give a function of rngs alone, such "
        "as lambda rngs: NeedsFeatures(..., rngs=rngs)",
    ),
    (lambda rngs: NeedsFeatures(3, rngs), "module NeedsFeatures must have a method __call__"),
    (
        lambda: Net(rngs=nnx.Rngs(0)),
        "network <lambda> must take rngs, from which its variables are drawn",
    ),
    (
        lambda rngs: nn.Dense(3),
        "network <lambda> must return a flax.nnx Module, got Dense",
    ),
    (
        Net(rngs=nnx.Rngs(0)),
        f"{ALLOWED}, got an nnx module Net: every member draws its own, so give Net or "
        "lambda rngs: Net(..., rngs=rngs)",
    ),
]


@pytest.mark.parametrize(("network", "message"), MISTAKES)
def test_mistakes_are_found_at_once(network, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        as_network(network)


def test_randomness_in_evaluation_is_refused():
    class Noise(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.rngs = rngs

        def __call__(self, x):
            return x + self.rngs.noise.normal(x.shape)

    network = as_network(Noise)
    message = "module Noise draws random numbers in evaluation; its __call__ needs an argument"
    with pytest.raises(ValueError, match=f"^{message}"):
        network.apply(Variables({}, {}), X, key=None, train=False)


def test_dropout_without_randomness_is_refused():
    class Without(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.drop = nnx.Dropout(0.5)

        def __call__(self, x):
            return self.drop(x)

    with scaled_dropout(1.0), pytest.raises(ValueError, match=r"^nnx\.Dropout needs rngs"):
        as_network(Without).apply(Variables({}, {}), X, key=KEY, train=True)


def test_a_state_that_grows_is_refused():
    class Grows(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.seen = nnx.Variable(jnp.zeros((1, 6)))

        def __call__(self, x, train: bool):
            if train:
                self.seen.set_value(jnp.concatenate([self.seen[...], x]))
            return x

    network = as_network(Grows)
    variables = network.init(KEY, X)
    with pytest.raises(ValueError, match=r"^module Grows changes the structure or the shapes"):
        network.apply(variables, X, key=KEY, train=True)

"""Modules of flax.linen: how they are called, their collections and streams, and mistakes."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ensemble_jax.networks import Variables, as_network, scaled_dropout

X = np.ones((4, 6), np.float32)
KEY = jax.random.key(7)


class Train(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return x + (1.0 if train else 0.0)


class Keyword(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return x + (1.0 if train else 0.0)


class Training(nn.Module):
    @nn.compact
    def __call__(self, x, training: bool = False):
        return x + (1.0 if training else 0.0)


class IsTraining(nn.Module):
    @nn.compact
    def __call__(self, inputs, mask=None, is_training: bool = False):
        assert mask is None
        return inputs + (1.0 if is_training else 0.0)


class Deterministic(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic):
        return x + (0.0 if deterministic else 1.0)


class Both(nn.Module):
    @nn.compact
    def __call__(self, x, train, *, deterministic):
        assert train is not deterministic
        return x + (1.0 if train else 0.0)


class Inside(nn.Module):
    """A transformed module, which takes the argument by its place alone."""

    @nn.compact
    def __call__(self, x, train):
        return nn.remat(Train, static_argnums=(2,))()(x, train)


@pytest.mark.parametrize(
    "module",
    [
        Train(),
        Keyword(),
        Training(),
        IsTraining(),
        Deterministic(),
        Both(),
        Inside(),
        nn.remat(Train, static_argnums=(2,))(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_every_way_to_be_told(module):
    network = as_network(module)
    assert network.init(KEY, X) == Variables({}, {})
    for train in (False, True):
        outputs, state = network.apply(Variables({}, {}), X, key=KEY, train=train)
        np.testing.assert_array_equal(outputs, X + train)
        assert state == {}


def test_modules_that_are_not_told():
    network = as_network(nn.Sequential([nn.Dense(3), nn.relu, nn.Dense(2)]))
    variables = network.init(KEY, X)
    assert set(variables.params) == {"layers_0", "layers_2"}
    trained, evaluated = (
        network.apply(variables, X, key=KEY, train=train)[0] for train in (True, False)
    )
    np.testing.assert_array_equal(trained, evaluated)


def test_initialisation_is_in_evaluation():
    seen = []

    class Sees(nn.Module):
        def __call__(self, x, train):
            seen.append(train)
            return x

    as_network(Sees()).init(KEY, X)
    assert seen == [False]


def test_initialisation_is_flaxs_own():
    module = nn.Sequential([nn.Dense(3), nn.BatchNorm(use_running_average=True)])
    variables = as_network(module).init(KEY, X)
    theirs = module.init(KEY, X)
    assert set(variables.state) == {"batch_stats"}
    jax.tree.map(np.testing.assert_array_equal, variables.params, theirs["params"])


class Counter(nn.Module):
    """A collection of its own, and intermediates."""

    @nn.compact
    def __call__(self, x, train):
        calls = self.variable("calls", "count", jnp.zeros, (), jnp.int32)
        if train:
            calls.value += 1
        self.sow("intermediates", "inputs", x)
        return nn.Dense(2)(x)


def test_collections_of_other_names_are_state_and_intermediates_are_dropped():
    network = as_network(Counter())
    variables = network.init(KEY, X)
    assert variables.state == {"calls": {"count": 0}}
    _, state = network.apply(variables, X, key=KEY, train=True)
    assert state == {"calls": {"count": 1}}
    assert network.apply(variables, X, key=None, train=False)[1] is variables.state


def test_partitioned_parameters_are_arrays():
    init = nn.with_partitioning(nn.initializers.ones, ("inputs", None))
    params = as_network(nn.Dense(2, kernel_init=init)).init(KEY, X).params
    assert isinstance(params["kernel"], jax.Array)
    assert params["kernel"].shape == (6, 2)


class Draws(nn.Module):
    streams: tuple[str, ...]

    @nn.compact
    def __call__(self, x, train):
        if not train:
            return x
        return jnp.stack([jax.random.normal(self.make_rng(s), (6,)) for s in self.streams])


def test_streams_of_any_name():
    def draw(key, *streams):
        return as_network(Draws(streams)).apply(Variables({}, {}), X, key=key, train=True)[0]

    first, second = draw(KEY, "dropout", "noise")
    assert not np.isin(first, second).any()
    np.testing.assert_array_equal(draw(KEY, "dropout", "noise"), [first, second])
    assert not np.isin(draw(jax.random.key(8), "dropout", "noise"), [first, second]).any()
    # The stream of dropout is the one that Flax makes of the key itself.
    theirs = Draws(("dropout",)).apply({}, X, True, rngs={"dropout": KEY})
    np.testing.assert_array_equal(draw(KEY, "dropout"), theirs)


class Dropped(nn.Module):
    broadcast: tuple[int, ...] = ()
    rate: float = 0.5

    @nn.compact
    def __call__(self, x, train):
        return nn.Dropout(self.rate, broadcast_dims=self.broadcast)(x, deterministic=not train)


def drop(scale, **fields):
    inputs = np.ones((40, 50), np.float32)
    with scaled_dropout(scale):
        network = as_network(Dropped(**fields))
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


class OwnDropout(nn.Dropout):
    def __call__(self, x, deterministic=None):
        return x if deterministic else 3 * x


def test_dropout_of_ones_own_is_left_alone():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return OwnDropout(0.5)(x, deterministic=not train)

    with scaled_dropout(0.0):
        outputs, _ = as_network(Net()).apply(Variables({}, {}), X, key=KEY, train=True)
    np.testing.assert_array_equal(outputs, 3 * X)


class NeedsMask(nn.Module):
    def __call__(self, x, mask, train):
        return x * mask


class NoInputs(nn.Module):
    def __call__(self):
        return 0


class NoCall(nn.Module):
    features: int = 3


MISTAKES = [
    (
        NeedsMask(),
        "module NeedsMask requires the argument mask of __call__; allowed are the inputs and "
        "train, training, is_training, deterministic",
    ),
    (NoInputs(), "module NoInputs must take the inputs as first argument of __call__"),
    (NoCall(), "module NoCall must have a method __call__"),
    (
        Train,
        "network must be a flax.linen module, a function rngs -> flax.nnx module, or a Network, "
        "got the class Train: give an instance, Train(...)",
    ),
    (
        3,
        "network must be a flax.linen module, a function rngs -> flax.nnx module, or a Network, "
        "got int",
    ),
]


@pytest.mark.parametrize(("module", "message"), MISTAKES)
def test_mistakes_are_found_at_once(module, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        as_network(module)


def test_randomness_in_evaluation_is_refused():
    network = as_network(nn.Sequential([nn.Dense(2), nn.Dropout(0.5, deterministic=False)]))
    variables = network.init(KEY, X)
    message = (
        "module Sequential draws random numbers in evaluation; its __call__ needs an argument "
        "train or deterministic that switches them off"
    )
    with pytest.raises(ValueError, match=f"^{message}"):
        network.apply(variables, X, key=None, train=False)


def test_batch_statistics_that_evaluation_changes_are_refused():
    network = as_network(nn.Sequential([nn.Dense(2), nn.BatchNorm(use_running_average=False)]))
    variables = network.init(KEY, X)
    message = (
        "module Sequential changes its state in evaluation; its __call__ needs an argument train "
        "or deterministic that switches this off"
    )
    with pytest.raises(ValueError, match=f"^{message}"):
        network.apply(variables, X, key=None, train=False)


def test_sown_losses_are_refused():
    class Sows(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            self.sow("losses", "size", (x**2).sum())
            return nn.Dense(2)(x)

    network = as_network(Sows())
    variables = network.init(KEY, X)
    message = (
        "module Sows changes the structure or the shapes of its state in training, which must stay "
        "the same (sown values are not supported, except for intermediates)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        network.apply(variables, X, key=KEY, train=True)

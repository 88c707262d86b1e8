"""Modules of Equinox as pure pairs, as docs/networks.md writes them."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import ensemble_jax as ej

eqx = pytest.importorskip("equinox", reason="Equinox is not installed")

K = 3


def make_arrays(size, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, 4)).astype(np.float32), rng.integers(0, K, size)


X = make_arrays(6, 1)[0]


def equinox_network(make):
    """Of a function `key -> module` whose calls take one example."""
    _, static = eqx.partition(make(jax.random.key(0)), eqx.is_inexact_array)

    def init(key, x):
        return ej.Variables(eqx.filter(make(key), eqx.is_inexact_array), {})

    def apply(variables, x, *, key, train):
        model = eqx.nn.inference_mode(eqx.combine(variables.params, static), not train)
        keys = None if key is None else jax.random.split(key, len(x))
        return jax.vmap(lambda x, key: model(x, key=key))(x, keys), variables.state

    return ej.Network(init, apply)


def stateful_network(make):
    """Of a class whose calls take one example and the state, such as statistics of batches."""
    model, state = eqx.nn.make_with_state(make)(key=jax.random.key(0))
    _, static = eqx.partition(model, eqx.is_inexact_array)
    form = jax.tree.structure(state)

    def init(key, x):
        model, state = eqx.nn.make_with_state(make)(key=key)
        params = eqx.filter(model, eqx.is_inexact_array)
        return ej.Variables(params, jax.tree.leaves(state))

    def apply(variables, x, *, key, train):
        model = eqx.nn.inference_mode(eqx.combine(variables.params, static), not train)
        state = jax.tree.unflatten(form, variables.state)
        outputs, state = jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(
            x, state
        )
        return outputs, jax.tree.leaves(state)

    return ej.Network(init, apply)


class Dropped(eqx.Module):
    layers: list
    dropout: eqx.nn.Dropout

    def __init__(self, key):
        first, second = jax.random.split(key)
        self.layers = [eqx.nn.Linear(4, 5, key=first), eqx.nn.Linear(5, K, key=second)]
        self.dropout = eqx.nn.Dropout(0.5)

    def __call__(self, x, key=None):
        return self.layers[1](self.dropout(jax.nn.relu(self.layers[0](x)), key=key))


class Normed(eqx.Module):
    hidden: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    out: eqx.nn.Linear

    def __init__(self, key):
        first, second = jax.random.split(key)
        self.hidden = eqx.nn.Linear(4, 5, key=first)
        self.norm = eqx.nn.BatchNorm(5, axis_name="batch", mode="batch")
        self.out = eqx.nn.Linear(5, K, key=second)

    def __call__(self, x, state):
        x, state = self.norm(self.hidden(x), state)
        return self.out(jax.nn.relu(x)), state


def train(network, **options):
    data = ej.Dataset.from_arrays(train=make_arrays(20, 0), test=(X, make_arrays(6, 1)[1]))
    given = {"batch_size": 7, "extents": (0, 2), "plan": "default,num_devices=1"}
    return ej.train(network, data, members=ej.members(2, learning_rate=0.1), **given | options)


def test_a_module_with_dropout(tmp_path):
    network = equinox_network(Dropped)
    run = train(network, workdir=tmp_path / "run")
    outputs = run.predict(X)
    np.testing.assert_array_equal(outputs.argmax(-1), run.predictions("test")[-1])
    # The checkpoint has the names of the attributes, whatever types the module has.
    params = run.params(1)
    assert params["layers"]["0"]["weight"].shape == (5, 4)
    model = eqx.tree_at(
        lambda m: [w for layer in m.layers for w in (layer.weight, layer.bias)],
        Dropped(jax.random.key(0)),
        [params["layers"][i][name] for i in "01" for name in ("weight", "bias")],
    )
    mean, std = (np.float32(run.manifest.normalisation[name]) for name in ("mean", "std"))
    plain = jax.vmap(eqx.nn.inference_mode(model))((X - mean) / std)
    np.testing.assert_allclose(outputs[1], plain, rtol=1e-5, atol=1e-6)
    again = train(network, workdir=tmp_path / "run", extents=(0, 2, 3))
    assert again.extents == (0, 2, 3)


def test_a_module_with_statistics_of_batches():
    run = train(stateful_network(Normed))
    before = train(stateful_network(Normed), extents=(0,))
    np.testing.assert_array_equal(run.predict(X).argmax(-1), run.predictions("test")[-1])
    assert not np.array_equal(run.predict(X), before.predict(X))

"""One member, written to be read without this package: by Orbax, safetensors and plain modules."""

from __future__ import annotations

import sys

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import linen as nn
from flax import nnx, traverse_util

import ensemble_jax as ej

K = 3


def make_arrays(size, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(5, 3, (size, 4)).astype(np.float32), rng.integers(0, K, size)


X = make_arrays(7, 2)[0]


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.Dense(5)(x)
        return nn.Dense(K)(nn.relu(nn.BatchNorm(use_running_average=not train)(x)))


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(4, 5, rngs=rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)
        self.out = nnx.Linear(5, K, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.norm(self.hidden(x))))


def trained(network):
    data = ej.Dataset.from_arrays(train=make_arrays(20, 0), test=make_arrays(6, 1))
    options = {"batch_size": 10, "extents": (2,), "plan": "default,num_devices=1"}
    return ej.train(network, data, members=ej.members(range(3, 5), learning_rate=0.1), **options)


@pytest.fixture(scope="module")
def run():
    return trained(Net())


def by_orbax(path):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path)


def by_safetensors(path):
    from safetensors.numpy import load_file

    return traverse_util.unflatten_dict(load_file(path), sep=".")


def normalised(tree):
    return (X - tree["normalisation"]["mean"]) / tree["normalisation"]["std"]


def written_and_read(run, member, folder, name):
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors")
    run.export(member, folder / name)
    return (by_safetensors if name.endswith(".safetensors") else by_orbax)(folder / name)


FORMS = pytest.mark.parametrize("name", ["folder", "file.safetensors"])


@FORMS
def test_a_plain_module_of_linen_predicts_the_same(name, run, tmp_path):
    tree = written_and_read(run, 4, tmp_path, name)
    assert set(tree) == {"params", "state", "normalisation"}
    outputs = Net().apply({"params": tree["params"], **tree["state"]}, normalised(tree))
    np.testing.assert_allclose(outputs, run.predict(X, members=[4])[0], rtol=1e-5, atol=1e-6)


@FORMS
def test_a_plain_module_of_nnx_predicts_the_same(name, tmp_path):
    run = trained(NnxNet)
    tree = written_and_read(run, 3, tmp_path / "new", name)
    module = NnxNet(nnx.Rngs(0))
    values = traverse_util.flatten_dict(tree["params"]) | traverse_util.flatten_dict(tree["state"])
    for path, variable in nnx.to_flat_state(nnx.state(module, (nnx.Param, nnx.BatchStat))):
        variable.set_value(jnp.asarray(values[path]))
        nnx.update(module, nnx.from_flat_state([(path, variable)]))
    module.eval()
    outputs = module(normalised(tree))
    np.testing.assert_allclose(outputs, run.predict(X, members=[3])[0], rtol=1e-5, atol=1e-6)


def test_mistakes_write_nothing(run, tmp_path, monkeypatch):
    (tmp_path / "there").touch()
    with pytest.raises(ValueError, match="there already exists: choose another"):
        run.export(3, tmp_path / "there")
    with pytest.raises(ValueError, match=r"members must be of \[3, 4\], got 0"):
        run.export(0, tmp_path / "new")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ModuleNotFoundError, match=r"x.safetensors needs safetensors: pip install"):
        run.export(3, tmp_path / "x.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_another_network_is_refused(run):
    class Wider(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool = False):
            x = nn.Dense(6)(x)
            return nn.Dense(K)(nn.relu(nn.BatchNorm(use_running_average=not train)(x)))

    with pytest.raises(ValueError, match=r"network must be the one that .* was trained with"):
        run.predict(X, network=Wider())

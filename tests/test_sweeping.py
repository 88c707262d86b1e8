"""`sweep`: settings of anyone's network and optimizer, grouped by what one compiled step trains."""

from __future__ import annotations

import csv
import functools

import jax
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

import ensemble_jax as ej

K, M, RATES = 3, 12, [0.01, 0.1]


def make_arrays(size, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, 4)).astype(np.float32), rng.integers(0, K, size)


@pytest.fixture(scope="module")
def data():
    return ej.Dataset.from_arrays(train=make_arrays(M, 0), test=make_arrays(6, 1))


class Net(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(K)(nn.tanh(nn.Dense(self.width)(x)))


class NnxNet(nnx.Module):
    def __init__(self, width, rngs):
        self.hidden, self.out = nnx.Linear(4, width, rngs=rngs), nnx.Linear(width, K, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.tanh(self.hidden(x)))


def pure(width):
    def init(key, x):
        return ej.Variables({"kernel": jax.random.normal(key, (4, K)) * width}, {})

    return ej.Network(init, lambda v, x, *, key, train: (x @ v.params["kernel"], v.state))


def sgd(hp):
    return optax.sgd(hp.learning_rate)


OPTIONS = {"optimizer": sgd, "batch_size": 5, "extents": (0, 2), "plan": "default,num_devices=1"}


def sweep(network, data, grid, **options):
    given = {name: value for name, value in (OPTIONS | options).items() if name not in grid}
    return ej.sweep(network, data, grid=grid, members=2, **given)


def test_hyperparameters_share_a_collection_and_shapes_do_not(data, tmp_path):
    grid = {"width": [2, 3], "learning_rate": RATES}
    swept = sweep(Net, data, grid, workdir=tmp_path / "sweep")
    assert [list(setting.values()) for setting in swept.settings] == [
        [width, rate] for width in (2, 3) for rate in RATES
    ]
    assert list(swept.places) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == [
        "sweep.csv",
        "sweep.png",
        "sweep.svg",
        "width=2",
        "width=3",
    ]
    # Each setting has the members that a run of its own has.
    for setting, (values, scores) in enumerate(zip(swept.settings, swept.scores, strict=True)):
        members = ej.members(2, learning_rate=values["learning_rate"])
        alone = ej.train(Net(values["width"]), data, members=members, **OPTIONS)
        run, own = swept.members(setting)
        np.testing.assert_array_equal(run.predictions("test")[:, own], alone.predictions("test"))
        np.testing.assert_array_equal(scores.accuracies["test"], alone.correct("test").mean(-1))
    rows = swept.table()
    assert len(rows) == 4 * 2 * 2
    with (tmp_path / "sweep" / "sweep.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["accuracy_mean"]) for row in written] == pytest.approx(
        [row["accuracy_mean"] for row in rows], rel=1e-5
    )
    assert repr(swept).endswith(
        "4 settings of width, learning_rate in 2 collections, extents [0, 2])"
    )


def test_the_same_call_continues(data, tmp_path, capsys, contents):
    grid = {"learning_rate": RATES, "momentum": [0.0, 0.9]}
    options = {"combination": "list", "workdir": tmp_path}
    options["optimizer"] = lambda hp: optax.sgd(hp.learning_rate, hp.momentum)
    sweep(pure(1), data, grid, **options)
    before = contents(tmp_path / "all")
    assert "2 settings in 1 collections" in capsys.readouterr().out
    swept = sweep(pure(1), data, grid, **options)
    assert "is finished" in capsys.readouterr().out
    assert contents(tmp_path / "all") == before
    assert swept.runs[0].hyperparameters["momentum"].tolist() == [0, 0, *[np.float32(0.9)] * 2]
    with pytest.raises(ValueError, match="holds a run with another config"):
        sweep(pure(1), data, grid | {"learning_rate": [0.01, 0.2]}, **options)
    longer = sweep(pure(1), data, grid, **options | {"extents": (0, 2, 3)})
    assert longer.extents == (0, 2, 3)


@pytest.mark.parametrize(
    "network",
    [NnxNet, lambda rngs, width=1: NnxNet(width, rngs), functools.partial(pure)],
    ids=["class of nnx", "function of rngs", "partial"],
)
def test_networks_of_every_kind_are_made_of_the_grid(network, data):
    swept = sweep(network, data, {"width": [1, 2]}, extents=(0,))
    assert [run.directory.name for run in swept.runs] == ["width=1", "width=2"]
    narrow, wide = (sum(abs(x).sum() for x in jax.tree.leaves(run.params(0))) for run in swept.runs)
    assert narrow < wide


def test_whatever_else_varies(data):
    """Objects by names, members' arguments, data, and numbers that are whole or not."""
    grid = {
        "optimizer": {"plain": sgd, "clipped": lambda hp: optax.chain(optax.clip(1.0), sgd(hp))},
        "seed": [0, 1],
        "learning_rate": [1, 0.5],
    }
    swept = sweep(pure(1), data, grid, extents=(0,))
    assert [run.directory.name for run in swept.runs] == ["optimizer=plain", "optimizer=clipped"]
    assert swept.runs[0].hyperparameters["seed"].tolist() == [0] * 4 + [1] * 4
    assert swept.runs[0].hyperparameters["learning_rate"].tolist() == [1, 1, 0.5, 0.5] * 2

    def of(size):
        return ej.Dataset.from_arrays(train=make_arrays(size, 0), test=make_arrays(6, 1))

    grid = {"size": [10, 12], "subset_fraction": [0.5, 1.0]}
    swept = sweep(pure(1), of, grid, combination="list", extents=(0,))
    assert [run.train_mask.sum(-1).tolist() for run in swept.runs] == [[5, 5], [12, 12]]


def test_losses_and_dropout_read_hyperparameters(data):
    def loss(outputs, labels, hp):
        return ej.losses.focal(outputs, labels, gamma=hp.gamma)

    swept = sweep(pure(1), data, {"gamma": [0.0, 2.0], "dropout_scale": [0.0, 1.0]}, loss=loss)
    assert len(swept.runs) == 1
    gammas = swept.runs[0].hyperparameters["gamma"]
    losses = swept.runs[0].metrics["train_loss"][-1]
    # Dropout changes nothing here, but how much hard examples count does.
    np.testing.assert_array_equal(losses[:2], losses[2:4])
    assert (gammas.tolist(), *(losses[:2] != losses[4:6])) == ([0] * 4 + [2] * 4, True, True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"grid": {}}, r"grid must name at least one option with its values, .* got \{\}"),
        ({"grid": [0.1]}, r"grid must name at least one option .* got \[0.1\]"),
        ({"grid": {"learning_rate": 0.1}}, "grid: learning_rate must have several values, got 0.1"),
        ({"grid": {"learning_rate": []}}, "learning_rate must have at least one value"),
        ({"grid": {"learning_rate": [1, 1]}}, "the values of learning_rate must differ, got 1, 1"),
        ({"grid": {"learning_rate": ["a", "b"]}}, "learning_rate must be a number"),
        ({"grid": {"optimizer": ["sgd", "adm"]}}, "optimizer must be one of sgd, .* got 'adm'"),
        ({"grid": {"batch_size": [5, 99]}}, r"batch_size must lie in 1\.\.12 .* got 99"),
        ({"grid": {"learning_rte": RATES}}, "neither optimizer nor loss reads .* learning_rte"),
        ({"grid": {"extents": [1, 2]}}, "grid must not name extents, .* batch_size, augment"),
        ({"grid": {"members": [1, 2]}}, "grid must not name members"),
        ({"grid": {"seed": [0, -1]}}, r"seed must lie in 0\.\.4294967295, got -1"),
        ({"grid": {"subset_fraction": [0.5, 2]}}, r"subset_fraction must lie in \(0, 1\], got 2"),
        ({"batch_size": 4, "grid": {"batch_size": [4, 5]}}, "batch_size must be given in the grid"),
        ({"batch": 4}, "options must be of optimizer, .* got 'batch'"),
        ({"combination": "zip"}, "combination must be grid or list, got 'zip'"),
        (
            {"combination": "list", "grid": {"learning_rate": RATES, "seed": [1]}},
            "with combination list all need as many values, got {'learning_rate': 2, 'seed': 1}",
        ),
        ({"members": 0}, "members must be a number of at least 1"),
    ],
)
def test_mistakes_leave_nothing_behind(changes, told, data, tmp_path):
    given = {"grid": {"learning_rate": RATES}, "optimizer": sgd, "batch_size": 5} | changes
    if "batch_size" in given["grid"] and "batch_size" not in changes:
        del given["batch_size"]
    if "optimizer" in given["grid"]:
        del given["optimizer"]
    with pytest.raises(ValueError, match=told):
        ej.sweep(Net(2), data, workdir=tmp_path / "sweep", **given)
    assert not (tmp_path / "sweep").exists()

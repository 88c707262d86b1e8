"""`analyze`, `compare` and `merge_runs` of runs of one's own network, from Python."""

from __future__ import annotations

import inspect
import pkgutil

import jax
import numpy as np
import pytest

import ensemble_jax as ej

K = 3


def make_arrays(size, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, 4, 4, 1)).astype(np.float32), rng.integers(0, K, size)


def linear():
    def init(key, x):
        return ej.Variables({"kernel": jax.random.normal(key, (16, K))}, {})

    def apply(variables, x, *, key, train):
        return x.reshape(len(x), -1) @ variables.params["kernel"], variables.state

    return ej.Network(init, apply)


@pytest.fixture(scope="module")
def data():
    return ej.Dataset.from_arrays(train=make_arrays(20, 0), test=make_arrays(10, 1))


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    options = {"optimizer": "sgd", "batch_size": 10, "extents": (0, 1)}
    return [
        ej.train(
            linear(),
            data,
            members=ej.members(ids, learning_rate=0.1),
            workdir=folder / name,
            plan="default,num_devices=1",
            **options,
        )
        for name, ids in (("one", range(0, 3)), ("other", range(3, 5)))
    ]


def test_a_run_is_analysed(runs, data, tmp_path):
    found = ej.analyze(runs[0], tmp_path / "new" / "folder", data=data)
    correct = runs[0].correct("test")
    np.testing.assert_array_equal(found.consistency["test"], correct.mean(1))
    np.testing.assert_array_equal(found.accuracy["test"], correct.mean(2))
    np.testing.assert_allclose(found.accessibility["test"], correct.mean((0, 1)))
    np.testing.assert_array_equal(
        found.bimodality["train"], ej.analysis.bimodality(found.consistency["train"])
    )
    assert found.consensus["test"].shape == (2, 10)
    assert all(path.exists() for path in found.paths)
    page = found.paths[0].read_text()
    assert "Network on arrays" in page
    assert "data:image/png" in page  # the pictures of examples, which no name leads to
    assert "cannot be read" not in page
    by_path = ej.analyze(str(runs[0].directory))
    assert by_path.paths[0] == runs[0].directory / "report.html"
    assert "cannot be read" in by_path.paths[0].read_text()


def test_two_runs_are_compared(runs, tmp_path):
    found = ej.compare(runs[0], runs[1].directory)
    assert found.paths == ()
    assert found.names == ("one", "other")
    rows = found.table()
    assert [row["split"] for row in rows] == ["train", "test"]
    display = found.findings["test"]["accessibility"].display
    assert display.plot().figure_ is not None
    assert str(found).splitlines()[0].startswith("one: 3 members of Network, epochs 0, 1, in ")
    written = ej.compare(*runs, tmp_path / "compared")
    assert written.paths[0] == tmp_path / "compared" / "comparison.csv"
    np.testing.assert_equal(written.table(), rows)
    assert "cannot be read" in written.paths[-1].read_text()


def test_runs_are_merged(runs, tmp_path):
    merged = ej.merge_runs([runs[0], runs[1].directory], tmp_path / "merged")
    np.testing.assert_array_equal(
        merged.predictions("test"),
        np.concatenate([run.predictions("test") for run in runs], axis=1),
    )


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (
            lambda run, path: ej.analyze(3),
            ValueError,
            "run must be a Run or its directory, got int",
        ),
        (lambda run, path: ej.analyze(path / "none"), FileNotFoundError, "none"),
        (lambda run, path: ej.analyze(run, path / "file" / "x"), ValueError, "directory must be a"),
        (
            lambda run, path: ej.analyze(
                run, data=ej.Dataset.from_arrays(train=make_arrays(5, 0), test=make_arrays(5, 1))
            ),
            ValueError,
            "its train examples are others",
        ),
        (lambda run, path: ej.compare(run, 3), ValueError, "run must be a Run or its directory"),
        (lambda run, path: ej.compare(run, path / "none"), FileNotFoundError, "none"),
        (lambda run, path: ej.merge_runs([run.directory], path / "x"), ValueError, "two or more"),
        (
            lambda run, path: ej.merge_runs(str(run.directory), path / "x"),
            ValueError,
            r"sources must be several runs, got '.*one' alone",
        ),
    ],
)
def test_mistakes_are_told(call, kind, told, runs, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(kind, match=told):
        call(runs[0], tmp_path)


def test_every_public_name_is_documented_and_hidden_by_no_module():
    modules = {name for _, name, _ in pkgutil.iter_modules(ej.__path__)}
    functions = [name for name in ej.__all__ if inspect.isroutine(getattr(ej, name))]
    assert {"train", "sweep", "analyze", "compare", "load_run", "merge_runs"} <= set(functions)
    assert not modules & set(functions)
    for name in functions:
        documentation = inspect.getdoc(getattr(ej, name))
        parameters = inspect.signature(getattr(ej, name)).parameters
        if len(parameters) > 1:
            missing = [p for p in parameters if f"{p}:" not in documentation]
            assert not missing, f"{name} does not say what {missing} are"

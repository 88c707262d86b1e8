"""Importing the package is quick, and reading a run needs nothing that training does."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ensemble_jax
import ensemble_jax.runs
from ensemble_jax.version import __version__

ROOT = Path(__file__).parent.parent.parent
HEAVY = "jax jaxlib flax optax orbax tensorflow_datasets tensorflow sklearn scipy matplotlib xarray"


def loaded_after(statements: str) -> set[str]:
    """Which heavy packages a fresh interpreter has loaded."""
    script = f"{statements}\nimport sys; print(*{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(done.stdout.split()) & set(HEAVY.split())


def test_import_of_the_package_loads_nothing_heavy():
    assert loaded_after("import ensemble_jax; dir(ensemble_jax); ensemble_jax.__version__") == set()


def test_reading_loads_nothing_heavy_before_it_is_needed(toy, tmp_path):
    toy.write_run(tmp_path, toy.manifest())
    reading = (
        f"import ensemble_jax; run = ensemble_jax.load_run({str(tmp_path)!r})\n"
        "run.correct('train'); run.predictions('test'); run.metrics; ensemble_jax.merge_runs\n"
    )
    assert loaded_after(reading) == set()
    assert "xarray" in loaded_after(f"{reading}run.to_xarray()")
    assert loaded_after(f"{reading}run.votes('train')") <= {"scipy"}


def test_lazy_attributes():
    assert ensemble_jax.__version__ == __version__
    assert ensemble_jax.load_run is ensemble_jax.runs.load_run
    assert ensemble_jax.merge_runs is ensemble_jax.runs.merge_runs
    for name in ensemble_jax.__all__:
        assert name in dir(ensemble_jax)
    with pytest.raises(AttributeError, match="module 'ensemble_jax' has no attribute 'load'"):
        ensemble_jax.load  # noqa: B018


MODULES = [module.name for module in pkgutil.iter_modules(ensemble_jax.runs.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    module = importlib.import_module(f"ensemble_jax.runs.{name}")
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0

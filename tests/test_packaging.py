"""The wheel: it holds all of the package, and trains where there is nothing but it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from ensemble_jax.version import __version__

ROOT = Path(__file__).parent.parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def run(*command, **options):
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, because a build leaves folders that the next one would take up."""
    sources, folder = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    hidden = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "ensemble_jax", sources / "ensemble_jax", ignore=hidden)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    # The requirements of the build are in the test extra, so nothing is fetched.
    alone = ("--no-deps", "--no-build-isolation", "--no-index")
    run(*PIP, "wheel", "--quiet", *alone, f"--wheel-dir={folder}", sources)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A function that runs the console script of the wheel in an empty folder."""
    target, folder = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("empty")
    run(*PIP, "install", "--quiet", "--no-deps", "--no-index", f"--target={target}", wheel)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "ENSEMBLE_"))}
    environment |= {
        "PYTHONPATH": str(target),
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
    }
    options = {"cwd": folder, "env": environment}
    place = run(
        sys.executable, "-c", "import ensemble_jax; print(ensemble_jax.__file__)", **options
    )
    assert Path(place.strip()).is_relative_to(target)
    return folder, lambda *arguments: run(target / "bin" / "ensemble-jax", *arguments, **options)


@pytest.mark.slow
def test_every_file_of_the_package_is_in_the_wheel(wheel):
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "ensemble_jax").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == files
    assert {"ensemble_jax/py.typed", "ensemble_jax/configs/digits.py"} <= held


@pytest.mark.slow
def test_the_main_job_runs_from_the_wheel(installed):
    folder, ensemble_jax = installed
    command = ("train", "--config.num_members=2", "--config.extents=0,1", "--config.plan=default")
    answer = ensemble_jax(*command)
    assert "test accuracy after epoch 1: " in answer
    # The default config is the packaged one of the digits.
    directory = folder / "runs" / "digits"
    assert [path.name for path in folder.iterdir()] == ["runs"]
    written = {path.name for path in directory.iterdir()}
    assert written >= {"run.json", "examples.npz", "metrics.jsonl", "report.html", "scores.csv"}
    assert {path.name for path in (directory / "records").iterdir()} == {
        "extent-000000.npz",
        "extent-000001.npz",
    }
    content = json.loads((directory / "run.json").read_text())
    assert content["command"] == f"ensemble-jax {' '.join(command)}"
    assert content["versions"]["ensemble_jax"] == __version__
    assert "wrote" in ensemble_jax("analyze", "--run=runs/digits", "--output=again")


@pytest.mark.slow
def test_configs_and_the_papers_numbers_come_with_the_wheel(installed):
    _, ensemble_jax = installed
    assert ensemble_jax("--version") == f"ensemble-jax {__version__}\n"
    shown = ensemble_jax("train", "--config=out_of_sample", "--help")
    assert "--config.dataset=small_mammals: " in shown
    assert "13" in ensemble_jax("reproduce", "--list", "--figure=13")


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", text, re.MULTILINE)[1] == __version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert re.search(r"^license: (.+)$", text, re.MULTILINE)[1] == project["license"]

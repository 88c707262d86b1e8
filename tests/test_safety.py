"""What the whole code must not do, and what it may depend on."""

import ast
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ensemble_jax import load_run
from ensemble_jax.data import load_dataset
from ensemble_jax.runs import DataSummary, Manifest, RunWriter

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in ("ensemble_jax", "experiments", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# Modules that read files by running what is in them.
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# Calls that run text as a program, or unpack to where an archive says.
RUNNERS = {"eval", "exec", "system", "popen", "extractall", "extract", "unpack_archive"}
UNPICKLING_CALLS = {"read_pickle", "to_pickle", "dump_pickle"}
LOADERS = {"load", "fromfile", "lib.format.read_array", "savez", "savez_compressed", "save"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [
    *PROJECT["dependencies"],
    *(one for extra in PROJECT["optional-dependencies"].values() for one in extra),
]
# Where the name of a package is not that of its module.
MODULES = {
    "absl-py": "absl",
    "opencv-python-headless": "cv2",
    "orbax-checkpoint": "orbax",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "tensorflow-datasets": "tensorflow_datasets",
}
# What is not imported, and who uses it.
NOT_IMPORTED = {
    "tensorflow": "tensorflow-datasets, to prepare a set",
    "importlib_resources": "tensorflow-datasets, which does not declare it",
    "equinox": "tests/networks/test_equinox.py, where it is installed",
    "pytest-xdist": "pytest, by the option -n",
    "setuptools": "tests/test_packaging.py, to build the wheel",
    "import-linter": ".ci/run",
    "pyright": ".ci/run",
    "ruff": ".ci/run",
    "pre-commit": "CONTRIBUTING.md",
    "mkdocs": ".ci/run",
    "mkdocs-material": "mkdocs.yml",
    "mkdocstrings-python": "mkdocs.yml",
    "ipykernel": "docs/getting_started.ipynb",
    "nbclient": "tests/test_guides.py, where it is installed",
    "nbformat": "tests/test_guides.py, where it is installed",
}


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree):
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def calls(tree):
    """Every call with what is called, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call, name):
    return next((ast.unparse(part.value) for part in call.keywords if part.arg == name), None)


def violations(tree):
    """What in a file could run what it reads."""
    found = [name for name in imported(tree) if name.partition(".")[0] in UNPICKLERS]
    for name, call in calls(tree):
        module, _, function = name.rpartition(".")
        refused = keyword(call, "allow_pickle") == "False"
        if (
            (module in ("np", "numpy") and function in LOADERS and not refused)
            or (module == "torch" and function == "load")
            or (module == "yaml" and function in ("load", "unsafe_load"))
            or (function in UNPICKLING_CALLS)
            or (function in RUNNERS and module in ("", "os", "shutil", "archive", "file"))
            or keyword(call, "shell") not in (None, "False")
            or keyword(call, "allow_pickle") not in (None, "False")
        ):
            found.append(ast.unparse(call))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_read_is_run(path):
    assert violations(parse(path)) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "def f():\n    import dill.source",
        "np.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "np.savez(path, a=a)",
        "reader(path, allow_pickle=True)",
        "torch.load(path)",
        "pandas.read_pickle(path)",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "archive.extractall()",
        "yaml.load(text)",
    ],
)
def test_the_test_would_see_it(text):
    assert violations(ast.parse(text)) != []


class Payload:
    """What makes a file when it is unpickled."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return open, (str(self._path), "w")


@pytest.fixture
def payload(tmp_path):
    """An array that would run something, and the file that would tell."""
    told = tmp_path / "told"
    array = np.array([Payload(told)], object)
    yield array
    assert not told.exists()
    # It would have.
    path = tmp_path / "payload.npy"
    np.save(path, array)
    np.load(path, allow_pickle=True)[0].close()
    assert told.exists()


def test_a_crafted_data_set_runs_nothing(payload, tmp_path):
    np.savez(tmp_path / "own.npz", train_images=payload)
    with pytest.raises(ValueError, match="the array train_images holds Python objects"):
        load_dataset(f"npz:{tmp_path / 'own.npz'}")


@pytest.mark.parametrize("file", ["examples.npz", "records/extent-000000.npz"])
def test_a_crafted_run_runs_nothing(payload, tmp_path, file):
    labels = np.zeros(3, np.int32)
    split = SimpleNamespace(labels=labels, ids=np.arange(3))
    data = DataSummary("own", ["a", "b"], {"train": 3, "test": 3}, [1])
    manifest = Manifest(config={}, data=data, members=[0], extents=[0])
    RunWriter.create(tmp_path / "run", manifest, {"train": split, "test": split})
    path = tmp_path / "run" / file
    names = ("labels_train", "labels_test", "ids_train", "ids_test", "diverged_at")
    np.savez(path, **dict.fromkeys(names, payload))
    with pytest.raises(ValueError, match=f"{path} is damaged: Object arrays cannot be loaded"):
        load_run(tmp_path / "run")


def name_of(requirement):
    return re.match(r"[\w-]+", requirement)[0]


def test_every_dependency_has_a_lower_bound():
    for requirement in REQUIREMENTS:
        own = name_of(requirement) == PROJECT["name"]
        assert own or re.fullmatch(r"[\w-]+(\[\w+\])?>=\d+(\.\d+)*", requirement), requirement


def test_every_dependency_is_used():
    used = {name.partition(".")[0] for path in (*SOURCES, *TESTS) for name in imported(parse(path))}
    named = {name_of(requirement) for requirement in REQUIREMENTS} - {PROJECT["name"]}
    unused = {name for name in named if MODULES.get(name, name) not in used}
    assert unused == NOT_IMPORTED.keys() & named == NOT_IMPORTED.keys()


def test_what_the_package_imports_it_requires():
    required = {name_of(requirement) for requirement in PROJECT["dependencies"]}
    modules = {MODULES.get(name, name) for name in required}
    # Asked for where they are needed, with a line that says how to install them.
    modules |= {"tensorflow_datasets", "cv2", "safetensors", "pyarrow", "tensorboardX", "datasets"}
    own = {"ensemble_jax", "experiments", "benchmarks"}
    standard = sys.stdlib_module_names
    for path in SOURCES:
        if path.is_relative_to(ROOT / "benchmarks"):
            continue
        for name in imported(parse(path)):
            assert name.partition(".")[0] in {*modules, *own, *standard}, (path, name)

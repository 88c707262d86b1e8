"""Every figure of the paper at the scale `quick`, on real data: `pytest -m reproduction`.

Collections are trained once for all figures, in a folder that goes with the tests. What is asserted
of the numbers is the paper's finding in kind, not its numbers, which are of other networks.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ensemble_jax.reproduction.figures import FIGURES
from ensemble_jax.reproduction.published import read_published

ROOT = Path(__file__).parents[2]
HOURS = 3600

# More alike than independent classifiers; not at every extent, but where it is clearest.
BIMODAL = {
    **dict.fromkeys(("1",), ("ResNet-50",)),
    **dict.fromkeys(("2", "15"), ("VGG-19",)),
    "4": ("BiLSTM",),
    "11": ("MNIST network",),
    **dict.fromkeys(("12", "14", "16", "18"), ("st-VGG",)),
    "13": ("st-VGG, fish", "st-VGG, insects", "st-VGG, small_mammals"),
    "17": ("st-VGG, cifar10", "st-VGG, cifar100"),
    "19": ("small st-VGG",),
    "21": ("linear st-VGG",),
    "26": ("AlexNet", "DenseNet-121"),
}
CORRELATED = ("24", "25a", "25b", "25c")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("reproduction")


@pytest.mark.reproduction
@pytest.mark.parametrize("number", list(FIGURES))
def test_figure_at_quick_scale(number, workdir, real_data):
    numbers = _reproduce(number, workdir, real_data)
    for published in read_published().get(number, []):
        assert numbers[published.name] is not None
    for model in BIMODAL.get(number, ()):
        independent = numbers[f"least bimodality, independent classifiers like {model}"]
        assert numbers[f"least bimodality, test, {model}"] < independent
    if number in CORRELATED:
        assert all(value > 0.3 for name, value in numbers.items() if name.startswith("r of"))
    if number in ("9", "20"):
        assert numbers["least bimodality, test, st-VGG"] > 0.8
    if number == "3":
        test, independent = (
            numbers[f"mean consensus in the end, {which}ResNet-50"]
            for which in ("test, ", "independent classifiers like ")
        )
        assert test > independent


def _reproduce(number, workdir, real_data):
    """The measured numbers by name."""
    command = [
        *(sys.executable, "-m", "experiments.reproduce"),
        f"--figure={number}",
        f"--workdir={workdir}",
        f"--data_dir={real_data / 'tensorflow_datasets'}",
        f"--datasets=stackoverflow=tsv:{real_data / 'text' / 'trec'}",
        f"--word_vectors={real_data / 'text' / 'glove.50d.txt'}",
    ]
    environment = {name: v for name, v in os.environ.items() if not name.startswith("JAX_")}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=HOURS)
    name = number if number == "robustness" else f"figure_{number}"
    folder = workdir / "quick" / name
    content = json.loads((folder / "numbers.json").read_text())
    assert list(folder.glob("*.png"))
    return {found["name"]: found["measured"] for found in content["numbers"]}

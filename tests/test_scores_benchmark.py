import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.example_arrays import make_arrays
from ensemble_jax.analysis import SCORES, label_probability

ROOT = Path(__file__).parent.parent


def test_writes_every_round_and_a_table(tmp_path):
    sizes = {"members": 6, "extents": 3, "examples": 70, "classes": 4, "influenced": 9}
    command = [sys.executable, "-m", "benchmarks.scores", f"--output={tmp_path / 'out'}"]
    command += [f"--{name}={size}" for name, size in (sizes | {"rounds": 2}).items()]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written["shape"] == sizes
    assert len(written["rounds"]) == 2
    assert set(SCORES) < set(written["rounds"][0])
    table = (tmp_path / "out" / "table.md").read_text()
    for name in [*written["rounds"][0], "all"]:
        assert f"| {name} |" in table


def test_arrays_say_the_same_of_each_example():
    arrays = make_arrays(num_extents=4, num_members=5, num_examples=300, num_classes=6)
    np.testing.assert_array_equal(arrays["correct"], arrays["margin"] > 0)
    np.testing.assert_array_equal(arrays["correct"], arrays["predictions"] == arrays["labels"])
    own = label_probability(arrays["probabilities"], arrays["labels"])
    np.testing.assert_allclose(own, arrays["label_probability"][-1], atol=1e-3)
    accuracies = arrays["correct"].mean(axis=(1, 2))
    assert accuracies.tolist() == sorted(accuracies)

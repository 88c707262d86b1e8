import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import scoring

ROOT = Path(__file__).parent.parent


def test_writes_every_round_and_a_table(tmp_path):
    sizes = {"members": 5, "extents": 3, "examples": 70, "classes": 4, "rounds": 2}
    command = [sys.executable, "-m", "benchmarks.scoring", f"--output={tmp_path / 'out'}"]
    command += [f"--{name}={size}" for name, size in sizes.items()]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written["shape"] == {name: sizes[name] for name in sizes if name != "rounds"}
    assert written["bits_bytes"] == 5 * 3 * 9
    assert len(written["scores"]) == 2
    table = (tmp_path / "out" / "table.md").read_text()
    for name in [*written["scores"][0], "all"]:
        assert f"| {name} |" in table


def test_members_learn_more_and_more_of_the_same_examples():
    bits = scoring.make_bits(num_extents=4, num_members=6, num_examples=500)
    correct = np.unpackbits(bits, axis=-1, count=500)
    means = correct.mean(axis=(1, 2))
    assert means.tolist() == sorted(means)
    agreement = (correct[2, 0] == correct[2, 1]).mean()
    assert agreement > 0.8
    predictions = scoring.make_predictions(bits[2], 500, num_classes=7)
    np.testing.assert_array_equal(predictions == 0, correct[2])
    assert predictions.max() == 6

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import layer_speeds
from ensemble_jax.planning import LayerConvolution

ROOT = Path(__file__).parent.parent


def test_writes_every_round_and_a_table(tmp_path):
    command = [sys.executable, "-m", "benchmarks.convolutions", f"--output={tmp_path}"]
    command += ["--workloads=small_cnn_digits", "--seconds=0.01"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    written = json.loads((tmp_path / "results.json").read_text())
    layers = written["workloads"]["small_cnn_digits"]
    assert list(layers) == [
        "3x3x1->32 8x8 s1",
        "3x3x32->32 8x8 s1",
        "3x3x32->64 4x4 s1",
        "3x3x64->64 4x4 s1",
    ]
    for layer in layers.values():
        assert {"winograd", "direct", "patches"} <= set(layer["seconds"])
        assert all(seconds > 0 for rounds in layer["seconds"].values() for seconds in rounds)
    table = (tmp_path / "table.md").read_text()
    assert all(f"| {name} |" in table for name in layers)


def test_an_unknown_workload_is_told():
    command = [sys.executable, "-m", "benchmarks.convolutions", "--workloads=st_vgg,vgg"]
    answer = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert answer.returncode != 0
    assert "--workloads must be among st_vgg, " in answer.stdout + answer.stderr
    assert "; got vgg" in answer.stdout + answer.stderr


def test_operations_are_those_of_direct_convolutions():
    """Strides and padding count, and gradients by images are not needed."""
    padding = ((0, 1), (2, 0))
    layer = LayerConvolution((2, 8, 9, 3), (3, 2, 3, 5), (2, 1), padding, reads_images=False)
    per_output = 3 * 2 * 3
    outputs = 2 * 4 * 10 * 5
    assert layer_speeds.useful_operations(layer) == 3 * 2 * outputs * per_output
    first = layer._replace(reads_images=True)
    assert layer_speeds.useful_operations(first) == 2 * 2 * outputs * per_output


def test_the_fastest_is_bold():
    layer = {"operations": 6e9, "seconds": {"slow": [3.0, 2.0, 6.0], "fast": [1.0, 1.0, 2.0]}}
    assert layer_speeds.make_table({"a": layer}) == [
        "| layer | slow | fast |",
        "|---|---|---|",
        "| a | 2 (1-3) | **6 (3-6)** |",
    ]

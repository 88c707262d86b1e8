import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import layer_speeds
from benchmarks.layer_speeds import LayerConvolution, convolutions_of
from ensemble_jax.collection import place
from ensemble_jax.networks import as_network, prepared, with_fast_layers
from ensemble_jax.options import ArchitectureOptions, ConvolutionAlgorithm, ImageForm, Model
from ensemble_jax.plan import Plan
from ensemble_jax.zoo import make_architecture

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
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


def convolutions_of_model(model, input_shape, batch_size=4, **options):
    architecture = make_architecture(
        model, num_classes=3, input_shape=input_shape, options=ArchitectureOptions(**options)
    )
    batch = jax.ShapeDtypeStruct((batch_size, *input_shape), np.uint8)
    return convolutions_of(partial(with_fast_layers, prepared(as_network(architecture))), batch)


def test_convolutions_of_st_vgg():
    found = convolutions_of_model(Model.ST_VGG, (32, 32, 3), batch_size=50)
    assert [layer.name for layer in found] == [
        "3x3x3->32 32x32 s1",
        "3x3x32->32 32x32 s1",
        "3x3x32->64 16x16 s1",
        "3x3x64->64 16x16 s1",
        "3x3x64->128 8x8 s1",
        "3x3x128->128 8x8 s1",
        "2x2x128->256 4x4 s1",
        "2x2x256->256 4x4 s1",
    ]
    assert [layer.inputs_shape[0] for layer in found] == [50] * 8
    assert [layer.padding for layer in found] == [((1, 1), (1, 1))] * 6 + [((0, 1), (0, 1))] * 2
    assert [layer.reads_images for layer in found] == [True] + [False] * 7


def test_a_shape_is_named_once():
    found = convolutions_of_model(
        Model.RESNET50, (16, 16, 3), width=8, depth=3, form=ImageForm.CIFAR
    )
    names = [layer.name for layer in found]
    assert len(set(names)) == len(names)
    assert names[:3] == ["3x3x3->8 16x16 s1", "1x1x8->8 16x16 s1", "3x3x8->8 16x16 s1"]
    assert {"3x3x16->16 16x16 s2", "1x1x32->64 16x16 s2"} <= set(names)


def test_a_network_without_convolutions_has_none():
    assert convolutions_of_model(Model.FULLY_CONNECTED, (4,)) == []


def test_the_same_program_is_timed_once(monkeypatch):
    """Winograd's algorithm leaves pictures to patches where kernels have one pixel."""
    timed = []
    monkeypatch.setattr(
        layer_speeds,
        "_seconds_of",
        lambda programs, *_: timed.extend(programs) or np.ones((2, len(programs))),
    )
    layer = LayerConvolution((2, 4, 4, 3), (1, 1, 3, 2), (1, 1), ((0, 0), (0, 0)), False)
    algorithms = [ConvolutionAlgorithm.WINOGRAD, ConvolutionAlgorithm.PATCHES]
    two = place(Plan(1, 0, algorithms[0], 1), 2, jax.devices())
    times = layer_speeds.time_layer(layer, algorithms, two, "float32", 0.01)
    assert list(times) == algorithms
    assert len(timed) == 1

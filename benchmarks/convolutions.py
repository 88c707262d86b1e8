r"""How fast a layer is trained by each of the convolutions, on all cores.

Run: python -m benchmarks.convolutions
Takes about three minutes on two cores, most of it compiling.

What is timed: the convolutions of the workloads' networks, one layer at a time, as plans time them
(`ensemble_jax.planning.time_layer`): outputs and gradients between an activation and a bias, in a
loop, with one member on each device and the workload's batch, the algorithms in turns. XLA's own is
left out: its gradient by the kernel takes up to a hundred times as long in a loop.

Speeds are of useful operations, those of a direct convolution, whatever the algorithm computes: two
for each product of the outputs and of each gradient that is needed; the first layer needs none by
its inputs. Medians (least-largest) of the rounds.

Results: `results.json` with every round and `table.md` in `--output`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import app, flags

from benchmarks.environment import ROOT, describe_environment
from benchmarks.jax_networks import make_workload_network
from benchmarks.summary import Spread, markdown
from benchmarks.workloads import WORKLOADS, load_training_set
from ensemble_jax.collection import place, use_all_cores
from ensemble_jax.options import ConvolutionAlgorithm
from ensemble_jax.plan import Plan
from ensemble_jax.planning import (
    LayerConvolution,
    available_algorithms,
    convolutions_of,
    time_layer,
)
from ensemble_jax.runs.files import replace_file

_WORKLOADS = flags.DEFINE_list(
    "workloads", ["st_vgg", "small_cnn_digits", "small_resnet"], "Whose layers are timed."
)
_SECONDS = flags.DEFINE_float("seconds", 2.0, "For each layer and algorithm.", lower_bound=0.01)
_OUTPUT = flags.DEFINE_string(
    "output", str(ROOT / "benchmarks" / "results" / "convolutions"), "Where to write."
)

_FORMAT = 1


def useful_operations(layer: LayerConvolution) -> int:
    """Floating-point operations to train the layer on a batch by direct convolutions.

    >>> useful_operations(
    ...     LayerConvolution((2, 4, 4, 3), (3, 3, 3, 5), (1, 1), ((1, 1), (1, 1)), True)
    ... )
    17280
    """
    batch, *sizes, _ = layer.inputs_shape
    window = layer.kernel_shape[:2]
    outputs = [
        (size + sum(sides) - extent) // stride + 1
        for size, sides, extent, stride in zip(
            sizes, layer.padding, window, layer.strides, strict=True
        )
    ]
    products = batch * math.prod(outputs) * math.prod(layer.kernel_shape)
    return 2 * products * (2 if layer.reads_images else 3)


def time_layers(
    workload_name: str, algorithms: Sequence[ConvolutionAlgorithm], seconds: float
) -> dict[str, dict[str, Any]]:
    """Useful operations of each layer of a workload, and the seconds of a step in every round."""
    workload = WORKLOADS[workload_name]
    data = load_training_set(workload)
    images = jax.ShapeDtypeStruct((workload.batch_size, *data.images.shape[1:]), data.images.dtype)
    layers = convolutions_of(
        lambda convolution: make_workload_network(workload, data, convolution), images
    )
    devices = jax.local_devices()
    plan = Plan(len(devices), 1, algorithms[0], passes_per_step=1)
    placement = place(plan, len(devices), devices)
    measured = {}
    for layer in layers:
        times = time_layer(layer, algorithms, placement, "float32", seconds)
        measured[layer.name] = {
            "operations": useful_operations(layer) * len(devices),
            "seconds": {a.value: rounds.tolist() for a, rounds in times.items()},
        }
        print(f"{workload_name}: {layer.name}", flush=True)
    return measured


def make_table(layers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lines of Markdown: a row for each layer with the GFLOP/s of each algorithm."""
    algorithms = list(next(iter(layers.values()))["seconds"])
    rows = []
    for name, layer in layers.items():
        speeds = [
            Spread.of(layer["operations"] / s / 1e9 for s in layer["seconds"][a])
            for a in algorithms
        ]
        best = max(speed.median for speed in speeds)
        texts = [speed.written("{:.0f}") for speed in speeds]
        rows.append(
            [
                name,
                *(
                    f"**{text}**" if speed.median == best else text
                    for text, speed in zip(texts, speeds, strict=True)
                ),
            ]
        )
    return markdown(["layer", *algorithms], rows)


def write_results(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `results.json` and `table.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "results.json", f"{json.dumps(content, indent=1)}\n".encode())
    environment, versions = content["environment"], content["environment"]["versions"]
    lines = [
        "# Convolutions",
        "",
        f"{environment['created']}, commit {environment['commit'] or 'unknown'}: "
        f"`{environment['command']}`",
        "",
        f"{environment['processor']}, {environment['cores']} cores; JAX {versions['jax']}, jaxlib "
        f"{versions['jaxlib']} on {content['device']}. Useful GFLOP/s of all devices, forward and "
        f"backward; the fastest of a layer is bold.",
    ]
    for name, layers in content["workloads"].items():
        lines += ["", f"## {name}", "", *make_table(layers)]
    replace_file(folder / "table.md", ("\n".join(lines) + "\n").encode())


def main(_: list[str]) -> None:
    """Measures and writes."""
    unknown = sorted(set(_WORKLOADS.value) - set(WORKLOADS))
    if unknown:
        raise app.UsageError(
            f"--workloads must be among {', '.join(WORKLOADS)}; got {', '.join(unknown)}"
        )
    use_all_cores()
    environment = describe_environment()
    device = jax.local_devices()[0]
    algorithms = available_algorithms(device.platform)
    algorithms.remove(ConvolutionAlgorithm.XLA)
    content = {
        "kind": "ensemble_jax convolutions",
        "format": _FORMAT,
        "environment": environment,
        "device": device.device_kind,
        "workloads": {
            name: time_layers(name, algorithms, _SECONDS.value) for name in _WORKLOADS.value
        },
    }
    write_results(Path(_OUTPUT.value), content)
    print((Path(_OUTPUT.value) / "table.md").read_text())


if __name__ == "__main__":
    app.run(main)

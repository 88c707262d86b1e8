"""How fast the layers of a workload are trained by each of the convolutions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from benchmarks.jax_networks import workload_kit
from benchmarks.summary import Spread, markdown
from benchmarks.workloads import WORKLOADS, load_training_set
from ensemble_jax.collection import place
from ensemble_jax.options import ConvolutionAlgorithm
from ensemble_jax.plan import Plan
from ensemble_jax.planning import LayerConvolution, convolutions_of, time_layer


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
    layers = convolutions_of(workload_kit(workload, data).member_network, images)
    devices = jax.local_devices()
    plan = Plan(len(devices), 1, algorithms[0], microbatches=1)
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

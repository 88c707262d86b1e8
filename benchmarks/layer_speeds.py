"""How fast the layers of a workload are trained by each of the convolutions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from benchmarks.jax_networks import workload_kit
from benchmarks.summary import Spread, markdown
from benchmarks.workloads import WORKLOADS, load_training_set
from ensemble_jax import ops
from ensemble_jax.collection import Placement, place
from ensemble_jax.networks import Network, variable_shapes
from ensemble_jax.options import ConvolutionAlgorithm
from ensemble_jax.plan import Plan
from ensemble_jax.planning import take_turns

# Of a loop, since a convolution in a loop is not as fast as one outside.
_STEPS = 3
# Small enough that what is timed stays finite.
_RATE = 1e-6


class LayerConvolution(NamedTuple):
    """A convolution that a network makes.

    Attributes:
        inputs_shape: `[B, H, W, C]`.
        kernel_shape: `[h, w, C, D]`.
        strides: of rows and columns.
        padding: rows and columns of zeros.
        reads_images: whether its inputs are the examples, which need no gradient.
    """

    inputs_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    strides: ops.Strides
    padding: ops.Padding
    reads_images: bool

    @property
    def name(self) -> str:
        """What it is called in tables, whatever its padding and the size of its batches.

        >>> LayerConvolution((9, 32, 16, 3), (5, 5, 3, 64), (2, 2), ((2, 2), (2, 2)), True).name
        '5x5x3->64 32x16 s2'
        """
        _, height, width, _ = self.inputs_shape
        *kernel, features = map(str, self.kernel_shape)
        equal = self.strides[0] == self.strides[1]
        step = "x".join(map(str, self.strides[:1] if equal else self.strides))
        return f"{'x'.join(kernel)}->{features} {height}x{width} s{step}"


def convolutions_of(
    make_network: Callable[[ops.Convolution], Network], batch: jax.ShapeDtypeStruct
) -> list[LayerConvolution]:
    """The convolutions of a network in order, each shape once; nothing is computed.

    Args:
        make_network: the network whose convolutions are computed by a function.
        batch: shape and type of a batch of examples, `[B, ...]`.
    """
    found: dict[str, LayerConvolution] = {}

    def record(inputs, kernel, strides, padding):
        # Whatever a network begins with, its first convolution needs no gradient by its inputs.
        layer = LayerConvolution(inputs.shape, kernel.shape, strides, padding, not found)
        found.setdefault(layer.name, layer)
        return ops.xla_convolution(inputs, kernel, strides, padding)

    network = make_network(record)
    variables = variable_shapes(network, batch)
    found.clear()
    jax.eval_shape(partial(network.apply, key=None, train=False), variables, batch)
    return list(found.values())


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


def time_layer(
    layer: LayerConvolution,
    algorithms: Sequence[ConvolutionAlgorithm],
    placement: Placement,
    dtype: str,
    seconds: float,
) -> dict[ConvolutionAlgorithm, Float[np.ndarray, " rounds"]]:
    """The seconds of one step forward and backward of a layer by each algorithm, in turns.

    Args:
        layer: what is computed.
        algorithms: by which; those that leave it to each other have the same times.
        placement: all members, each with inputs and a kernel of its own.
        dtype: what is computed in.
        seconds: for each algorithm.
    """
    # Made where they are needed: all members' images may be gigabytes.
    make = placement.lift(partial(_inputs_and_kernel, layer, dtype))
    inputs, kernel = make(placement.spread(np.arange(placement.num_members)))
    lowered = {a: _lower(layer, a, placement, inputs, kernel) for a in algorithms}
    texts = {a: program.as_text() for a, program in lowered.items()}
    different = {texts[a]: program for a, program in lowered.items()}
    programs = [program.compile() for program in different.values()]
    times = _seconds_of(programs, seconds, inputs, kernel) / _STEPS
    by_text = dict(zip(different, times.T, strict=True))
    return {a: by_text[text] for a, text in texts.items()}


def _inputs_and_kernel(layer, dtype, member):
    """Numbers of which the convolution makes outputs as large as the inputs."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), member))
    shapes = layer.inputs_shape, layer.kernel_shape
    inputs, kernel = (
        jax.random.normal(key, shape, dtype) for key, shape in zip(keys, shapes, strict=True)
    )
    return inputs, kernel / float(np.sqrt(np.prod(layer.kernel_shape[:3])))


def _lower(layer, algorithm, placement, inputs, kernel):
    return placement.lift(partial(_train, layer, algorithm)).lower(inputs, kernel)


def _train(layer, algorithm, inputs, kernel):
    """Some steps of both gradients; every step needs the results of the one before it.

    As hidden layers do, it reads what an activation wrote, and adds biases.
    """

    def convolve(inputs, kernel):
        if not layer.reads_images:
            inputs = ops.elu(inputs)
        outputs = ops.CONVOLUTIONS[algorithm](inputs, kernel, layer.strides, layer.padding)
        return outputs + kernel[:1, :1, :1]

    def step(pair, _):
        inputs, kernel = pair
        outputs, pull_back = jax.vjp(convolve, inputs, kernel)
        input_gradient, weight_gradient = pull_back(outputs)
        if not layer.reads_images:
            inputs -= _RATE * input_gradient
        return (inputs, kernel - _RATE * weight_gradient), None

    return jax.lax.scan(step, (inputs, kernel), length=_STEPS)[0]


def _seconds_of(programs, seconds, *arguments):
    """The time of each call of each, `[rounds, programs]`."""

    def call(program):
        started = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        return time.perf_counter() - started

    calls = [partial(call, program) for program in programs]
    for first in calls:
        first()  # pays for what happens once
    return take_turns(calls, seconds)


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

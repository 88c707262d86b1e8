"""Which algorithm is the fastest for each convolution of a network, timed by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from ensemble_jax import ops
from ensemble_jax.collection import Placement, place
from ensemble_jax.networks import Network, variable_shapes
from ensemble_jax.options import ConvolutionAlgorithm
from ensemble_jax.plan import Plan
from ensemble_jax.planning.trial import PlanningTask
from ensemble_jax.planning.turns import take_turns

# Of a loop, since a convolution in a loop is not as fast as one outside.
_STEPS = 3
# What is not clearly faster is noise, or becomes slower among the other layers.
_GAIN = 1.05
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
        """What it is called in a plan."""
        return ops.shape_name(self.inputs_shape, self.kernel_shape, self.strides)


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


def fastest_by_layer(
    plan: Plan,
    task: PlanningTask,
    algorithms: Sequence[ConvolutionAlgorithm],
    budget_seconds: float,
) -> Mapping[str, ConvolutionAlgorithm]:
    """The layers for which another algorithm is clearly faster than the plan's, and which.

    Each is timed by itself, forward and backward, between an activation and a bias, for as many
    members and images as the plan computes at once, on all of its devices: cores share what their
    caches do not hold, which tells against algorithms that move much memory, and what is fused with
    what an algorithm begins or ends with takes other times than it does alone.

    Args:
        plan: the plan, with one algorithm for all layers.
        task: what is planned.
        algorithms: those to try.
        budget_seconds: when no layer is begun any more; those left keep the plan's algorithm.
    """
    started = time.perf_counter()
    at_once = place(plan, task.num_members, task.devices).members_at_once
    one_call = place(plan, at_once * plan.num_devices, task.devices)
    layers = convolutions_of(
        lambda convolution: task.recipe(convolution, plan.precision, 1).network,
        jax.ShapeDtypeStruct(
            (task.batch_size // plan.microbatches, *task.inputs.shape[1:]), task.inputs.dtype
        ),
    )
    chosen: dict[str, ConvolutionAlgorithm] = {}
    for layer in layers:
        if time.perf_counter() - started > budget_seconds:
            break
        fastest = _fastest(layer, [plan.convolution, *algorithms], one_call, plan.precision.value)
        if fastest is not plan.convolution:
            chosen[layer.name] = fastest
    return chosen


def _fastest(layer, algorithms, placement, dtype):
    """The first algorithm, unless another is clearly faster."""
    seconds = {a: t.min() for a, t in time_layer(layer, algorithms, placement, dtype).items()}
    best = min(algorithms, key=lambda a: seconds[a])
    return best if seconds[algorithms[0]] > _GAIN * seconds[best] else algorithms[0]


def time_layer(
    layer: LayerConvolution,
    algorithms: Sequence[ConvolutionAlgorithm],
    placement: Placement,
    dtype: str,
    seconds: float = 0.2,
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
        return outputs + kernel[0, 0, 0]

    def step(pair, _):
        inputs, kernel = pair
        outputs, pull_back = jax.vjp(convolve, inputs, kernel)
        by_inputs, by_kernel = pull_back(outputs)
        if not layer.reads_images:
            inputs -= _RATE * by_inputs
        return (inputs, kernel - _RATE * by_kernel), None

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

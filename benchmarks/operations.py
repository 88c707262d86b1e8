"""The floating-point operations that a network's training needs, counted from its shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from benchmarks.jax_networks import workload_kit
from benchmarks.workloads import Workload, load_training_set
from ensemble_jax.networks import Network, variable_shapes

# The forward pass, the gradient by the inputs and the gradient by the weights of a layer multiply
# the same number of times, and every multiplication comes with an addition.
_TRAINING_FACTOR = 2 * 3


def training_operations(workload: Workload) -> int:
    """Useful floating-point operations to train one member of a workload on one image."""
    data = load_training_set(workload)
    return network_operations(workload_kit(workload, data).member_network(None), data.images[:1])


def network_operations(network: Network, example: Any) -> int:
    """Useful floating-point operations to train a network on one example.

    `2 * 3 * (multiply-adds of the convolutions and dense layers, forward)`. It is the same for
    every contender, however many operations that one makes: the direct convolution is counted,
    zeros of the padding included, and nothing else (activations, dropout, the update). The usual
    convention; the first layer needs no gradient by its inputs, which is counted all the same.

    Args:
        network: of ordinary layers, without `with_fast_layers`.
        example: `[1, ...]`, or its shape.
    """
    evaluate = partial(network.apply, key=None, train=False)
    return _TRAINING_FACTOR * multiply_adds(evaluate, variable_shapes(network, example), example)


def multiply_adds(function: Callable[..., Any], *arguments: Any) -> int:
    """The multiply-adds of the convolutions and matrix products in a function, by its jaxpr.

    Raises:
        ValueError: if the function has a loop of which the jaxpr does not say how often it runs, or
            branches that do not multiply as often as each other.

    >>> import jax.numpy as jnp
    >>> multiply_adds(lambda x, y: x @ y, jnp.ones((2, 3)), jnp.ones((3, 5)))
    30
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr):
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation):
    name = equation.primitive.name
    if name == "while":
        raise ValueError("the operations of a while cannot be counted")
    if name == "cond":
        counts = {_count(branch.jaxpr) for branch in equation.params["branches"]}
        if len(counts) > 1:
            raise ValueError("the operations of a cond with unlike branches cannot be counted")
        return counts.pop()
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left, output = equation.invars[0].aval, equation.outvars[0].aval
        return output.size * math.prod(left.shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        # The kernel's entries for one output channel make one output.
        kernel, output = equation.invars[1].aval, equation.outvars[0].aval
        channels_axis = equation.params["dimension_numbers"].rhs_spec[0]
        return output.size * (kernel.size // kernel.shape[channels_axis])
    times = equation.params["length"] if name == "scan" else 1
    return times * sum(_count(inner) for inner in _inner_jaxprs(equation))


def _inner_jaxprs(equation):
    for value in equation.params.values():
        closed = getattr(value, "jaxpr", value)
        if hasattr(closed, "eqns"):
            yield closed

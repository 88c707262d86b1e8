"""Ordinary layers of any library, computed by this package's convolutions and pooling.

Under `vmap` and in loops XLA's own layers are slow, most of all their gradients; see `ops`. Here a
function is traced to a jaxpr, JAX's list of primitive operations, which is then evaluated: its
convolutions and its pooling by the functions of `ops`, everything else as JAX does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.extend.core import primitives

from ensemble_jax.networks.network import Network
from ensemble_jax.ops import Convolution, elu, max_pool, sum_pool

_Result = TypeVar("_Result")

# Primitives that hold a jaxpr which may as well be evaluated here.
_JIT, _CHECKPOINT = primitives.jit_p, primitives.remat_p
_CONVOLUTION = primitives.conv_general_dilated_p
_POOLS: dict[core.Primitive, Callable[..., jax.Array]] = {
    primitives.reduce_window_max_p: max_pool,
    primitives.reduce_window_sum_p: sum_pool,
}
_LAYERS = {
    _CONVOLUTION: "convolution",
    primitives.reduce_window_max_p: "max pooling",
    primitives.reduce_window_sum_p: "sum pooling",
    primitives.reduce_window_min_p: "min pooling",
    primitives.reduce_window_p: "pooling",
}

# Those that all convolutions of `ops` compute; the fused ones sum in float32 whatever is asked.
_DTYPES = ("float32", "bfloat16", "float16")
# Other names that JAX has for precisions of products.
_PRECISIONS = {
    "high": lax.Precision.HIGH,
    "tensorfloat32": lax.Precision.HIGH,
    "highest": lax.Precision.HIGHEST,
    "float32": lax.Precision.HIGHEST,
}
# Windows that overlap cost an array for each of their entries.
_MOST_ENTRIES = 49


def fast_layers(
    function: Callable[..., _Result], convolution: Convolution
) -> Callable[..., _Result]:
    """The same function with convolutions and pooling that are fast under `vmap` and in loops.

    These are replaced, also where `jax.jit` or `jax.checkpoint` is around them:

    - convolutions over one or two axes with any strides, padding and order of dimensions, but
      without groups or dilation, in float32 or less, and with the default precision;
    - maxima and sums, of which averages are made, over windows of one or two axes;
    - `jax.nn.elu`, whose `expm1` took an eighth of a training step of st-VGG.

    Results and gradients are the same to rounding, with one exception: entries that share the
    largest value of a window share its gradient, which XLA gives to the first of them. Functions
    with rules of their own (`jax.custom_jvp`, `jax.custom_vjp`) keep them. `slow_layers` tells what
    is not replaced.

    The layers of `ops` have gradients in reverse mode only, and so has the function.

    Args:
        function: takes positional arguments, which are pytrees of arrays as those of `jax.jit`.
            It may close over anything, traced arrays included.
        convolution: what computes the convolutions, for example one of `ops.CONVOLUTIONS`.
    """

    def fast(*args: Any) -> _Result:
        closed, result = jax.make_jaxpr(function, return_shape=True)(*args)
        outputs = _evaluate(closed, jax.tree.leaves(args), convolution)
        return jax.tree.unflatten(jax.tree.structure(result), outputs)

    return fast


def slow_layers(function: Callable[..., Any], *args: Any) -> list[str]:
    """The convolutions and poolings that `fast_layers` leaves to XLA, in words.

    For example `['convolution 3x3 with 32 groups (4 times)', 'max pooling 2x2 inside scan']`.

    Args:
        function: as `fast_layers` takes it.
        args: its arguments, or their shapes and types as `jax.ShapeDtypeStruct`.
    """
    counts = Counter(_slow(jax.make_jaxpr(function)(*args).eqns))
    return [name if count == 1 else f"{name} ({count} times)" for name, count in counts.items()]


def _slow(equations, inside: str = "") -> Iterator[str]:
    for equation in equations:
        if equation.primitive in _LAYERS:
            why = _why_not(equation) or inside
            if why:
                yield f"{_name(equation)} {why}"
        else:
            opened = _is_opened(equation)
            yield from _slow(_inner(equation), inside if opened else f"inside {equation.primitive}")


def _evaluate(closed: core.ClosedJaxpr, args, convolution) -> list[Any]:
    jaxpr = closed.jaxpr
    variables = (*jaxpr.constvars, *jaxpr.invars)
    values = dict(zip(variables, (*closed.consts, *args), strict=True))

    def read(atom):
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = equation.invars
        evaluate = _replacement(equation, convolution)
        if evaluate is None:
            inputs = [atom for atom in inputs if not isinstance(atom, core.Literal)]
            evaluate = _unchanged(jaxpr, equation, inputs)
        values.update(zip(equation.outvars, evaluate(*map(read, inputs)), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _replacement(equation, convolution) -> Callable[..., Sequence[jax.Array]] | None:
    """What computes the outputs of an equation here; None where JAX shall compute them."""
    if _is_elu(equation):
        return lambda inputs: [elu(inputs)]
    if _is_opened(equation):
        inside = any(_replacement(inner, convolution) for inner in _inner(equation))
        return _opened(equation, convolution) if inside else None
    if equation.primitive not in _LAYERS or _why_not(equation):
        return None
    if equation.primitive is _CONVOLUTION:
        return _convolution(equation, convolution)
    return _pooling(equation)


def _is_elu(equation):
    """Whether it is a call of `jax.nn.elu`: whether that gives the same jaxpr."""
    if equation.primitive is not _JIT or equation.params["name"] != "elu":
        return False
    inputs = equation.invars[0].aval
    [expected] = jax.make_jaxpr(jax.nn.elu)(inputs).eqns
    return inputs.dtype in _DTYPES and str(equation.params["jaxpr"]) == str(
        expected.params["jaxpr"]
    )


def _is_opened(equation):
    # After its gradient was taken, a checkpointed function cannot be checkpointed again.
    return equation.primitive in (_JIT, _CHECKPOINT) and not equation.params.get("differentiated")


def _inner(equation):
    return [inner for jaxpr in core.jaxprs_in_params(equation.params) for inner in jaxpr.eqns]


def _unchanged(jaxpr, equation, variables):
    """One equation for JAX to evaluate, which knows how each primitive takes its parameters."""
    alone = jaxpr.replace(
        constvars=[],
        invars=variables,
        outvars=equation.outvars,
        eqns=[equation],
        effects=equation.effects,
    )
    return core.jaxpr_as_fun(core.ClosedJaxpr(alone, []))


def _opened(equation, convolution):
    params = equation.params
    if equation.primitive is _JIT:
        return lambda *args: _evaluate(params["jaxpr"], args, convolution)
    inner = core.ClosedJaxpr(params["jaxpr"], [])
    return jax.checkpoint(
        lambda *args: _evaluate(inner, args, convolution),
        prevent_cse=params["prevent_cse"],
        policy=params["policy"],
    )


def _convolution(equation, convolution):
    params, result = equation.params, equation.outvars[0].aval
    lhs, (features, channels, *space), out = params["dimension_numbers"]
    strides, padding = _two(params["window_strides"], 1), _two(params["padding"], (0, 0))

    def convolve(inputs, kernel):
        dtype = jnp.promote_types(inputs.dtype, result.dtype)
        inputs = jnp.transpose(inputs, _features_last(lhs)).astype(dtype)
        kernel = jnp.transpose(kernel, (*space, channels, features)).astype(dtype)
        if len(space) == 1:
            inputs, kernel = inputs[:, :, None], kernel[:, None]
        outputs = convolution(inputs, kernel, strides, padding).astype(result.dtype)
        outputs = outputs[:, :, 0] if len(space) == 1 else outputs
        return [jnp.transpose(outputs, _inverse(_features_last(out)))]

    return convolve


def _pooling(equation):
    params, result = equation.params, equation.outvars[0].aval
    pool = _POOLS[equation.primitive]
    axes = _window_axes(params)
    others = [axis for axis in range(result.ndim) if axis not in axes]
    order = (*others[:-1], *axes, others[-1])
    size, strides, padding = (
        _two([of_axes[axis] for axis in axes], none)
        for of_axes, none in (
            (params["window_dimensions"], 1),
            (_strides(equation), 1),
            (params["padding"], (0, 0)),
        )
    )

    def pool_axes(inputs):
        rows, columns = _two([inputs.shape[axis] for axis in axes], 1)
        images = jnp.transpose(inputs, order).reshape(-1, rows, columns, inputs.shape[order[-1]])
        outputs = pool(images, size, strides, padding)
        outputs = outputs.reshape([result.shape[axis] for axis in order])
        return [jnp.transpose(outputs, _inverse(order))]

    return pool_axes


def _strides(equation):
    """A pooling's strides; the length of an axis where its one window has that length."""
    params, lengths = equation.params, equation.invars[0].aval.shape
    sizes, strides, sides = (
        params[name] for name in ("window_dimensions", "window_strides", "padding")
    )
    return tuple(
        size if size == length and not any(around) else stride
        for length, size, stride, around in zip(lengths, sizes, strides, sides, strict=True)
    )


def _features_last(axes):
    """Where the batch, rows, columns and features of an array are, of JAX's dimension numbers."""
    batch, features, *space = axes
    return batch, *space, features


def _two(of_axes, none):
    """As for two axes, if it is for one."""
    return *of_axes, *[none] * (2 - len(of_axes))


def _window_axes(params):
    windows = zip(
        params["window_dimensions"], params["window_strides"], params["padding"], strict=True
    )
    return [axis for axis, window in enumerate(windows) if window != (1, 1, (0, 0))]


def _inverse(order):
    """The transposition that undoes another one."""
    return [order.index(axis) for axis in range(len(order))]


def _name(equation):
    """The kind of layer and the size of its windows, such as 'convolution 3x3'."""
    params = equation.params
    if equation.primitive is _CONVOLUTION:
        space = params["dimension_numbers"].rhs_spec[2:]
        window = [equation.invars[1].aval.shape[axis] for axis in space]
    else:
        window = [params["window_dimensions"][axis] for axis in _window_axes(params)]
    return f"{_LAYERS[equation.primitive]} {'x'.join(map(str, window))}"


def _why_not(equation) -> str:
    """What keeps a layer from being replaced; empty if nothing does."""
    of_layer = _why_not_convolved if equation.primitive is _CONVOLUTION else _why_not_pooled
    arrays = equation.invars[0].aval, equation.outvars[0].aval
    others = [f"of {array.dtype}" for array in arrays if array.dtype not in _DTYPES]
    return others[0] if others else of_layer(equation)


def _why_not_convolved(equation):
    params = equation.params
    groups = params["feature_group_count"] * params["batch_group_count"]
    if groups != 1:
        return f"with {groups} groups"
    if {*params["lhs_dilation"], *params["rhs_dilation"]} - {1}:
        return "with dilation"
    if len(params["window_strides"]) not in (1, 2):
        return f"over {len(params['window_strides'])} axes"
    # A precision that is set for all of JAX holds for the products made here, too.
    everywhere = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    of_all = _PRECISIONS.get(everywhere, lax.Precision.DEFAULT)
    asked = set(params["precision"] or ()) - {lax.Precision.DEFAULT, of_all}
    return f"in precision {asked.pop()}" if asked else ""


def _why_not_pooled(equation):
    params, ndim = equation.params, equation.outvars[0].aval.ndim
    if equation.primitive not in _POOLS:
        return "of another kind than maxima and sums"
    if {*params["base_dilation"], *params["window_dilation"]} - {1}:
        return "with dilation"
    axes, sizes = _window_axes(params), params["window_dimensions"]
    if len(axes) not in (1, 2) or len(axes) == ndim:
        return f"over {len(axes)} of {ndim} axes"
    overlap = sizes != _strides(equation) or any(map(any, params["padding"]))
    return "that overlaps" if overlap and math.prod(sizes) > _MOST_ENTRIES else ""


def with_fast_layers(network: Network, convolution: Convolution) -> Network:
    """The network whose `apply` is computed by `fast_layers`."""

    def apply(variables, inputs, *, key, train):
        function = partial(network.apply, key=key, train=train)
        return fast_layers(function, convolution)(variables, inputs)

    return network._replace(apply=apply)

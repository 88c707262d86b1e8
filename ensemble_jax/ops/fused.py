"""Winograd's convolutions in one piece, for CPUs with a C compiler."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ensemble_jax.machine import num_cores
from ensemble_jax.ops import native
from ensemble_jax.ops.convolution import Padding, Strides, Ways, convolve
from ensemble_jax.ops.direct import DIRECT
from ensemble_jax.ops.winograd import FEWEST_CHANNELS, winograd_convolution

_CONVOLVE, _WEIGHT_GRADIENT = _TARGETS = "ensemble_jax_convolve", "ensemble_jax_kernel_gradient"


def fused_convolution(
    inputs: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "B P Q D"]:
    """Tiles of 2x2 outputs that are transformed, multiplied and joined within a core's cache.

    As of `winograd_convolution` the products are 16 / 36 of those of a direct convolution, here
    without writing the tiles to memory, always in float32. Kernels of 2x2 go to
    `winograd_convolution`, other kernels, strides and few channels to `direct_convolution`, in each
    of the three parts for itself.

    Raises:
        NotCompiledError: while it is traced, if it cannot be compiled here.
    """
    if kernel.shape[:2] == (2, 2):
        return winograd_convolution(inputs, kernel, strides, padding)
    return convolve(_FUSED, inputs, kernel, strides, padding)


@functools.cache
def why_not_fused(platform: str) -> str | None:
    """Why there are no fused convolutions on such devices of this machine; None where there are.

    Args:
        platform: what JAX calls the kind of device, such as 'cpu'.
    """
    if platform != "cpu":
        return f"they are for CPUs, not for {platform}"
    try:
        native.register(*_TARGETS)
    except native.NotCompiledError as error:
        return str(error)
    return None


def _outputs(inputs, kernel, strides, padding):
    if not _can_be_fused(inputs, kernel.shape[:2], strides):
        return DIRECT.outputs(inputs, kernel, strides, padding)
    batch, *sizes, _ = inputs.shape
    height, width = (size + sum(sides) - 2 for size, sides in zip(sizes, padding, strict=True))
    return _call(_CONVOLVE, inputs, kernel, (batch, height, width, kernel.shape[-1]), padding)


def _weight_gradient(inputs, cotangent, window, strides, padding):
    if not _can_be_fused(inputs, window, strides):
        return DIRECT.weight_gradient(inputs, cotangent, window, strides, padding)
    shape = (*window, inputs.shape[-1], cotangent.shape[-1])
    return _call(_WEIGHT_GRADIENT, inputs, cotangent, shape, padding)


_FUSED = Ways(_outputs, fused_convolution, _weight_gradient)


def _can_be_fused(inputs, window, strides):
    return window == (3, 3) and strides == (1, 1) and inputs.shape[-1] >= FEWEST_CHANNELS


def _call(target, inputs, other, shape, padding):
    native.register(*_TARGETS)
    (top, _), (left, _) = padding
    attributes = {"top": top, "left": left, "threads": _threads_of_device()}
    function = jax.ffi.ffi_call(
        target, jax.ShapeDtypeStruct(shape, jnp.float32), vmap_method="broadcast_all"
    )
    single = (array.astype(jnp.float32) for array in (inputs, other))
    result = function(*single, **{name: np.int64(value) for name, value in attributes.items()})
    return result.astype(inputs.dtype)


def _threads_of_device():
    """The cores for each of the devices that compute at the same time, told by the mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    devices = 1 if mesh.empty else mesh.size
    return max(1, num_cores() // devices)

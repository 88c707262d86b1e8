"""Two-dimensional convolutions that stay fast when every member has its own kernel.

XLA turns a convolution that is vmapped over its kernel into a grouped one, whose weight gradient is
slow on CPU and GPU alike, and on CPU any convolution inside a loop loses its fast weight gradient.
A matrix product loses nothing in either place, so convolutions are written as products here. A
forward convolution of one kernel loses nothing in a loop either (jaxlib 0.10.2), and both gradients
can be written as such.

All of them are written for one network and have one signature, `Convolution`; they agree to
float32 rounding, so which one to use is a matter of speed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ensemble_jax.ops.memory import stored

Padding = tuple[tuple[int, int], tuple[int, int]]
Strides = tuple[int, int]

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# Those of images. A convolution over the batch takes as many rows of a product (measured at 1, 3
# and 8).
_FEW_CHANNELS = 4


@runtime_checkable
class Convolution(Protocol):
    """Cross-correlation as neural networks call convolution: no kernel is flipped."""

    def __call__(
        self,
        inputs: Float[Array, "B H W C"],
        kernel: Float[Array, "h w C D"],
        strides: Strides,
        padding: Padding,
    ) -> Float[Array, "B P Q D"]:
        """`outputs[b, p, q] = sum_ij padded[b, p s + i, q t + j] @ kernel[i, j]`, strides `(s, t)`.

        `P = (H + sum(padding[0]) - h) // s + 1`, and Q likewise.
        """
        ...


def xla_convolution(
    inputs: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "B P Q D"]:
    """XLA's own convolution: the fastest forward pass on CPU outside loops, and the reference."""
    return lax.conv_general_dilated(inputs, kernel, strides, padding, dimension_numbers=_DIMENSIONS)


def shape_name(
    inputs_shape: tuple[int, ...], kernel_shape: tuple[int, ...], strides: Strides
) -> str:
    """What a convolution is called in a plan, whatever its padding and the size of its batches.

    >>> shape_name((100, 32, 16, 3), (5, 5, 3, 64), (2, 2))
    '5x5x3->64 32x16 s2'
    """
    _, height, width, _ = inputs_shape
    *kernel, features = map(str, kernel_shape)
    step = "x".join(map(str, strides[:1] if strides[0] == strides[1] else strides))
    return f"{'x'.join(kernel)}->{features} {height}x{width} s{step}"


def by_shape(usual: Convolution, others: Mapping[str, Convolution]) -> Convolution:
    """The usual convolution but for the shapes that `others` names, as `shape_name` does."""

    def convolve(
        inputs: Float[Array, "B H W C"],
        kernel: Float[Array, "h w C D"],
        strides: Strides,
        padding: Padding,
    ) -> Float[Array, "B P Q D"]:
        name = shape_name(inputs.shape, kernel.shape, strides)
        return others.get(name, usual)(inputs, kernel, strides, padding)

    return convolve


class KernelGradient(Protocol):
    """The gradient of a `Convolution` by its kernel."""

    def __call__(
        self,
        inputs: Float[Array, "B H W C"],
        cotangent: Float[Array, "B P Q D"],
        window: tuple[int, int],
        strides: Strides,
        padding: Padding,
    ) -> Float[Array, "h w C D"]:
        """`sum_bpq padded[b, p s + i, q t + j, c] cotangent[b, p, q, d]`; `window` is `(h, w)`."""
        ...


class Ways(NamedTuple):
    """How a convolution and its two gradients are computed, each by what takes the least time.

    Attributes:
        outputs: the convolution.
        by_inputs: the convolution with the turned kernel that is the gradient by the inputs.
        by_kernel: the gradient by the kernel.
    """

    outputs: Convolution
    by_inputs: Convolution
    by_kernel: KernelGradient


@partial(jax.custom_vjp, nondiff_argnums=(0, 3, 4))
def convolve(
    ways: Ways,
    inputs: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "B P Q D"]:
    """A `Convolution` with gradients of its own; for them it keeps its inputs and its kernel."""
    return ways.outputs(inputs, kernel, strides, padding)


def _convolve_forward(ways, inputs, kernel, strides, padding):
    return convolve(ways, inputs, kernel, strides, padding), (inputs, kernel)


def _convolve_backward(ways, strides, padding, residuals, cotangent):
    inputs, kernel = residuals
    return (
        _input_gradient(ways.by_inputs, inputs.shape, kernel, cotangent, strides, padding),
        ways.by_kernel(inputs, cotangent, kernel.shape[:2], strides, padding),
    )


convolve.defvjp(_convolve_forward, _convolve_backward)


def patches_convolution(
    inputs: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "B P Q D"]:
    """Every window as a row of a matrix, times the kernel as a matrix.

    The matrix of windows is h * w times as large as the inputs, so the backward pass builds it
    again instead of keeping it. Cost: 2 B P Q h w C D operations, as a direct convolution, and
    the same again for each of the two gradients.
    """
    return convolve(_PATCHES, inputs, kernel, strides, padding)


def _windows_by_kernel(inputs, kernel, strides, padding):
    windows = _windows(pad_image(inputs, padding), kernel.shape[:2], strides)
    return lax.concatenate(windows, 3) @ kernel.reshape(-1, kernel.shape[-1])


def _patches_kernel_gradient(inputs, cotangent, window, strides, padding):
    """The matrix of windows, transposed, times the cotangent as a matrix."""
    gradient = partial(_windows_by_cotangent, window=window, strides=strides)
    of_rows = partial(_rows_by_cotangent, window=window, strides=strides)
    matrix = lax.platform_dependent(
        pad_image(inputs, padding),
        cotangent,
        cpu=gradient if window == (1, 1) else of_rows,
        default=gradient,
    )
    return matrix.reshape(*window, inputs.shape[-1], cotangent.shape[-1])


def _windows_by_cotangent(padded, cotangent, window, strides):
    return sum_of_products(lax.concatenate(_windows(padded, window, strides), 3), cotangent)


def _rows_by_cotangent(padded, cotangent, window, strides):
    """The matrix of windows made transposed, from transposed images: 0.2 to 0.9 of the time."""
    batch, height, width, channels = padded.shape
    images = stored(padded.transpose(3, 0, 1, 2)).reshape(channels * batch, height, width, 1)
    rows = stored(jnp.stack(_windows(images, window, strides)))
    columns = cotangent.reshape(-1, cotangent.shape[-1])
    return rows.reshape(-1, len(columns)) @ columns


_PATCHES = Ways(_windows_by_kernel, patches_convolution, _patches_kernel_gradient)


def direct_convolution(
    inputs: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "B P Q D"]:
    """XLA's convolution, whose two gradients are written as such convolutions, too.

    XLA's own gradients fall to naive code in loops on CPU: that by the kernel took 70 times as long
    with 32 channels as this one.
    """
    return convolve(DIRECT, inputs, kernel, strides, padding)


def _cropped_convolution(inputs, kernel, strides, padding):
    """`xla_convolution` for padding that may be negative, as that of an input gradient."""
    (top, bottom), (left, right) = padding
    cropped = (min(top, 0), min(bottom, 0)), (min(left, 0), min(right, 0))
    added = (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))
    return xla_convolution(pad_image(inputs, cropped), kernel, strides, added)


def direct_kernel_gradient(
    inputs: Float[Array, "B H W C"],
    cotangent: Float[Array, "B P Q D"],
    window: tuple[int, int],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "h w C D"]:
    """A convolution over the batch: of each channel's images, with the cotangent as the kernel.

    Few channels make too few images: their windows are multiplied instead, in half of the time.
    """
    if window == (1, 1) or inputs.shape[-1] <= _FEW_CHANNELS:
        return _patches_kernel_gradient(inputs, cotangent, window, strides, padding)
    images, kernel = inputs.transpose(3, 1, 2, 0), cotangent.transpose(1, 2, 0, 3)
    outputs = lax.conv_general_dilated(
        stored(images),
        stored(kernel),
        (1, 1),
        padding,
        rhs_dilation=strides,
        dimension_numbers=_DIMENSIONS,
    )
    # What a stride leaves unread at the far edge would be further entries of the kernel.
    return outputs[:, : window[0], : window[1]].transpose(1, 2, 0, 3)


DIRECT = Ways(_cropped_convolution, direct_convolution, direct_kernel_gradient)


def sum_of_products(
    left: Float[Array, "B P Q C"], right: Float[Array, "B P Q D"]
) -> Float[Array, "C D"]:
    """`sum_bpq left[b, p, q, c] * right[b, p, q, d]`, the gradient of a matrix that is applied.

    Written with one axis to sum over: for three of them XLA's CPU compiler first writes the left
    side transposed, in a loop over single numbers that takes longer than the product.
    """
    matrices = (x.reshape(-1, x.shape[-1]) for x in (left, right))
    return lax.platform_dependent(*matrices, cpu=_product_of_copy, default=_product)


def _product(left, right):
    return lax.dot_general(left, right, (((0,), (0,)), ((), ())))


def _product_of_copy(left, right):
    """The product such that no side is read transposed.

    XLA's library for these is twice as fast with 32 to 128 channels (1600 x 32 by 1600 x 32: 110
    GFLOP/s of a core, 50 the other way), as fast with 256, and has no others. Half of the gain goes
    into the copy.
    """
    # A copy alone transposes blocks; fused into the sums that Winograd's tiles are made of it takes
    # five times as long.
    return stored(stored(left).T) @ right


def _input_gradient(convolution, input_shape, kernel, cotangent, strides, padding):
    """The gradient by the inputs: a convolution of the spread cotangent with the turned kernel.

    A kernel of one pixel is applied before the cotangent is spread, so that nothing is multiplied
    with the zeros between.
    """
    window = kernel.shape[:2]
    # Winograd reads it several times for each of its sums, and column by column is slow.
    turned = stored(kernel[::-1, ::-1].swapaxes(2, 3))
    before = [size - 1 - low for size, (low, _) in zip(window, padding, strict=True)]
    # What the stride left unread at the far edge gets its gradient of zero from this padding.
    after = [
        input_shape[axis + 1]
        + window[axis]
        - 2
        - strides[axis] * (cotangent.shape[axis + 1] - 1)
        - before[axis]
        for axis in (0, 1)
    ]
    sides = (before[0], after[0]), (before[1], after[1])
    nothing, between = ((0, 0), (0, 0)), (strides[0] - 1, strides[1] - 1)
    if window == (1, 1):
        return pad_image(convolution(cotangent, turned, (1, 1), nothing), sides, between)
    return convolution(pad_image(cotangent, nothing, between), turned, (1, 1), sides)


def pad_image(
    image: Float[Array, "B H W C"], padding: Padding, interior: tuple[int, int] = (0, 0)
) -> Float[Array, "B P Q C"]:
    """Zeros around the image, and `interior` many between its rows and columns; negative crops."""
    sides = [(*sides, inner) for sides, inner in zip(padding, interior, strict=True)]
    return lax.pad(image, jnp.zeros((), image.dtype), ((0, 0, 0), *sides, (0, 0, 0)))


def _windows(padded, window, strides):
    """The h * w arrays `[B, P, Q, C]` that hold one entry of each window."""
    batch, height, width, channels = padded.shape
    return [
        lax.slice(
            padded,
            (0, i, j, 0),
            (batch, height - window[0] + i + 1, width - window[1] + j + 1, channels),
            (1, *strides, 1),
        )
        for i in range(window[0])
        for j in range(window[1])
    ]

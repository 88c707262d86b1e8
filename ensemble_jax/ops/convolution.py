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

from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ensemble_jax.ops.memory import stored

Padding = tuple[tuple[int, int], tuple[int, int]]
Strides = tuple[int, int]

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


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
    return lax.conv_general_dilated(inputs, kernel, strides, padding, dimension_numbers=DIMENSIONS)


class WeightGradient(Protocol):
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
    """How a convolution and its two gradients are computed, each in its fastest way.

    Attributes:
        outputs: the convolution.
        input_gradient: the convolution with the turned kernel that is the gradient by the inputs.
        weight_gradient: the gradient by the kernel.
    """

    outputs: Convolution
    input_gradient: Convolution
    weight_gradient: WeightGradient


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
        _input_gradient(ways.input_gradient, inputs.shape, kernel, cotangent, strides, padding),
        ways.weight_gradient(inputs, cotangent, kernel.shape[:2], strides, padding),
    )


convolve.defvjp(_convolve_forward, _convolve_backward)


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
    """The product of a transposed copy, so that XLA's library reads no side transposed.

    That is twice as fast with 32 to 128 channels (1600 x 32 by 1600 x 32: 110 GFLOP/s of a core, 50
    without the copy) and as fast with 256. Half of the gain is spent on the copy.
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

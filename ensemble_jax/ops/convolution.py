"""Two-dimensional convolutions that stay fast when every member has its own kernel.

XLA turns a convolution that is vmapped over its kernel into a grouped one, whose weight gradient is
slow on CPU and GPU alike, and on CPU any convolution inside a loop loses its fast weight gradient.
A matrix product loses nothing in either place, so convolutions are written as products here.

All of them are written for one network and have one signature, `Convolution`; they agree to
float32 rounding, so which one to use is a matter of speed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Padding = tuple[tuple[int, int], tuple[int, int]]
Strides = tuple[int, int]

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


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
    return _patches(inputs, kernel, strides, padding)


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


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _patches(inputs, kernel, strides, padding):
    patches = _extract_patches(inputs, kernel.shape[:2], strides, padding)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


def _patches_forward(inputs, kernel, strides, padding):
    return _patches(inputs, kernel, strides, padding), (inputs, kernel)


def _patches_backward(strides, padding, residuals, cotangent):
    inputs, kernel = residuals
    patches = _extract_patches(inputs, kernel.shape[:2], strides, padding)
    kernel_gradient = sum_of_products(patches, cotangent).reshape(kernel.shape)
    return (
        input_gradient(patches_convolution, inputs.shape, kernel, cotangent, strides, padding),
        kernel_gradient,
    )


_patches.defvjp(_patches_forward, _patches_backward)


def sum_of_products(
    left: Float[Array, "B P Q C"], right: Float[Array, "B P Q D"]
) -> Float[Array, "C D"]:
    """`sum_bpq left[b, p, q, c] * right[b, p, q, d]`, the gradient of a matrix that is applied.

    Written with one axis to sum over: for three of them XLA's CPU compiler first writes the left
    side transposed, in a loop over single numbers that takes longer than the product.
    """
    left, right = (x.reshape(-1, x.shape[-1]) for x in (left, right))
    return lax.dot_general(left, right, (((0,), (0,)), ((), ())))


def input_gradient(
    convolution: Convolution,
    input_shape: tuple[int, ...],
    kernel: Float[Array, "h w C D"],
    cotangent: Float[Array, "B P Q D"],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "B H W C"]:
    """The gradient by the inputs: a convolution of the spread cotangent with the turned kernel.

    A kernel of one pixel is applied before the cotangent is spread, so that nothing is multiplied
    with the zeros between.
    """
    window = kernel.shape[:2]
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
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


def _extract_patches(inputs, window, strides, padding):
    """The windows `[B, P, Q, h * w * C]` of the padded inputs."""
    padded = pad_image(inputs, padding)
    batch, height, width, channels = padded.shape
    columns = [
        lax.slice(
            padded,
            (0, i, j, 0),
            (batch, height - window[0] + i + 1, width - window[1] + j + 1, channels),
            (1, *strides, 1),
        )
        for i in range(window[0])
        for j in range(window[1])
    ]
    return lax.concatenate(columns, 3)

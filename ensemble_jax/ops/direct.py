"""Convolutions whose outputs and gradients are all forward convolutions of XLA."""

from __future__ import annotations

from jax import lax
from jaxtyping import Array, Float

from ensemble_jax.ops.convolution import (
    DIMENSIONS,
    Padding,
    Strides,
    Ways,
    convolve,
    pad_image,
    xla_convolution,
)
from ensemble_jax.ops.memory import stored
from ensemble_jax.ops.patches import patches_convolution, patches_weight_gradient

# Those of images. A convolution over the batch takes as many rows of a product (measured at 1, 3
# and 8).
_FEW_CHANNELS = 4


def direct_convolution(
    inputs: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "B P Q D"]:
    """XLA's convolution, with both gradients written as forward convolutions, too.

    XLA's own gradients fall to naive code in loops on CPU: that by the kernel took 70 times as long
    with 32 channels as this one.
    """
    return convolve(DIRECT, inputs, kernel, strides, padding)


def _outputs(inputs, kernel, strides, padding):
    """`xla_convolution`, or the products of windows where these are faster."""
    window = kernel.shape[:2]
    if window == (1, 1) or not _fits(window, inputs):
        return patches_convolution(inputs, kernel, strides, padding)
    # The padding of an input gradient may be negative.
    (top, bottom), (left, right) = padding
    cropped = (min(top, 0), min(bottom, 0)), (min(left, 0), min(right, 0))
    added = (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))
    return xla_convolution(pad_image(inputs, cropped), kernel, strides, added)


def direct_weight_gradient(
    inputs: Float[Array, "B H W C"],
    cotangent: Float[Array, "B P Q D"],
    window: tuple[int, int],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "h w C D"]:
    """A convolution over the batch: of each channel's images, with the cotangent as the kernel.

    Few channels make too few images: their windows are multiplied instead, in half of the time.
    """
    extents = (
        (size - 1) * step + 1 for size, step in zip(cotangent.shape[1:3], strides, strict=True)
    )
    few = inputs.shape[-1] <= _FEW_CHANNELS
    if window == (1, 1) or few or not _fits(tuple(extents), inputs):
        return patches_weight_gradient(inputs, cotangent, window, strides, padding)
    images, kernel = inputs.transpose(3, 1, 2, 0), cotangent.transpose(1, 2, 0, 3)
    outputs = lax.conv_general_dilated(
        stored(images),
        stored(kernel),
        (1, 1),
        padding,
        rhs_dilation=strides,
        dimension_numbers=DIMENSIONS,
    )
    # What a stride leaves unread at the far edge would be further entries of the kernel.
    return outputs[:, : window[0], : window[1]].transpose(1, 2, 0, 3)


def _fits(window, inputs):
    """Whether an image is as large as the window.

    Where it is not, XLA's CPU library refuses, and naive code took 25 times as long as the products
    of all windows (5x5 on 4x4 and 3x3 on 2x2 pixels).
    """
    return all(extent <= size for extent, size in zip(window, inputs.shape[1:3], strict=True))


DIRECT = Ways(_outputs, direct_convolution, direct_weight_gradient)

"""Winograd's minimal filtering F(2x2, 3x3): 16 products where a direct convolution needs 36.

Source: A. Lavin and S. Gray, 'Fast Algorithms for Convolutional Neural Networks', CVPR 2016, whose
matrices are `A`, `B` and `G` below: outputs `= A^T [(G g G^T) * (B^T d B)] A` for a filter g and a
4x4 tile d of the inputs.

The 16 entries of a transformed tile stay 16 arrays and become 16 matrix products. Stacked into one
array, the same products measured 1.3 to 1.7 times slower on CPU: XLA writes the stack once more.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ensemble_jax.ops.convolution import (
    Padding,
    Strides,
    input_gradient,
    pad_image,
    patches_convolution,
)

# With fewer input channels the additions outweigh the products saved (measured at 1 and 3).
_FEWEST_CHANNELS = 8

_G = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))


def winograd_convolution(
    inputs: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "B P Q D"]:
    """Tiles of 2x2 outputs by 16 matrix products over the channels.

    Only 3x3 kernels with stride 1 can be written so, and few channels do not pay; every other
    convolution goes to `patches_convolution`. Cost: 16 / 36 of the products of a direct
    convolution, plus additions in proportion to the inputs and outputs; the same again for each of
    the two gradients.
    """
    fits = kernel.shape[:2] == (3, 3) and strides == (1, 1)
    if not fits or inputs.shape[-1] < _FEWEST_CHANNELS:
        return patches_convolution(inputs, kernel, strides, padding)
    return _winograd(inputs, kernel, padding)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _winograd(inputs, kernel, padding):
    """The convolution of stride 1 with a 3x3 kernel."""
    height, width = _output_size(inputs, padding)
    weights = _transform_kernel(kernel)
    products = [
        tile @ weight for tile, weight in zip(_input_tiles(inputs, padding), weights, strict=True)
    ]
    return _assemble(products)[:, :height, :width]


def _winograd_forward(inputs, kernel, padding):
    return _winograd(inputs, kernel, padding), (inputs, kernel)


def _winograd_backward(padding, residuals, cotangent):
    inputs, kernel = residuals
    # The tiles are cheaper to make again than to keep: four times the inputs.
    pairs = zip(_input_tiles(inputs, padding), _cotangent_tiles(cotangent), strict=True)
    products = [jnp.einsum("bpqc,bpqd->cd", tile, out) for tile, out in pairs]
    return (
        input_gradient(winograd_convolution, inputs.shape, kernel, cotangent, (1, 1), padding),
        _transform_kernel_back(products),
    )


_winograd.defvjp(_winograd_forward, _winograd_backward)


def _output_size(inputs, padding):
    return tuple(size + sum(pad) - 2 for size, pad in zip(inputs.shape[1:3], padding, strict=True))


def _input_tiles(inputs, padding):
    """`B^T d B` of all 4x4 tiles d, two apart: 16 arrays `[B, rows, columns, C]`."""
    # An odd output gets one more row or column, cut off again at the end.
    height, width = _output_size(inputs, padding)
    (top, bottom), (left, right) = padding
    padded = pad_image(inputs, ((top, bottom + height % 2), (left, right + width % 2)))
    halves = _split(padded)
    rows, columns = halves[0][0].shape[1] - 1, halves[0][0].shape[2] - 1

    def entry(i, j):
        half = halves[i % 2][j % 2]
        return half[:, i // 2 : i // 2 + rows, j // 2 : j // 2 + columns]

    def transform(entries):
        return (
            entries[0] - entries[2],
            entries[1] + entries[2],
            entries[2] - entries[1],
            (entries[1] - entries[3]),
        )

    columns_done = [transform([entry(i, j) for i in range(4)]) for j in range(4)]
    return [tile for i in range(4) for tile in transform([columns_done[j][i] for j in range(4)])]


def _cotangent_tiles(cotangent):
    """`A g A^T` of all 2x2 tiles g of the cotangent: 16 arrays `[B, rows, columns, D]`."""
    height, width = cotangent.shape[1:3]
    entries = _split(pad_image(cotangent, ((0, height % 2), (0, width % 2))))

    def transform(first, second):
        return first, first + second, first - second, -second

    left, right = (transform(entries[0][j], entries[1][j]) for j in (0, 1))
    return [tile for i in range(4) for tile in transform(left[i], right[i])]


def _assemble(products):
    """`A^T m A` of every 4x4 tile of products m, put in place: `[B, 2 rows, 2 columns, D]`."""

    def transform(m):
        return m[0] + m[1] + m[2], m[1] - m[2] - m[3]

    columns = [transform([products[4 * i + j] for i in range(4)]) for j in range(4)]
    blocks = [jnp.stack(transform([column[i] for column in columns]), axis=3) for i in (0, 1)]
    outputs = jnp.stack(blocks, axis=2)
    batch, rows, _, columns, _, channels = outputs.shape
    return outputs.reshape(batch, 2 * rows, 2 * columns, channels)


def _split(image):
    """The entries in even and odd rows (first index) and even and odd columns (second index)."""
    batch, height, width, channels = image.shape
    halves = image.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return [[halves[:, :, i, :, j] for j in (0, 1)] for i in (0, 1)]


def _transform_kernel(kernel):
    """`G g G^T` of every 3x3 filter g: 16 matrices `[C, D]`."""
    matrix = jnp.array(_G, kernel.dtype)
    # Few numbers, but every product depends on them: at the highest precision also where matrix
    # products are rounded to less.
    weights = jnp.einsum(
        "ih,jw,hwcd->ijcd", matrix, matrix, kernel, precision=lax.Precision.HIGHEST
    )
    return [weights[i, j] for i in range(4) for j in range(4)]


def _transform_kernel_back(products):
    """The adjoint of `_transform_kernel`: 16 matrices to the gradient of the 3x3 kernel."""
    matrix = jnp.array(_G, products[0].dtype)
    stacked = jnp.stack(products).reshape(4, 4, *products[0].shape)
    return jnp.einsum("ih,jw,ijcd->hwcd", matrix, matrix, stacked, precision=lax.Precision.HIGHEST)

"""Winograd's minimal filtering F(2x2, r x r): (r + 1)^2 products where a direct one needs 4 r^2.

Source: A. Lavin and S. Gray, 'Fast Algorithms for Convolutional Neural Networks', CVPR 2016. With
the matrices of `_Filter`, the 2x2 outputs of a filter g on a tile d of the inputs are
`A^T [(G g G^T) * (B^T d B)] A`. That is 16 products instead of 36 for 3x3 filters and 9 instead of
16 for 2x2. Tiles of 4x4 outputs save more products, but on CPU their additions cost more than
that, and their rounding errors are ten times as large.

The entries of a transformed tile stay apart, as arrays of their own, and become as many matrix
products. Stacked into one array, the same products measured 1.3 to 1.7 times slower on CPU: XLA
writes the stack once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

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
    sum_of_products,
)

# With fewer input channels the additions outweigh the products saved (measured at 1 and 3).
_FEWEST_CHANNELS = 8

_Matrix = tuple[tuple[float, ...], ...]


class _Filter(NamedTuple):
    """The matrices of F(2, r) for n = r + 1 products: `B^T` [n, n], `G` [n, r] and `A^T` [2, n]."""

    inputs: _Matrix
    kernel: _Matrix
    outputs: _Matrix


_FILTERS = {
    2: _Filter(
        inputs=((1, -1, 0), (0, 1, 0), (0, 1, -1)),
        kernel=((1, 0), (1, 1), (0, 1)),
        outputs=((1, 1, 0), (0, 1, -1)),
    ),
    3: _Filter(
        inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        kernel=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        outputs=((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
}


def winograd_convolution(
    inputs: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "B P Q D"]:
    """Tiles of 2x2 outputs by 9 (2x2 kernels) or 16 (3x3) matrix products over the channels.

    Only these kernels with stride 1 can be written so, and few channels do not pay; every other
    convolution goes to `patches_convolution`. Cost: 9 / 16 or 16 / 36 of the products of a direct
    convolution, plus additions in proportion to the inputs and outputs; the same again for each of
    the two gradients.
    """
    height, width, channels, _ = kernel.shape
    fits = height == width and height in _FILTERS and strides == (1, 1)
    if not fits or channels < _FEWEST_CHANNELS:
        return patches_convolution(inputs, kernel, strides, padding)
    return _winograd(inputs, kernel, padding)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _winograd(inputs, kernel, padding):
    """The convolution of stride 1 with a square kernel of a size in `_FILTERS`."""
    window = kernel.shape[0]
    weights = _transform(_FILTERS[window].kernel, kernel)
    products = _map_pairs(jnp.matmul, _input_tiles(inputs, window, padding), weights)
    outputs = _join(_transform(_FILTERS[window].outputs, products))
    height, width = _output_size(inputs, window, padding)
    return outputs[:, :height, :width]


def _winograd_forward(inputs, kernel, padding):
    return _winograd(inputs, kernel, padding), (inputs, kernel)


def _winograd_backward(padding, residuals, cotangent):
    inputs, kernel = residuals
    window = kernel.shape[0]
    # The tiles are cheaper to make again than to keep: two to four times the inputs.
    tiles = _input_tiles(inputs, window, padding)
    cotangent_tiles = _cotangent_tiles(cotangent, window)
    products = _map_pairs(sum_of_products, tiles, cotangent_tiles)
    kernel_gradient = _transform(_transpose(_FILTERS[window].kernel), products)
    return (
        input_gradient(winograd_convolution, inputs.shape, kernel, cotangent, (1, 1), padding),
        jnp.stack([jnp.stack(row) for row in kernel_gradient]),
    )


_winograd.defvjp(_winograd_forward, _winograd_backward)


def _output_size(inputs, window, padding):
    sizes = zip(inputs.shape[1:3], padding, strict=True)
    return tuple(size + sum(pad) - window + 1 for size, pad in sizes)


def _input_tiles(inputs, window, padding):
    """`B^T d B` of the tiles d, two apart: n x n arrays `[B, rows, columns, C]`, n = window + 1."""
    rows, columns = (-(-size // 2) for size in _output_size(inputs, window, padding))
    # Two rows more than the outputs, so that the rows can be split; those beyond the padding are
    # read by outputs that are cut off, or by none.
    size = [2 * rows + 2, 2 * columns + 2]
    before = [low for low, _ in padding]
    after = [size[axis] - inputs.shape[axis + 1] - before[axis] for axis in (0, 1)]
    halves = _split(pad_image(inputs, ((before[0], after[0]), (before[1], after[1]))))

    def entry(i, j):
        half = halves[i % 2][j % 2]
        return half[:, i // 2 : i // 2 + rows, j // 2 : j // 2 + columns]

    entries = [[entry(i, j) for j in range(window + 1)] for i in range(window + 1)]
    return _transform(_FILTERS[window].inputs, entries)


def _cotangent_tiles(cotangent, window):
    """`A g A^T` of the 2x2 tiles g of the cotangent: n x n arrays `[B, rows, columns, D]`."""
    height, width = cotangent.shape[1:3]
    entries = _split(pad_image(cotangent, ((0, height % 2), (0, width % 2))))
    return _transform(_transpose(_FILTERS[window].outputs), entries)


def _transform(matrix: _Matrix, entries: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """`M e M^T` for a matrix M of numbers and a square e of arrays.

    The sums are written out instead of multiplied, so that no precision of products rounds them.
    """
    columns = zip(*entries, strict=True)
    half = [[_weigh(row, column) for row in matrix] for column in columns]
    # Fused into one pass, each of the results would read all of the entries.
    half = lax.optimization_barrier(half)
    return [[_weigh(row, line) for row in matrix] for line in zip(*half, strict=True)]


def _weigh(weights: Sequence[float], arrays: Sequence[Array]) -> Array:
    """The weighted sum of the arrays; weights of 0 and 1 cost nothing."""
    pairs = zip(weights, arrays, strict=True)
    terms = [array if weight == 1 else weight * array for weight, array in pairs if weight != 0]
    return sum(terms[1:], start=terms[0])


def _map_pairs(function, left, right):
    """The function of each pair of entries of two squares of arrays."""
    rows = zip(left, right, strict=True)
    return [[function(a, b) for a, b in zip(*pair, strict=True)] for pair in rows]


def _transpose(matrix: _Matrix) -> _Matrix:
    return tuple(zip(*matrix, strict=True))


def _split(image):
    """The entries in even and odd rows (first index) and even and odd columns (second index)."""
    batch, height, width, channels = image.shape
    halves = image.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return [[halves[:, :, i, :, j] for j in (0, 1)] for i in (0, 1)]


def _join(halves):
    """The image whose entries `_split` takes apart."""
    image = jnp.stack([jnp.stack(row, axis=3) for row in halves], axis=2)
    batch, rows, _, columns, _, channels = image.shape
    return image.reshape(batch, 2 * rows, 2 * columns, channels)

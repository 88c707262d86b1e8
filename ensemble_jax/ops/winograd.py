"""Winograd's minimal filtering F(m x m, r x r): (m + r - 1)^2 products instead of m^2 r^2.

Source: A. Lavin and S. Gray, 'Fast Algorithms for Convolutional Neural Networks', CVPR 2016. With
the matrices of `_Filter`, the m x m outputs of a filter g on a tile d of the inputs are
`A^T [(G g G^T) * (B^T d B)] A`. For m = 2 that is 16 products instead of 36 for 3x3 filters and 9
instead of 16 for 2x2; for m = 4 and 3x3 filters 36 instead of 144, with rounding errors that are
four times as large.

The entries of a transformed tile stay apart, as arrays of their own, and become as many matrix
products. Stacked into one array, the same products measured 1.3 to 1.7 times slower on CPU: XLA
writes the stack once more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ensemble_jax.ops.convolution import (
    Padding,
    Strides,
    Ways,
    convolve,
    pad_image,
    sum_of_products,
)
from ensemble_jax.ops.direct import DIRECT, direct_kernel_gradient
from ensemble_jax.ops.memory import stored
from ensemble_jax.ops.patches import patches_convolution

# With fewer input channels the additions outweigh the products saved (measured at 1 and 3).
FEWEST_CHANNELS = 8

_Matrix = tuple[tuple[float, ...], ...]


class _Filter(NamedTuple):
    """`B^T` [n, n], `G` [n, r] and `A^T` [m, n] of F(m, r), whose products are n = m + r - 1."""

    inputs: _Matrix
    kernel: _Matrix
    outputs: _Matrix


# By m and r. F(4, 3) interpolates at 0, 1, -1, 1/2 and -2, with half the rounding errors of the
# usual points 0, 1, -1, 2 and -2. F(4, 2) measured slower than F(2, 2) on st-VGG's 4x4 images.
_FILTERS = {
    (2, 2): _Filter(
        inputs=((1, -1, 0), (0, 1, 0), (0, 1, -1)),
        kernel=((1, 0), (1, 1), (0, 1)),
        outputs=((1, 1, 0), (0, 1, -1)),
    ),
    (2, 3): _Filter(
        inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        kernel=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        outputs=((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
    (4, 3): _Filter(
        inputs=(
            (1, -1.5, -2, 1.5, 1, 0),
            (0, -1, 0.5, 2.5, 1, 0),
            (0, 1, -2.5, 0.5, 1, 0),
            (0, -2, -1, 2, 1, 0),
            (0, 0.5, -1, -0.5, 1, 0),
            (0, 1, -1.5, -2, 1.5, 1),
        ),
        kernel=(
            (1, 0, 0),
            (1 / 3, 1 / 3, 1 / 3),
            (-1 / 3, 1 / 3, -1 / 3),
            (-16 / 15, -8 / 15, -4 / 15),
            (1 / 15, -2 / 15, 4 / 15),
            (0, 0, 1),
        ),
        outputs=(
            (1, 1, 1, 1, 1, 0),
            (0, 1, -1, 0.5, -2, 0),
            (0, 1, 1, 0.25, 4, 0),
            (0, 1, -1, 0.125, -8, 1),
        ),
    ),
}


def winograd_convolution(
    inputs: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: Strides,
    padding: Padding,
    *,
    largest_tile: int = 2,
) -> Float[Array, "B P Q D"]:
    """Tiles of m x m outputs by (m + r - 1)^2 matrix products over the channels.

    Only 2x2 and 3x3 kernels with stride 1 can be written so, and few channels do not pay; every
    other convolution goes to `patches_convolution`. Cost: for m = 2 9 / 16 (2x2) or 16 / 36 (3x3)
    of the products of a direct convolution, for m = 4 36 / 144, plus additions in proportion to
    the inputs and outputs; the same again for each of the two gradients.

    Args:
        inputs: as of `Convolution`, like all up to the padding.
        kernel: see there.
        strides: see there.
        padding: see there.
        largest_tile: m is 2, or 4 where that is allowed here, takes fewer products, the kernel is
            3x3 and the numbers are float32.
    """
    tile = _tile(inputs, kernel.shape[:2], strides, padding, largest_tile)
    if tile is None:
        return patches_convolution(inputs, kernel, strides, padding)
    ways = Ways(
        partial(_winograd, tile=tile),
        partial(_stored_convolution, tile=tile),
        partial(_kernel_gradient, tile=tile),
    )
    return convolve(ways, inputs, kernel, strides, padding)


def mixed_convolution(
    inputs: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: Strides,
    padding: Padding,
) -> Float[Array, "B P Q D"]:
    """`direct_convolution`, but for the gradient by the kernel, which takes Winograd's products.

    Where these cannot be, it is the direct convolution's.
    """
    return convolve(_MIXED, inputs, kernel, strides, padding)


def _winograd_or_direct(inputs, cotangent, window, strides, padding):
    tile = _tile(inputs, window, strides, padding, largest=2)
    if tile is None:
        return direct_kernel_gradient(inputs, cotangent, window, strides, padding)
    return _kernel_gradient(inputs, cotangent, window, strides, padding, tile)


_MIXED = DIRECT._replace(by_inputs=mixed_convolution, by_kernel=_winograd_or_direct)


def _tile(inputs, window, strides, padding, largest):
    """The size of tiles that take the fewest products; None where there are no such tiles."""
    # Half precision has too few digits for the factors of larger tiles.
    largest = largest if inputs.dtype == jnp.float32 else 2
    tiles = [m for m, r in _FILTERS if window == (r, r) and m <= largest]
    if not tiles or strides != (1, 1) or inputs.shape[-1] < FEWEST_CHANNELS:
        return None
    sizes = _output_size(inputs, window[0], padding)
    return min(tiles, key=partial(_num_products, sizes=sizes, window=window[0]))


def _num_products(tile, sizes, window):
    """The products for each pair of channels, of outputs of these sizes."""
    return math.prod(-(-size // tile) * (tile + window - 1) for size in sizes)


def _winograd(inputs, kernel, strides, padding, tile):
    """The convolution of stride 1 with a square kernel, whose tile and size are in `_FILTERS`."""
    window = kernel.shape[0]
    matrices = _FILTERS[tile, window]
    weights = _transform(matrices.kernel, kernel)
    products = _map_pairs(jnp.matmul, _input_tiles(inputs, window, padding, tile), weights)
    outputs = _join(_transform(matrices.outputs, products))
    height, width = _output_size(inputs, window, padding)
    return outputs[:, :height, :width]


def _stored_convolution(inputs, kernel, strides, padding, tile):
    """What several read and none shall compute again."""
    return stored(winograd_convolution(inputs, kernel, strides, padding, largest_tile=tile))


def _kernel_gradient(inputs, cotangent, window, strides, padding, tile):
    # The tiles are cheaper to make again than to keep: two to four times the inputs.
    tiles = _input_tiles(inputs, window[0], padding, tile)
    products = _map_pairs(sum_of_products, tiles, _cotangent_tiles(cotangent, window[0], tile))
    gradient = _transform(_transpose(_FILTERS[tile, window[0]].kernel), products)
    # Fused into an update, the stack has a branch for each of its numbers.
    return stored(jnp.stack([jnp.stack(row) for row in gradient]))


def _output_size(inputs, window, padding):
    sizes = zip(inputs.shape[1:3], padding, strict=True)
    return tuple(size + sum(pad) - window + 1 for size, pad in sizes)


def _input_tiles(inputs, window, padding, tile):
    """`B^T d B` of the tiles d, `tile` apart: n x n arrays `[B, rows, columns, C]`."""
    rows, columns = (-(-size // tile) for size in _output_size(inputs, window, padding))
    # A tile more than the outputs, for what the last window reads; what lies beyond the padding is
    # read by outputs that are cut off, or by none.
    size = [tile * (rows + 1), tile * (columns + 1)]
    before = [low for low, _ in padding]
    after = [size[axis] - inputs.shape[axis + 1] - before[axis] for axis in (0, 1)]
    parts = _split(pad_image(inputs, ((before[0], after[0]), (before[1], after[1]))), tile)

    def entry(i, j):
        part = parts[i % tile][j % tile]
        return part[:, i // tile : i // tile + rows, j // tile : j // tile + columns]

    matrix = _FILTERS[tile, window].inputs
    entries = [[entry(i, j) for j in range(len(matrix))] for i in range(len(matrix))]
    return _transform(matrix, entries)


def _cotangent_tiles(cotangent, window, tile):
    """`A g A^T` of the tiles g of the cotangent: n x n arrays `[B, rows, columns, D]`."""
    height, width = cotangent.shape[1:3]
    entries = _split(pad_image(cotangent, ((0, -height % tile), (0, -width % tile))), tile)
    return _transform(_transpose(_FILTERS[tile, window].outputs), entries)


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


def _split(image, tile):
    """The entry [i][j] of every tile: rows i, i + tile, ... and columns j, j + tile, ..."""
    batch, height, width, channels = image.shape
    tiles = image.reshape(batch, height // tile, tile, width // tile, tile, channels)
    return [[tiles[:, :, i, :, j] for j in range(tile)] for i in range(tile)]


def _join(entries):
    """The image whose tiles `_split` takes apart."""
    image = jnp.stack([jnp.stack(row, axis=3) for row in entries], axis=2)
    batch, rows, tile, columns, _, channels = image.shape
    return image.reshape(batch, tile * rows, tile * columns, channels)

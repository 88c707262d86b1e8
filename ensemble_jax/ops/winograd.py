"""Winograd's minimal filtering F(2x2, r x r): (r + 1)^2 products instead of 4 r^2.

Source: A. Lavin and S. Gray, 'Fast Algorithms for Convolutional Neural Networks', CVPR 2016. With
the matrices of `_Filter`, the 2x2 outputs of a filter g on a tile d of the inputs are
`A^T [(G g G^T) * (B^T d B)] A`. That is 16 products instead of 36 for 3x3 filters and 9 instead of
16 for 2x2.

The entries of a transformed tile stay apart, as arrays of their own, and become as many matrix
products. Stacked into one array, the same products measured 1.3 to 1.7 times slower on CPU: XLA
writes the stack once more.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from ensemble_jax.ops.direct import direct_convolution
from ensemble_jax.ops.memory import stored
from ensemble_jax.ops.patches import patches_convolution

# With fewer input channels the additions outweigh the products saved (measured at 1 and 3).
FEWEST_CHANNELS = 8
# In images at least so large, with at most so many channels, fewer products save less time than
# writing the tiles to memory costs: direct convolutions made st-VGG, whose second layer has
# 32 channels of 32x32, 1.06 times as fast, and in all layers a small ResNet (8 channels) 1.28
# times.
_LARGE_SIZE, _FEW_CHANNELS = 32, 32
# The channels of a colour picture.
_PICTURE_CHANNELS = 3

# Height and width of the outputs of a tile.
_TILE = 2

_Matrix = tuple[tuple[float, ...], ...]


class _Filter(NamedTuple):
    """`B^T` [n, n], `G` [n, r] and `A^T` [2, n] of F(2, r), whose products are n = r + 1."""

    inputs: _Matrix
    kernel: _Matrix
    outputs: _Matrix


# By r.
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
    """Tiles of 2x2 outputs by (r + 1)^2 matrix products over the channels.

    Only 2x2 and 3x3 kernels with stride 1 can be computed so. It does not pay with few channels,
    nor with large images that have not many. Other convolutions go to `patches_convolution` if
    their inputs have up to 3 channels, else to `direct_convolution`. Cost:
    9 / 16 (2x2) or 16 / 36 (3x3) of the products of a direct convolution, plus additions in
    proportion to the inputs and outputs; the same again for each of the two gradients.
    """
    if kernel.shape[:2] in ((2, 2), (3, 3)) and strides == (1, 1) and _pays(inputs):
        return convolve(_WINOGRAD, inputs, kernel, strides, padding)
    if inputs.shape[-1] <= _PICTURE_CHANNELS:
        return patches_convolution(inputs, kernel, strides, padding)
    return direct_convolution(inputs, kernel, strides, padding)


def _pays(inputs):
    """Whether fewer products save more time than the tiles cost."""
    _, *sizes, channels = inputs.shape
    large = min(sizes) >= _LARGE_SIZE and channels <= _FEW_CHANNELS
    return channels >= FEWEST_CHANNELS and not large


def _outputs(inputs, kernel, strides, padding):
    """The convolution of stride 1 with a square kernel whose size is in `_FILTERS`."""
    window = kernel.shape[0]
    matrices = _FILTERS[window]
    weights = _transform(matrices.kernel, kernel)
    products = _map_pairs(jnp.matmul, _input_tiles(inputs, window, padding), weights)
    outputs = _join(_transform(matrices.outputs, products))
    height, width = _output_size(inputs, window, padding)
    return outputs[:, :height, :width]


def _input_gradient(inputs, kernel, strides, padding):
    """Stored, because several operations read it and none shall compute it again."""
    return stored(winograd_convolution(inputs, kernel, strides, padding))


def _weight_gradient(inputs, cotangent, window, strides, padding):
    # The tiles are made again: to keep them would take two to four times the inputs' memory.
    tiles = _input_tiles(inputs, window[0], padding)
    products = _map_pairs(sum_of_products, tiles, _cotangent_tiles(cotangent, window[0]))
    gradient = _transform(_transpose(_FILTERS[window[0]].kernel), products)
    # Fused into an update, the stack has a branch for each of its numbers.
    return stored(jnp.stack([jnp.stack(row) for row in gradient]))


_WINOGRAD = Ways(_outputs, _input_gradient, _weight_gradient)


def _output_size(inputs, window, padding):
    sizes = zip(inputs.shape[1:3], padding, strict=True)
    return tuple(size + sum(pad) - window + 1 for size, pad in sizes)


def _input_tiles(inputs, window, padding):
    """`B^T d B` of the tiles d, which are 2 apart: n x n arrays `[B, rows, columns, C]`."""
    rows, columns = (-(-size // _TILE) for size in _output_size(inputs, window, padding))
    # A tile more than the outputs, for what the last window reads; what lies beyond the padding is
    # read by outputs that are cut off, or by none.
    size = [_TILE * (rows + 1), _TILE * (columns + 1)]
    before = [low for low, _ in padding]
    after = [size[axis] - inputs.shape[axis + 1] - before[axis] for axis in (0, 1)]
    parts = _split(pad_image(inputs, ((before[0], after[0]), (before[1], after[1]))))

    def entry(i, j):
        part = parts[i % _TILE][j % _TILE]
        top, left = i // _TILE, j // _TILE
        return part[:, top : top + rows, left : left + columns]

    matrix = _FILTERS[window].inputs
    entries = [[entry(i, j) for j in range(len(matrix))] for i in range(len(matrix))]
    return _transform(matrix, entries)


def _cotangent_tiles(cotangent, window):
    """`A g A^T` of the tiles g of the cotangent: n x n arrays `[B, rows, columns, D]`."""
    height, width = cotangent.shape[1:3]
    entries = _split(pad_image(cotangent, ((0, -height % _TILE), (0, -width % _TILE))))
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
    """The entry [i][j] of every 2x2 tile: rows i, i + 2, ... and columns j, j + 2, ..."""
    batch, height, width, channels = image.shape
    tiles = image.reshape(batch, height // _TILE, _TILE, width // _TILE, _TILE, channels)
    return [[tiles[:, :, i, :, j] for j in range(_TILE)] for i in range(_TILE)]


def _join(entries):
    """The image whose tiles `_split` takes apart."""
    image = jnp.stack([jnp.stack(row, axis=3) for row in entries], axis=2)
    batch, rows, _, columns, _, channels = image.shape
    return image.reshape(batch, _TILE * rows, _TILE * columns, channels)

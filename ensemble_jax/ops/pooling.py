"""Pooling without `reduce_window`, whose gradient is slow under `vmap` and in loops."""

from __future__ import annotations

import math
from functools import partial, reduce
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ensemble_jax.ops.convolution import Padding, Strides
from ensemble_jax.ops.memory import stored

# Of windows that do not overlap; larger ones are reduced along axes of their own.
_MOST_ENTRIES = 16


class _Windows(NamedTuple):
    """Windows of `size` pixels, `strides` apart, in an image with `padding` pixels around it.

    Each has an entry for the rows and one for the columns, `padding` a pair of before and after.
    """

    size: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding

    @classmethod
    def of(
        cls, size: int | tuple[int, int], strides: int | Strides | None, padding: int | Padding
    ) -> Self:
        """The windows that the arguments of `max_pool` describe."""
        height, width = _pair(size)
        down, right = (height, width) if strides is None else _pair(strides)
        rows, columns = _pair(padding)
        return cls((height, width), (down, right), (_sides(rows), _sides(columns)))

    def counts(self, inputs: Float[Array, "B H W C"]) -> tuple[int, int]:
        """The windows along each axis, `(P, Q)`; pixels left over belong to none."""
        rows, columns = (
            (length + sum(sides) - size) // step + 1
            for length, size, step, sides in zip(inputs.shape[1:3], *self, strict=True)
        )
        return rows, columns

    @property
    def apart(self) -> bool:
        """Whether every pixel belongs to one window at most."""
        return self.size == self.strides and self.padding == ((0, 0), (0, 0))

    @property
    def many(self) -> bool:
        """Whether there are more entries than are worth an array each."""
        return self.apart and math.prod(self.size) > _MOST_ENTRIES


def _pair(number):
    return (number, number) if isinstance(number, int) else number


def _sides(padding):
    before, after = _pair(padding)
    return before, after


def max_pool(
    inputs: Float[Array, "B H W C"],
    size: int | tuple[int, int] = 2,
    strides: int | Strides | None = None,
    padding: int | Padding = 0,
) -> Float[Array, "B P Q C"]:
    """The largest of each window; rows and columns left over are dropped.

    Entries that share the largest value share its gradient equally.

    Args:
        inputs: the images.
        size: height and width of the windows; one number for both, here and in the others.
        strides: pixels from one window to the next; `size` by default.
        padding: pixels around the image that windows may cover, less than `size`; they are never
            the largest.
    """
    windows = _Windows.of(size, strides, padding)
    return _cut(inputs, windows).max((2, 4)) if windows.many else _max_pool(inputs, windows)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(inputs, windows):
    outputs, _ = _max_pool_forward(inputs, windows)
    return outputs


def _max_pool_forward(inputs, windows):
    # What is made of the strided entries of windows has no vector instructions.
    inputs = stored(inputs)
    outputs = stored(reduce(jnp.maximum, _window_entries(inputs, windows, -jnp.inf)))
    return outputs, (inputs, outputs)


def _max_pool_backward(windows, residuals, cotangent):
    inputs, outputs = residuals
    # The largest are found again: comparing values is cheaper than carrying indices through memory.
    entries, spread = jax.vjp(lambda x: _window_entries(x, windows, -jnp.inf), inputs)
    largest = [entry == outputs for entry in entries]
    share = cotangent / reduce(jnp.add, [mask.astype(cotangent.dtype) for mask in largest])
    if windows.apart:
        return (_spread_apart(inputs, outputs, share, windows),)
    return spread([jnp.where(mask, share, 0) for mask in largest])


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def sum_pool(
    inputs: Float[Array, "B H W C"],
    size: int | tuple[int, int] = 2,
    strides: int | Strides | None = None,
    padding: int | Padding = 0,
) -> Float[Array, "B P Q C"]:
    """The sum of each window; the arguments are those of `max_pool`."""
    windows = _Windows.of(size, strides, padding)
    if windows.many:
        return _cut(inputs, windows).sum((2, 4))
    return reduce(jnp.add, _window_entries(inputs, windows, 0.0))


def average_pool(
    inputs: Float[Array, "B H W C"],
    size: int | tuple[int, int] = 2,
    strides: int | Strides | None = None,
    padding: int | Padding = 0,
) -> Float[Array, "B P Q C"]:
    """The mean of each window; rows and columns left over are dropped.

    The arguments are those of `max_pool`. The mean is that of the pixels in the image: padding
    does not count.
    """
    total = sum_pool(inputs, size, strides, padding)
    windows = _Windows.of(size, strides, padding)
    rows, columns = (
        _pixels_inside(*of_axis)
        for of_axis in zip(total.shape[1:3], inputs.shape[1:3], *windows, strict=True)
    )
    return total / np.multiply.outer(rows, columns)[None, :, :, None].astype(total.dtype)


def adaptive_average_pool(inputs: Float[Array, "B H W C"], size: int) -> Float[Array, "B P P C"]:
    """Means over windows that are chosen so that `size` x `size` of them cover the image.

    Window i of an axis of H pixels reaches from `floor(i H / size)` to `ceil((i + 1) H / size)`, as
    in PyTorch: windows may overlap, and repeat pixels of an image that is too small.
    """
    if inputs.shape[1:3] == (size, size):
        return inputs
    rows, columns = (_window_means(length, size) for length in inputs.shape[1:3])
    return jnp.einsum("bhwc,ph,qw->bpqc", inputs, rows, columns, precision=lax.Precision.HIGHEST)


def _window_entries(inputs, windows, outside):
    """The arrays `[B, P, Q, C]` that hold one entry of each window, row by row."""
    (height, width), (down, right), _ = windows
    rows, columns = counts = windows.counts(inputs)
    # Cut into blocks of the strides' size, of which one entry each is read without strides.
    blocks = [
        count + (size - 1) // step for count, size, step in zip(counts, *windows[:2], strict=True)
    ]
    sides = [
        (low, block * step - low - length, 0)
        for block, step, (low, _), length in zip(
            blocks, *windows[1:], inputs.shape[1:3], strict=True
        )
    ]
    outside = jnp.asarray(outside, inputs.dtype)
    padded = lax.pad(inputs, outside, [(0, 0, 0), *sides, (0, 0, 0)])
    cut = padded.reshape(len(inputs), blocks[0], down, blocks[1], right, inputs.shape[-1])

    def entry(i, j):
        (block_row, i), (block_column, j) = divmod(i, down), divmod(j, right)
        return cut[:, block_row : block_row + rows, i, block_column : block_column + columns, j]

    return [entry(i, j) for i in range(height) for j in range(width)]


def _cut(inputs, windows):
    """`[B, P, h, Q, w, C]`: windows that do not overlap, without what is left over."""
    (height, width), (rows, columns) = windows.size, windows.counts(inputs)
    whole = inputs[:, : rows * height, : columns * width]
    return whole.reshape(len(inputs), rows, height, columns, width, inputs.shape[-1])


def _spread_apart(inputs, outputs, share, windows):
    """The gradient where no pixel belongs to two windows: half the time of the general way."""
    cut = _cut(inputs, windows)
    largest = cut == outputs[:, :, None, :, None]
    gradient = jnp.where(largest, share[:, :, None, :, None], 0)
    batch, rows, height, columns, width, channels = cut.shape
    gradient = gradient.reshape(batch, rows * height, columns * width, channels)
    left_over = [(0, a - b, 0) for a, b in zip(inputs.shape, gradient.shape, strict=True)]
    return lax.pad(gradient, jnp.zeros((), gradient.dtype), left_over)


def _pixels_inside(count, length, size, step, sides):
    """How many rows of each of an axis's windows lie in the image."""
    starts = np.arange(count) * step - sides[0]
    return np.minimum(starts + size, length) - np.maximum(starts, 0)


def _window_means(length, size):
    """The matrix `[size, length]` of the adaptive windows' means."""
    index = np.arange(size)
    first, end = index * length // size, -(-(index + 1) * length // size)
    pixel = np.arange(length)
    inside = (pixel >= first[:, None]) & (pixel < end[:, None])
    return (inside / inside.sum(1, keepdims=True)).astype(np.float32)

"""Pooling without `reduce_window`, whose gradient is slow under `vmap` and in loops."""

from __future__ import annotations

from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ensemble_jax.ops.memory import stored


class _Windows(NamedTuple):
    """Squares of `size` pixels, `strides` apart, in an image with `padding` pixels around it."""

    size: int
    strides: int
    padding: int

    def count(self, length: int) -> int:
        """The windows along an axis; pixels left over belong to none."""
        return (length + 2 * self.padding - self.size) // self.strides + 1

    @property
    def apart(self) -> bool:
        """Whether every pixel belongs to one window at most."""
        return self.size == self.strides and self.padding == 0


def max_pool(
    inputs: Float[Array, "B H W C"], size: int = 2, strides: int | None = None, padding: int = 0
) -> Float[Array, "B P Q C"]:
    """The largest of each `size` x `size` window; rows and columns left over are dropped.

    Entries that share the largest value share its gradient equally.

    Args:
        inputs: the images.
        size: height and width of the windows.
        strides: pixels from one window to the next; `size` by default.
        padding: pixels around the image that windows may cover, less than `size`; they are never
            the largest.
    """
    return _max_pool(inputs, _Windows(size, strides or size, padding))


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
    # Found again from the values: a comparison is cheaper than carrying indices through memory.
    entries, spread = jax.vjp(lambda x: _window_entries(x, windows, -jnp.inf), inputs)
    largest = [entry == outputs for entry in entries]
    share = cotangent / reduce(jnp.add, [mask.astype(cotangent.dtype) for mask in largest])
    if windows.apart:
        return (_spread_apart(inputs, outputs, share, windows.size),)
    return spread([jnp.where(mask, share, 0) for mask in largest])


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def average_pool(
    inputs: Float[Array, "B H W C"], size: int = 2, strides: int | None = None, padding: int = 0
) -> Float[Array, "B P Q C"]:
    """The mean of each `size` x `size` window; rows and columns left over are dropped.

    The arguments are those of `max_pool`. The mean is that of the pixels in the image: padding
    does not count.
    """
    windows = _Windows(size, strides or size, padding)
    total = reduce(jnp.add, _window_entries(inputs, windows, 0.0))
    rows, columns = (_pixels_inside(length, windows) for length in inputs.shape[1:3])
    return total / np.multiply.outer(rows, columns)[:, :, None].astype(total.dtype)


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
    """The `size**2` arrays `[B, P, Q, C]` that hold one entry of each window."""
    size, strides, _ = windows
    batch, height, width, channels = inputs.shape
    counts = windows.count(height), windows.count(width)
    # Cut into blocks of `strides` x `strides`, of which one entry each is read without strides.
    blocks = [count + (size - 1) // strides for count in counts]
    after = [
        block * strides - windows.padding - length
        for block, length in zip(blocks, (height, width), strict=True)
    ]
    sides = [(0, 0, 0), *((windows.padding, high, 0) for high in after), (0, 0, 0)]
    padded = lax.pad(inputs, jnp.asarray(outside, inputs.dtype), sides)
    cut = padded.reshape(batch, blocks[0], strides, blocks[1], strides, channels)

    def entry(i, j):
        (down, i), (right, j) = divmod(i, strides), divmod(j, strides)
        return cut[:, down : down + counts[0], i, right : right + counts[1], j]

    return [entry(i, j) for i in range(size) for j in range(size)]


def _spread_apart(inputs, outputs, share, size):
    """The gradient where no pixel belongs to two windows: half the time of the general way."""
    batch, rows, columns, channels = outputs.shape
    whole = inputs[:, : rows * size, : columns * size]
    cut = whole.reshape(batch, rows, size, columns, size, channels)
    largest = cut == outputs[:, :, None, :, None]
    gradient = jnp.where(largest, share[:, :, None, :, None], 0).reshape(whole.shape)
    left_over = [(0, a - b, 0) for a, b in zip(inputs.shape, whole.shape, strict=True)]
    return lax.pad(gradient, jnp.zeros((), gradient.dtype), left_over)


def _pixels_inside(length, windows):
    """How many of each window's rows lie in the image."""
    starts = np.arange(windows.count(length)) * windows.strides - windows.padding
    return np.minimum(starts + windows.size, length) - np.maximum(starts, 0)


def _window_means(length, size):
    """The matrix `[size, length]` of the adaptive windows' means."""
    index = np.arange(size)
    first, end = index * length // size, -(-(index + 1) * length // size)
    pixel = np.arange(length)
    inside = (pixel >= first[:, None]) & (pixel < end[:, None])
    return (inside / inside.sum(1, keepdims=True)).astype(np.float32)

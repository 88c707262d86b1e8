"""Pooling over windows that do not overlap, without `reduce_window` and its slow gradient."""

from __future__ import annotations

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def max_pool(inputs: Float[Array, "B H W C"], size: int = 2) -> Float[Array, "B P Q C"]:
    """The largest of each `size` x `size` window; rows and columns left over are dropped.

    Entries that share the largest value share its gradient equally.
    """
    return _max_pool(inputs, size)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(inputs, size):
    return reduce(jnp.maximum, _window_entries(_windows(inputs, size)))


def _max_pool_forward(inputs, size):
    outputs = _max_pool(inputs, size)
    return outputs, (inputs, outputs)


def _max_pool_backward(size, residuals, cotangent):
    inputs, outputs = residuals
    windows = _windows(inputs, size)
    largest = windows == _spread(outputs)
    # Found again from the values: a comparison is cheaper than carrying indices through memory.
    count = reduce(jnp.add, _window_entries(largest.astype(cotangent.dtype)))
    gradient = jnp.where(largest, _spread(cotangent / count), 0)
    return (_pad_to(inputs.shape, _merge(gradient)),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def average_pool(inputs: Float[Array, "B H W C"], size: int = 2) -> Float[Array, "B P Q C"]:
    """The mean of each `size` x `size` window; rows and columns left over are dropped."""
    return reduce(jnp.add, _window_entries(_windows(inputs, size))) / size**2


def _windows(inputs, size):
    """`[B, P, size, Q, size, C]`, without the rows and columns left over."""
    batch, height, width, channels = inputs.shape
    rows, columns = height // size, width // size
    return inputs[:, : rows * size, : columns * size].reshape(
        batch, rows, size, columns, size, channels
    )


def _window_entries(windows):
    """The `size**2` arrays `[B, P, Q, C]` that hold one entry of each window."""
    size = windows.shape[2]
    return [windows[:, :, i, :, j] for i in range(size) for j in range(size)]


def _spread(pooled):
    """One entry for each window, ready to be broadcast over it."""
    return pooled[:, :, None, :, None]


def _merge(windows):
    """The inverse of `_windows` where nothing is left over."""
    batch, rows, size, columns, _, channels = windows.shape
    return windows.reshape(batch, rows * size, columns * size, channels)


def _pad_to(shape, image):
    """Zeros for the rows and columns that were left over."""
    sides = [(0, full - part, 0) for full, part in zip(shape, image.shape, strict=True)]
    return lax.pad(image, jnp.zeros((), image.dtype), sides)

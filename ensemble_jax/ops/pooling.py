"""Pooling over windows that do not overlap, without `reduce_window` and its slow gradient."""

from __future__ import annotations

from functools import reduce

import jax.numpy as jnp
from jaxtyping import Array, Float


def max_pool(inputs: Float[Array, "B H W C"], size: int = 2) -> Float[Array, "B P Q C"]:
    """The largest of each `size` x `size` window; rows and columns left over are dropped."""
    return reduce(jnp.maximum, _window_entries(inputs, size))


def average_pool(inputs: Float[Array, "B H W C"], size: int = 2) -> Float[Array, "B P Q C"]:
    """The mean of each `size` x `size` window; rows and columns left over are dropped."""
    return reduce(jnp.add, _window_entries(inputs, size)) / size**2


def _window_entries(inputs, size):
    """The `size**2` arrays that hold one entry of each window."""
    batch, height, width, channels = inputs.shape
    rows, columns = height // size, width // size
    windows = inputs[:, : rows * size, : columns * size].reshape(
        batch, rows, size, columns, size, channels
    )
    return [windows[:, :, i, :, j] for i in range(size) for j in range(size)]

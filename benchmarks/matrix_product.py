"""The speed of the largest matrix products that are made here: what a device can do at most."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contender import Prepared
from benchmarks.jax_networks import device_bytes
from benchmarks.memory import Memory, peak_resident_bytes
from ensemble_jax.options import Precision

_CPU_SIZES = (512, 1024, 2048)
_ACCELERATOR_SIZES = (4096, 8192)
# Products in one call, for each step asked for: some time for the clock to see.
_PRODUCTS_PER_STEP = 2


class MatrixProduct:
    """Products of square matrices by JAX, or on CPU by NumPy's BLAS where that is faster.

    At JAX's default precision, as the networks have it: float32 is TF32 on NVIDIA's devices.

    Args:
        precision: the type of the numbers. NumPy has no bfloat16.
    """

    def __init__(self, precision: Precision = Precision.FLOAT32) -> None:
        self._dtype = precision.value
        on_cpu = jax.local_devices()[0].platform == "cpu"
        backends: dict[str, Callable] = {"JAX": jax.jit(lambda x, y: x @ y)}
        if on_cpu and precision is Precision.FLOAT32:
            backends["NumPy"] = np.matmul
        self._candidates = {
            f"{name}, {size} x {size}, {precision.value}": (multiply, size)
            for name, multiply in backends.items()
            for size in (_CPU_SIZES if on_cpu else _ACCELERATOR_SIZES)
        }
        self._choice = ""

    def prepare(self, steps: int) -> Prepared:
        """Choose the fastest product at the first call."""
        self._products = _PRODUCTS_PER_STEP * steps
        if not self._choice:
            self._choice = max(self._candidates, key=self._speed)
            self._multiply, self._size = self._candidates[self._choice]
            self._left, self._right = _matrices(self._multiply, self._size, self._dtype)
        return Prepared(self._products * _operations(self._size), 0, self._choice)

    def train(self) -> float:
        """Products, each of the result of the one before."""
        self._left = _multiply_repeatedly(self._multiply, self._left, self._right, self._products)
        return 0.0

    def memory(self) -> Memory:
        """The peak of this process and of its device."""
        return Memory(peak_resident_bytes(), device_bytes())

    def _speed(self, name):
        multiply, size = self._candidates[name]
        left, right = _matrices(multiply, size, self._dtype)
        left = _multiply_repeatedly(multiply, left, right, times=1)
        started = time.perf_counter()
        _multiply_repeatedly(multiply, left, right, self._products)
        return self._products * _operations(size) / (time.perf_counter() - started)


def _matrices(multiply, size, dtype):
    rng = np.random.default_rng(0)
    left = rng.standard_normal((size, size), np.float32)
    # Scaled so that a product is as large as its left factor, however often it is made.
    right = rng.standard_normal((size, size), np.float32) / np.float32(np.sqrt(size))
    if multiply is np.matmul:
        return left, right
    return jnp.asarray(left, dtype), jnp.asarray(right, dtype)


def _multiply_repeatedly(multiply, left, right, times):
    for _ in range(times):
        left = multiply(left, right)
    return jax.block_until_ready(left)


def _operations(size):
    return 2 * size**3

"""Random numbers from a seed that never change: they define data sets and runs.

Everything comes from the raw stream of PCG64, which NumPy promises never to change; the methods of
`numpy.random.Generator` come without that promise. Orders and uniform numbers are therefore the
same bits everywhere and always; normal numbers as well, up to the last bit of the logarithm and
the square root that they are computed with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int, UInt64

Seed = int | Sequence[int]
"""The seed of a stream: a number, or a sequence of numbers."""


def seed_of(purpose: str, seed: int) -> list[int]:
    """What is drawn for one purpose and seed is independent of what is drawn for any other."""
    return [seed, *purpose.encode()]


def random_bits(seed: Seed, size: int) -> UInt64[np.ndarray, " size"]:
    """64 random bits each."""
    return np.random.PCG64(seed).random_raw(size)


def random_order(seed: Seed, size: int) -> Int[np.ndarray, " size"]:
    """The numbers 0..size-1 in a random order.

    >>> random_order(0, 5)
    array([3, 2, 1, 0, 4])
    """
    return np.argsort(random_bits(seed, size), kind="stable")


def uniforms(seed: Seed, size: int) -> Float64[np.ndarray, " size"]:
    """Independent numbers between 0 and 1, both excluded: `(floor(bits / 2^12) + 1/2) / 2^52`."""
    return ((random_bits(seed, size) >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52


def normals(seed: Seed, size: int) -> Float64[np.ndarray, " size"]:
    """Independent standard normal numbers: the normal quantiles of `uniforms`."""
    from scipy.special import ndtri  # slow to import, and most data sets draw nothing

    return ndtri(uniforms(seed, size))


def stratified_split(
    labels: Int[np.ndarray, " M"], test_fraction: float, seed: Seed
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """The positions of the examples to train and to test on, each in a random order.

    A class of n examples gives `max(1, round(test_fraction * n))` of them to the test split.
    """
    order = random_order(seed, len(labels))
    in_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        in_test[members[: max(1, round(test_fraction * len(members)))]] = True
    return order[~in_test[order]], order[in_test[order]]

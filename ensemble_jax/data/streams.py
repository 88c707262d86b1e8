"""Random numbers that are the same in every version of NumPy and on every machine."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def bit_stream(purpose: str, seed: int) -> np.random.PCG64:
    """The bits for one purpose and seed, independent of those for any other.

    The raw stream of a bit generator is what NumPy promises never to change, which it does not of
    the distributions made from it.

    >>> bit_stream("example", 0).random_raw(2)
    array([2715764550705271689, 4119954280304455116], dtype=uint64)
    """
    return np.random.PCG64([seed, *purpose.encode()])


def uniform(stream: np.random.PCG64, count: int) -> Float64[np.ndarray, " count"]:
    """The next numbers of a stream, uniform in (0, 1), neither end included."""
    return ((stream.random_raw(count) >> np.uint64(11)) + 0.5) * 2.0**-53

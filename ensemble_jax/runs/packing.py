"""Bitmaps of correctness, eight examples to a byte."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt8


def pack_correct(correct: Bool[np.ndarray, "... M"]) -> UInt8[np.ndarray, "... bytes"]:
    """Pack `[..., M]` booleans into `[..., ceil(M / 8)]` bytes.

    Bit `7 - m % 8` of byte `m // 8` is example m; the bits after the last example are 0.

    >>> pack_correct(np.array([True, False, True, False, False, False, False, False, True]))
    array([160, 128], dtype=uint8)
    """
    return np.packbits(correct, axis=-1)


def unpack_correct(
    bits: UInt8[np.ndarray, "... bytes"], num_examples: int
) -> Bool[np.ndarray, "... M"]:
    """Unpack `[..., ceil(M / 8)]` bytes into `[..., M]` booleans, the inverse of `pack_correct`.

    >>> unpack_correct(np.array([160, 128], np.uint8), 9).astype(int)
    array([1, 0, 1, 0, 0, 0, 0, 0, 1])
    """
    return np.unpackbits(bits, axis=-1, count=num_examples).view(bool)

"""Scores straight from packed bitmaps, which are never unpacked as a whole.

Bits lie as `np.packbits` puts them: bit `7 - m % 8` of byte `m // 8` is example m. Bits after the
last example may be anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

# Packed bytes at once; the unpacked ones are a megabyte.
_BLOCK_BYTES = 1 << 17
# Members whose sum a byte can hold.
_MOST_OF_A_BYTE = 255


def count_correct_from_bits(
    bits: Shaped[Any, "*E N bytes"], num_examples: int
) -> Int[np.ndarray, "*E M"]:
    """How many members classify each example correctly, int32.

    A block of members and examples is unpacked at a time, small enough to stay in cache, and summed
    in bytes. `benchmarks/scoring.py` measures this beside vertical counters and tables.

    Args:
        bits: `[..., N, ceil(M / 8)]` uint8, as `np.packbits(correct, axis=-1)` gives them.
        num_examples: M.

    Raises:
        ValueError: no member, not bytes, or not `ceil(M / 8)` of them.

    >>> count_correct_from_bits(np.packbits([[1, 1, 0], [1, 0, 0]], axis=-1), num_examples=3)
    array([2, 1, 0], dtype=int32)
    """
    packed = _as_bits(bits, num_examples)
    *extents, num_members, _ = packed.shape
    if num_members == 0:
        raise ValueError(f"bits must hold at least one member, got the shape {packed.shape}")
    counts = np.zeros((*extents, num_examples), np.int32)
    width = max(1, _BLOCK_BYTES // min(num_members, _MOST_OF_A_BYTE))
    for extent in np.ndindex(*extents):
        for start in range(0, packed.shape[-1], width):
            block = counts[(*extent, slice(8 * start, 8 * (start + width)))]
            for first in range(0, num_members, _MOST_OF_A_BYTE):
                members = slice(first, first + _MOST_OF_A_BYTE)
                rows = packed[(*extent, members, slice(start, start + width))]
                unpacked = np.unpackbits(rows, axis=-1, count=len(block))
                block += unpacked.sum(axis=0, dtype=np.uint8)
    return counts


def consistency_from_bits(
    bits: Shaped[Any, "*E N bytes"], num_examples: int
) -> Float[np.ndarray, "*E M"]:
    """The consistency score of packed bitmaps: `consistency_score` of what they hold, bit for bit.

    `c(m) = mean_n correct[n, m]`, in [0, 1].

    Args:
        bits: `[..., N, ceil(M / 8)]` uint8.
        num_examples: M.

    Raises:
        ValueError: no member, not bytes, or not `ceil(M / 8)` of them.

    >>> consistency_from_bits(np.packbits([[1, 1, 0], [1, 0, 0]], axis=-1), num_examples=3)
    array([1. , 0.5, 0. ])
    """
    counts = count_correct_from_bits(bits, num_examples)
    return counts / np.shape(bits)[-2]


def accuracy_from_bits(
    bits: Shaped[Any, "*E N bytes"], num_examples: int
) -> Float[np.ndarray, "*E N"]:
    """The accuracy of each member from packed bitmaps: `member_accuracy` of what they hold.

    Args:
        bits: `[..., N, ceil(M / 8)]` uint8.
        num_examples: M, at least 1.

    Raises:
        ValueError: no example, not bytes, or not `ceil(M / 8)` of them.

    >>> accuracy_from_bits(np.packbits([[1, 1, 0, 0], [1, 0, 0, 0]], axis=-1), num_examples=4)
    array([0.5 , 0.25])
    """
    packed = _as_bits(bits, num_examples)
    if num_examples == 0:
        raise ValueError("bits must hold at least one example, got num_examples = 0")
    counts = np.bitwise_count(packed[..., :-1]).sum(axis=-1, dtype=np.int64)
    used = np.uint8(0xFF << (-num_examples % 8) & 0xFF)
    return (counts + np.bitwise_count(packed[..., -1] & used)) / num_examples


def member_accessibility_from_bits(
    bits: Shaped[Any, "E N bytes"], num_examples: int
) -> Float[np.ndarray, "N M"]:
    """How early each single member learns each example: `member_accessibility`, from bits.

    `a_n(m) = mean_e correct[e, n, m]`, float32, since `[N, M]` of a large collection is large.

    Args:
        bits: `[E, N, ceil(M / 8)]` uint8, at least one extent.
        num_examples: M.

    Raises:
        ValueError: no extent, not bytes, or not `ceil(M / 8)` of them.

    >>> bits = np.packbits([[[1, 1, 0]], [[1, 0, 0]]], axis=-1)
    >>> member_accessibility_from_bits(bits, num_examples=3)
    array([[1. , 0.5, 0. ]], dtype=float32)
    """
    packed = _as_bits(bits, num_examples)
    if packed.ndim != 3 or len(packed) == 0:
        raise ValueError(
            f"bits must be [E, N, bytes] with at least one extent, got the shape {packed.shape}"
        )
    num_extents, num_members, _ = packed.shape
    accessibility = np.empty((num_members, num_examples), np.float32)
    for member in range(num_members):
        # A member over its extents is counted as an extent over its members is.
        counts = count_correct_from_bits(packed[:, member], num_examples)
        accessibility[member] = counts.astype(np.float32) / np.float32(num_extents)
    return accessibility


def _as_bits(bits: Shaped[Any, "*E N bytes"], num_examples: int) -> UInt8[np.ndarray, "*E N bytes"]:
    """The same bytes as an array, known to hold that many examples."""
    packed = np.asarray(bits)
    if packed.dtype != np.uint8:
        raise ValueError(f"bits must be bytes (uint8), got the type {packed.dtype}")
    num_bytes = -(-num_examples // 8)
    if num_examples < 0 or packed.ndim < 2 or packed.shape[-1] != num_bytes:
        raise ValueError(
            f"bits must be [..., N, ceil(M / 8)] with M = {num_examples}, "
            f"got the shape {packed.shape}"
        )
    return packed

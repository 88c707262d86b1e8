"""Scores straight from packed bitmaps, an eighth of the memory and without unpacking a member.

Bits lie as `np.packbits` puts them: bit `7 - m % 8` of byte `m // 8` is example m. Bits after the
last example may be anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8, UInt64

_WORD_BYTES = 8


def count_correct_from_bits(
    bits: Shaped[Any, "*E N bytes"], num_examples: int
) -> Int[np.ndarray, "*E M"]:
    """How many members classify each example correctly, int32.

    Counts 64 examples in one operation by vertical counters: bit j of all counts is one row of
    words, and a full adder turns three rows of weight w into one of weight w and one of weight 2 w.
    Five word operations for each row take the place of 64 additions.

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
    counts = np.empty((*extents, num_examples), np.int32)
    # One extent at a time stays in cache.
    for extent in np.ndindex(*extents):
        planes = _add_vertically(_as_words(packed[extent]))
        counts[extent] = _read_planes(planes[:8], num_examples)
        # Beyond 255 members; most of the work is done in bytes.
        for position, plane in enumerate(planes[8:], start=8):
            counts[extent] += _read_planes([plane], num_examples).astype(np.int32) << position
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


def _as_words(packed: UInt8[np.ndarray, "N bytes"]) -> UInt64[np.ndarray, "N words"]:
    """The same bits in words, filled up with zeros."""
    num_members, num_bytes = packed.shape
    padded = np.zeros((num_members, -(-num_bytes // _WORD_BYTES) * _WORD_BYTES), np.uint8)
    padded[:, :num_bytes] = packed
    return padded.view(np.uint64)


def _add_vertically(rows: UInt64[np.ndarray, "N words"]) -> list[UInt64[np.ndarray, " words"]]:
    """The sums of the bits in each column, in binary: the row of bit j is the list's entry j."""
    planes = []
    while len(rows):
        carries = []
        while len(rows) > 1:
            third = max(1, len(rows) // 3)
            first, second = rows[:third], rows[third : 2 * third]
            # Two rows that are left make a half adder: the third is zero.
            rest = rows[2 * third : 3 * third] if len(rows) > 2 else np.zeros_like(first)
            either = first ^ second
            carries.append((first & second) | (either & rest))
            rows = np.concatenate([either ^ rest, rows[3 * third :]])
        planes.append(rows[0])
        rows = np.concatenate(carries) if carries else rows[:0]
    return planes


def _read_planes(
    planes: list[UInt64[np.ndarray, " words"]], num_examples: int
) -> UInt8[np.ndarray, " M"]:
    """The numbers whose bits the planes are, at most eight of them."""
    numbers = np.zeros(num_examples, np.uint8)
    for position, plane in enumerate(planes):
        bits = np.unpackbits(plane.view(np.uint8), count=num_examples)
        numbers |= np.left_shift(bits, position, out=bits)
    return numbers

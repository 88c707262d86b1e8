import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import (
    accessibility_score,
    accuracy_from_bits,
    consistency_from_bits,
    consistency_score,
    count_correct_from_bits,
    member_accessibility,
    member_accessibility_from_bits,
    member_accuracy,
)

# Examples up to three words, so that all kinds of remainders occur.
bitmaps = hnp.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 140)))


def pack(correct):
    return np.packbits(correct, axis=-1)


@settings(deadline=None)
@given(bitmaps)
def test_is_what_the_bitmap_gives(correct):
    bits, num_examples = pack(correct), correct.shape[-1]
    counts = count_correct_from_bits(bits, num_examples)
    assert counts.dtype == np.int32
    np.testing.assert_array_equal(counts, correct.sum(axis=1))
    np.testing.assert_array_equal(
        consistency_from_bits(bits, num_examples), consistency_score(correct)
    )
    np.testing.assert_array_equal(accuracy_from_bits(bits, num_examples), member_accuracy(correct))
    np.testing.assert_array_equal(
        member_accessibility_from_bits(bits, num_examples), member_accessibility(correct)
    )


def test_hand_computed_bytes():
    # 0b11010000 and 0b10000001, of which seven examples count.
    bits = np.array([[0b11010000], [0b10000001]], np.uint8)
    assert count_correct_from_bits(bits, 7).tolist() == [2, 1, 0, 1, 0, 0, 0]
    assert accuracy_from_bits(bits, 7).tolist() == [3 / 7, 1 / 7]
    assert accuracy_from_bits(bits, 8).tolist() == [3 / 8, 2 / 8]


@pytest.mark.parametrize("num_members", [1, 2, 3, 7, 255, 256, 1000])
def test_counts_as_many_members_as_there_are(num_members):
    bits = np.full((num_members, 2), 0xFF, np.uint8)
    assert count_correct_from_bits(bits, 16).tolist() == [num_members] * 16


def test_is_the_same_over_many_blocks():
    correct = np.random.default_rng(0).random((300, 5003)) < 0.5
    np.testing.assert_array_equal(count_correct_from_bits(pack(correct), 5003), correct.sum(axis=0))


def test_takes_one_extent_and_any_memory_layout():
    correct = np.random.default_rng(0).random((3, 5, 77)) < 0.5
    bits = pack(correct)
    expected = consistency_score(correct)
    np.testing.assert_array_equal(consistency_from_bits(bits[1], 77), expected[1])
    np.testing.assert_array_equal(consistency_from_bits(np.asfortranarray(bits), 77), expected)


def test_never_holds_the_bitmap():
    correct = np.zeros((10, 100, 8000), bool)
    bits = pack(correct)
    tracemalloc.start()
    consistency_from_bits(bits, 8000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < correct.nbytes / 4


def test_member_accessibility_has_the_mean_of_the_collection():
    correct = np.random.default_rng(0).random((6, 5, 40)) < 0.5
    np.testing.assert_allclose(
        member_accessibility(correct).mean(axis=0), accessibility_score(correct), rtol=1e-6
    )
    assert member_accessibility(correct).dtype == np.float32


BITS = np.zeros((2, 3, 2), np.uint8)


@pytest.mark.parametrize(
    "score", [count_correct_from_bits, accuracy_from_bits, member_accessibility_from_bits]
)
@pytest.mark.parametrize(
    ("bits", "num_examples", "message"),
    [
        (BITS.astype(int), 16, r"bytes \(uint8\), got the type int64"),
        (BITS, 17, r"ceil\(M / 8\)\] with M = 17, got the shape \(2, 3, 2\)"),
        (BITS, 8, "with M = 8"),
        (BITS, -1, "with M = -1"),
        (BITS[0, 0], 16, r"got the shape \(2,\)"),
    ],
)
def test_refuses_what_are_no_bits_of_these_examples(score, bits, num_examples, message):
    with pytest.raises(ValueError, match=message):
        score(bits, num_examples)


def test_refuses_nothing_to_average():
    with pytest.raises(ValueError, match="at least one member"):
        count_correct_from_bits(BITS[:, :0], 16)
    with pytest.raises(ValueError, match="at least one example"):
        accuracy_from_bits(BITS[..., :0], 0)
    with pytest.raises(ValueError, match="at least one extent"):
        member_accessibility_from_bits(BITS[:0], 16)
    with pytest.raises(ValueError, match="at least one extent"):
        member_accessibility(np.zeros((0, 2, 3), bool))

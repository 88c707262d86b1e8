"""Bitmaps, against a loop over examples."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.runs import pack_correct, unpack_correct

bitmaps = hnp.arrays(bool, st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 40)))


@settings(deadline=None)
@given(bitmaps)
def test_unpacking_is_the_inverse_of_packing(correct):
    restored = unpack_correct(pack_correct(correct), correct.shape[-1])
    assert restored.dtype == bool
    np.testing.assert_array_equal(restored, correct)


@settings(deadline=None)
@given(bitmaps)
def test_bits_are_where_the_definition_says(correct):
    E, N, M = correct.shape
    bits = pack_correct(correct)
    assert bits.shape == (E, N, -(-M // 8))
    for e, n, position in np.ndindex(E, N, bits.shape[-1] * 8):
        bit = bits[e, n, position // 8] >> (7 - position % 8) & 1
        assert bit == (correct[e, n, position] if position < M else 0)

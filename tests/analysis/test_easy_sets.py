import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import compare_easy_sets, easy_set

tenths = st.integers(0, 10).map(lambda count: count / 10)


@st.composite
def pairs(draw):
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=8))
    return [draw(hnp.arrays(float, shape, elements=tenths)) for _ in range(2)]


def test_needs_more_than_the_threshold():
    # Nine of ten, and ninety of a hundred, are not more than 0.9.
    assert easy_set([9 / 10, 90 / 100, 91 / 100, 1.0]).tolist() == [False, False, True, True]
    assert easy_set([[0.5, 0.4]], threshold=0.45).tolist() == [[True, False]]


def test_is_the_hand_computed_table():
    first = [[1.0, 1.0, 0.0, 0.95], [1.0, 1.0, 1.0, 1.0]]
    second = [[0.0, 1.0, 1.0, 0.95], [0.9, 0.9, 0.9, 0.9]]
    sizes = compare_easy_sets(first, second)
    assert [part.tolist() for part in sizes] == [[2, 0], [1, 4], [1, 0]]


@settings(deadline=None)
@given(pairs())
def test_is_the_algebra_of_sets(collections):
    first, second = collections
    sizes = compare_easy_sets(first, second, threshold=0.5)
    for extent, (one, other) in enumerate(zip(first, second, strict=True)):
        easy, others = ({m for m, c in enumerate(row) if c > 0.5} for row in (one, other))
        assert sizes.shared[extent] == len(easy & others)
        assert sizes.only_first[extent] == len(easy - others)
        assert sizes.only_second[extent] == len(others - easy)


def test_refuses_other_extents_or_examples():
    with pytest.raises(ValueError, match="same extents, got 2 and 3"):
        compare_easy_sets(np.zeros((2, 4)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="same examples"):
        compare_easy_sets(np.zeros((2, 4)), np.zeros((2, 5)))

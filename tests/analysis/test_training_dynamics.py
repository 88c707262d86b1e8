import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import area_under_margin, confidence, variability

# Two extents, two members, three examples.
PROBABILITIES = np.array(
    [[[0.5, 0.0, 1.0], [0.25, 0.5, 1.0]], [[1.0, 0.0, 1.0], [0.75, 0.0, 0.0]]], np.float16
)
CONFIDENCE = [[0.75, 0, 1], [0.5, 0.25, 0.5]]
VARIABILITY = [[0.25, 0, 0], [0.25, 0.25, 0.5]]
SCORES = [confidence, variability, area_under_margin]

histories = hnp.arrays(
    "f2",
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=5),
    elements=st.floats(0, 1, width=16),
)


@pytest.mark.parametrize(
    ("score", "table"),
    [(confidence, CONFIDENCE), (variability, VARIABILITY), (area_under_margin, CONFIDENCE)],
)
def test_is_the_hand_computed_table(score, table):
    result = score(PROBABILITIES)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, table)
    np.testing.assert_array_equal(score(PROBABILITIES[:, 0]), table[0])


@settings(deadline=None)
@given(histories)
def test_are_moments_over_the_extents(history):
    exact = history.astype(np.float64)
    np.testing.assert_allclose(confidence(history), exact.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(variability(history), exact.std(axis=0), atol=1e-6)


@settings(deadline=None)
@given(histories, st.randoms())
def test_do_not_depend_on_the_order_of_extents(history, random):
    order = random.sample(range(len(history)), len(history))
    for score in SCORES:
        np.testing.assert_allclose(score(history[order]), score(history), atol=1e-6)


@settings(deadline=None)
@given(histories)
def test_variability_is_bounded_by_the_confidence(history):
    # A variable in [0, 1] of mean mu has a variance of at most mu (1 - mu).
    mean, std = confidence(history), variability(history)
    assert (std**2 <= mean * (1 - mean) + 1e-6).all()
    assert (std <= 0.5 + 1e-6).all()


@settings(deadline=None)
@given(histories, st.floats(-3, 3, width=16))
def test_area_under_margin_moves_with_the_margins(history, shift):
    moved = area_under_margin(history.astype(np.float32) + np.float32(shift))
    np.testing.assert_allclose(moved, area_under_margin(history) + shift, atol=1e-5)


def test_many_float16_are_summed_exactly():
    history = np.full((3000, 1, 1), 0.0999755859375, np.float16)
    np.testing.assert_allclose(confidence(history), history[0], rtol=1e-5)
    assert variability(history) < 1e-5


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((0, 2, 2)), "at least one extent"),
        (np.zeros(3), r"\[E, ..., M\]"),
        (np.full((2, 2, 2), np.nan), "got nan"),
        (np.full((2, 2), "x"), "must be numbers, got the type <U1"),
    ],
)
def test_refuses(score, values, message):
    with pytest.raises(ValueError, match=message):
        score(values)


@pytest.mark.parametrize("score", [confidence, variability])
@pytest.mark.parametrize("outside", [-0.5, 1.5])
def test_refuses_what_is_no_probability(score, outside):
    values = np.zeros((2, 2, 2))
    values[1, 0, 1] = outside
    with pytest.raises(ValueError, match=rf"lie in \[0, 1\], got {outside}"):
        score(values)

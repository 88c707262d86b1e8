import numpy as np
import pytest

from ensemble_jax.analysis import Pattern, choose_typical_examples, pattern_strengths

# Eight extents; one example for each pattern, among some that show none.
CURVES = np.array(
    [
        [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2],  # stays at chance
        [0.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],  # always right
        [0.2, 0.0, 0.0, 0.6, 0.9, 1.0, 1.0, 1.0],  # dips then rises
        [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 1.0, 1.0],  # rises late
        [0.9, 1.0, 0.6, 0.2, 0.0, 0.0, 0.0, 0.0],  # falls
        [0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # falls a little
        [0.2, 0.9, 0.8, 1.0, 1.0, 1.0, 1.0, 0.9],  # nearly always right
    ]
).T


def test_strengths_are_the_hand_computed_ones():
    strengths = pattern_strengths(CURVES)
    expected = {
        Pattern.ALWAYS_RIGHT: [0.2, 1.0, 0.0, 0.2, 0.0, 0.0, 0.8],
        Pattern.DIPS_THEN_RISES: [0.0, 0.0, 0.2, 0.0, 0.0, 0.0, 0.1],
        Pattern.RISES_LATE: [0.0, 0.1, 0.4125, 0.6, -0.3375, -0.025, 0.05],
        Pattern.FALLS: [0.0, 0.0, -0.4, -0.8, 1.0, 0.2, 0.0],
        Pattern.ALWAYS_WRONG: [0.6, -1.0, -1.0, -1.0, -1.0, 1.0, -1.0],
    }
    assert list(strengths) == list(Pattern)
    for pattern, values in expected.items():
        np.testing.assert_allclose(strengths[pattern], values, atol=1e-12)


def test_chooses_the_clearest_example_of_each():
    assert choose_typical_examples(CURVES) == {
        Pattern.ALWAYS_RIGHT: 1,
        Pattern.DIPS_THEN_RISES: 2,
        Pattern.RISES_LATE: 3,
        Pattern.FALLS: 4,
        Pattern.ALWAYS_WRONG: 5,
    }


def test_leaves_out_what_no_example_shows():
    assert choose_typical_examples(CURVES[:, [1, 6]]) == {Pattern.ALWAYS_RIGHT: 0}
    assert choose_typical_examples(np.zeros((3, 2))) == {Pattern.ALWAYS_WRONG: 0}
    assert choose_typical_examples(CURVES[:, [6]], least_strength=0.9) == {}


def test_chooses_no_example_twice():
    # The one curve is always right and, having begun at chance, also rises.
    curve = CURVES[:, [1]]
    assert pattern_strengths(curve)[Pattern.RISES_LATE] >= 0.1 - 1e-12
    assert choose_typical_examples(curve, least_strength=0.05) == {Pattern.ALWAYS_RIGHT: 0}


def test_strengths_stay_below_one_and_follow_the_examples():
    scores = np.random.default_rng(0).random((9, 50))
    order = np.random.default_rng(1).permutation(50)
    for pattern, strength in pattern_strengths(scores).items():
        assert (strength <= 1).all()
        reordered = pattern_strengths(scores[:, order])[pattern]
        np.testing.assert_allclose(reordered, strength[order], atol=1e-12)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((2, 4)), "at least 3 extents, got 2"),
        (np.zeros(4), r"\[E, M\]"),
        (np.full((3, 2), 1.5), r"\[0, 1\], got 1.5"),
    ],
)
def test_refuses_what_has_no_pattern(scores, message):
    with pytest.raises(ValueError, match=message):
        pattern_strengths(scores)

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import (
    agreement_score,
    agreement_stop,
    member_accessibility,
    most_agreed_class,
    unanimity,
)

# Two members, four examples: nothing is known, half of it together, noise one by one, all.
HISTORY = np.array(
    [
        [[0, 0, 0, 0], [0, 0, 0, 0]],
        [[1, 1, 0, 0], [1, 1, 0, 0]],
        [[1, 1, 1, 0], [1, 1, 0, 1]],
        [[1, 1, 1, 1], [1, 1, 1, 1]],
    ],
    bool,
)

histories = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))


@st.composite
def predictions(draw):
    num_classes = draw(st.integers(1, 4))
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))
    return draw(hnp.arrays("u1", shape, elements=st.integers(0, num_classes - 1))), num_classes


class TestStop:
    def test_is_the_hand_computed_table(self):
        np.testing.assert_allclose(unanimity(HISTORY), [1, 2**0.5, 0.5**0.5, 1])
        assert agreement_stop(HISTORY) == 2
        np.testing.assert_array_equal(
            agreement_score(HISTORY) * 3, np.float32([[2, 2, 1, 0], [2, 2, 0, 1]])
        )

    @settings(deadline=None)
    @given(histories)
    def test_is_after_the_largest_unanimity_and_the_least_from_there(self, history):
        values, stop = unanimity(history), agreement_stop(history)
        peak = values.argmax()
        assert peak <= stop
        assert values[stop] == values[peak:].min()
        assert (values <= 2**0.5 + 1e-12).all()

    @settings(deadline=None)
    @given(histories, st.randoms())
    def test_does_not_depend_on_the_order_of_members(self, history, random):
        order = random.sample(range(history.shape[1]), history.shape[1])
        assert agreement_stop(history[:, order]) == agreement_stop(history)
        np.testing.assert_array_equal(
            agreement_score(history[:, order]), agreement_score(history)[order]
        )

    def test_a_single_extent_is_its_own_stop(self):
        np.testing.assert_array_equal(
            agreement_score(HISTORY[2:3]), member_accessibility(HISTORY[2:3])
        )

    def test_finds_wrong_labels_that_are_memorised_one_by_one(self):
        rng = np.random.default_rng(0)
        wrong = np.arange(400) < 80
        time = rng.integers(1, 6, 400) + np.where(wrong, rng.integers(5, 15, (10, 400)), 0)
        history = np.arange(22)[:, np.newaxis, np.newaxis] >= time
        score = agreement_score(history).mean(axis=0)
        assert score[wrong].max() < score[~wrong].min()

    @pytest.mark.parametrize("function", [unanimity, agreement_stop, agreement_score])
    @pytest.mark.parametrize(
        ("correct", "message"),
        [
            (HISTORY[:, 0], r"\[E, N, M\]"),
            (HISTORY[:0], "at least one extent"),
            (HISTORY[:, :0], "at least one member"),
            (HISTORY[:, :, :0], "at least one example"),
        ],
    )
    def test_refuses(self, function, correct, message):
        with pytest.raises(ValueError, match=message):
            function(correct)


class TestMostAgreedClass:
    def test_is_the_hand_computed_table(self):
        # Example 0 is agreed about early, 1 late, 2 always the same.
        table = [[[1, 0, 2], [1, 1, 2], [0, 2, 2]], [[0, 1, 2], [1, 1, 2], [2, 1, 2]]]
        result = most_agreed_class(table, 3)
        np.testing.assert_array_equal(result.classes, [1, 1, 2])
        np.testing.assert_allclose(result.agreement, [2 / 3, 1, 1])
        np.testing.assert_array_equal(result.extents, [0, 1, 0])

    @settings(deadline=None)
    @given(predictions())
    def test_is_what_a_loop_finds(self, given_):
        history, num_classes = given_
        result = most_agreed_class(history, num_classes)
        for example in range(history.shape[2]):
            votes = [Counter(at[:, example].tolist()) for at in history]
            most = max(count for of_extent in votes for count in of_extent.values())
            assert result.agreement[example] == most / history.shape[1]
            first = next(e for e, of_extent in enumerate(votes) if most in of_extent.values())
            assert result.extents[example] == first
            assert votes[first][int(result.classes[example])] == most

    def test_refuses_a_single_extent_without_its_axis(self):
        with pytest.raises(ValueError, match=r"\[E, N, M\]"):
            most_agreed_class([[0, 1]], 2)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import (
    first_learned,
    forget_fraction,
    forgetting_events,
    forgotten_share,
    learning_time,
    learning_time_spread,
    member_accessibility,
    unforgettable,
)

INF = np.inf
# Four extents, two members, five examples: always right, never, forgotten twice, late, lost.
CORRECT = np.array(
    [
        [[1, 0, 1, 0, 0], [1, 0, 0, 0, 1]],
        [[1, 0, 0, 0, 1], [1, 0, 1, 0, 1]],
        [[1, 0, 1, 0, 1], [1, 0, 0, 1, 0]],
        [[1, 0, 0, 1, 0], [1, 0, 1, 1, 0]],
    ],
    bool,
)
TABLES = {
    forgetting_events: [[0, INF, 2, 0, 1], [0, INF, 1, 0, 1]],
    first_learned: [[0, INF, 0, 3, 1], [0, INF, 1, 2, 0]],
    learning_time: [[0, INF, INF, 3, INF], [0, INF, 3, 2, INF]],
    unforgettable: [[1, 0, 0, 1, 0], [1, 0, 0, 1, 0]],
    forgotten_share: [[0, 0, 0.5, 0, 0.5], [0, 0, 0, 0, 0.5]],
}
OF_EACH = list(TABLES)

histories = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))


def naive(score, history: list[bool]) -> float:
    """A score of one member and example, told by its definition."""
    times = range(len(history))
    if score is forgetting_events:
        events = [e for e in times[1:] if history[e - 1] and not history[e]]
        return len(events) if any(history) else INF
    if score is unforgettable:
        return naive(forgetting_events, history) == 0
    if score is first_learned:
        return min((e for e in times if history[e]), default=INF)
    if score is learning_time:
        return min((e for e in times if all(history[e:])), default=INF)
    return 0 if history[-1] else sum(history) / len(history)


@pytest.mark.parametrize("score", OF_EACH)
class TestScoresOfEachMember:
    def test_are_the_hand_computed_table(self, score):
        result = score(CORRECT)
        assert result.dtype == (np.bool_ if score is unforgettable else np.float32)
        np.testing.assert_array_equal(result, TABLES[score])

    @settings(deadline=None)
    @given(history=histories)
    def test_are_what_a_loop_finds(self, score, history):
        result = score(history)
        for member, example in np.ndindex(result.shape):
            expected = naive(score, history[:, member, example].tolist())
            assert result[member, example] == pytest.approx(expected, rel=1e-6)

    @settings(deadline=None)
    @given(history=histories, random=st.randoms())
    def test_do_not_depend_on_the_other_members_and_examples(self, score, history, random):
        members = random.sample(range(history.shape[1]), history.shape[1])
        examples = random.sample(range(history.shape[2]), history.shape[2])
        result = score(history[:, members][:, :, examples])
        np.testing.assert_array_equal(result, score(history)[members][:, examples])

    def test_are_those_of_a_single_network(self, score):
        np.testing.assert_array_equal(score(CORRECT[:, 1]), score(CORRECT)[1])

    @pytest.mark.parametrize("dtype", ["u1", "f4"])
    def test_take_zeros_and_ones_of_any_type(self, score, dtype):
        np.testing.assert_array_equal(score(CORRECT.astype(dtype)), score(CORRECT))

    @pytest.mark.parametrize(
        ("correct", "message"),
        [
            (np.full((2, 2, 2), 0.5), "hold 0 and 1, got 0.5"),
            (np.ones(3, bool), r"axes \[..., N, M\], got the shape \(3,\)"),
            (np.ones((0, 2, 3), bool), "at least one extent"),
        ],
    )
    def test_refuse_what_is_no_history(self, score, correct, message):
        with pytest.raises(ValueError, match=message):
            score(correct)


class TestLaws:
    @settings(deadline=None)
    @given(histories)
    def test_an_example_is_first_learned_no_later_than_for_good(self, history):
        assert (first_learned(history) <= learning_time(history)).all()

    @settings(deadline=None)
    @given(histories)
    def test_events_are_at_most_half_of_the_extents(self, history):
        events = forgetting_events(history, never=0)
        assert (events <= len(history) // 2).all()

    @settings(deadline=None)
    @given(histories)
    def test_what_is_never_forgotten_is_learned_once_and_for_good(self, history):
        expected = (first_learned(history) == learning_time(history)) & history.any(axis=0)
        np.testing.assert_array_equal(unforgettable(history), expected)

    @settings(deadline=None)
    @given(histories)
    def test_repeating_the_last_extent_forgets_nothing(self, history):
        longer = np.concatenate([history, history[-1:]])
        np.testing.assert_array_equal(forgetting_events(longer), forgetting_events(history))
        np.testing.assert_array_equal(learning_time(longer), learning_time(history))

    @settings(deadline=None)
    @given(histories)
    def test_a_learned_example_is_right_ever_after(self, history):
        kept = len(history) - learning_time(history, never=len(history))
        accessible = member_accessibility(history) * len(history)
        assert (kept <= accessible + 1e-4).all()

    @pytest.mark.parametrize("score", [forgetting_events, first_learned, learning_time])
    def test_what_is_never_learned_can_be_given_a_number(self, score):
        table = np.array(TABLES[score])
        np.testing.assert_array_equal(score(CORRECT, never=4), np.where(np.isinf(table), 4, table))


class TestSpread:
    def test_is_the_hand_computed_table(self):
        # Learning times (0, 0), (4, 4), (4, 3), (3, 2), (4, 4).
        np.testing.assert_array_equal(learning_time_spread(CORRECT), [0, 0, 0.5, 0.5, 0])

    @settings(deadline=None)
    @given(histories)
    def test_lies_in_its_range_and_is_zero_for_equal_members(self, history):
        spread = learning_time_spread(history)
        assert (spread >= 0).all()
        assert (spread <= len(history) / 2).all()
        equal = np.repeat(history[:, :1], 3, axis=1)
        np.testing.assert_array_equal(learning_time_spread(equal), 0)

    def test_refuses_a_single_network(self):
        with pytest.raises(ValueError, match=r"\[E, N, M\]"):
            learning_time_spread(CORRECT[:, 0])


class TestForgetFraction:
    def test_is_the_hand_computed_table(self):
        np.testing.assert_allclose(
            forget_fraction(CORRECT), [[0.2, 0.2], [0.2, 0.2], [0.4, 0], [0, 0]], atol=1e-15
        )

    @settings(deadline=None)
    @given(histories)
    def test_has_the_mean_of_the_shares_of_examples(self, history):
        np.testing.assert_allclose(
            forget_fraction(history).mean(axis=0), forgotten_share(history).mean(axis=1), atol=1e-6
        )

    @settings(deadline=None)
    @given(histories)
    def test_is_at_most_the_errors_of_the_end(self, history):
        assert (forget_fraction(history) <= (~history[-1]).mean(axis=-1) + 1e-15).all()

    def test_refuses_no_examples(self):
        with pytest.raises(ValueError, match="at least one example"):
            forget_fraction(np.zeros((2, 3, 0), bool))

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import member_mean

numbers = st.floats(-5, 5, width=16) | st.just(np.nan)


@st.composite
def masked(draw):
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=3, max_side=5))
    values = draw(hnp.arrays("f4", shape, elements=numbers))
    return values, draw(hnp.arrays(bool, shape[:2]))


class TestMemberMean:
    def test_is_the_hand_computed_table(self):
        values = [[1.0, 1.0, np.nan], [0.0, 5.0, np.nan], [0.0, np.nan, np.nan]]
        where = [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
        result = member_mean(values, where)
        np.testing.assert_allclose(result.mean, [1 / 3, 1, np.nan])
        # Three members: sqrt(2/3 / (3 * 2)); one; none.
        np.testing.assert_allclose(result.standard_error, [1 / 3, np.nan, np.nan])
        np.testing.assert_array_equal(result.count, [3, 1, 0])

    @settings(deadline=None)
    @given(masked())
    def test_is_what_a_loop_finds(self, given_):
        values, where = given_
        result = member_mean(values, where)
        for place in np.ndindex(values.shape[1:]):
            known = [
                float(values[(n, *place)])
                for n in range(len(values))
                if where[n, place[0]] and not np.isnan(values[(n, *place)])
            ]
            assert result.count[place] == len(known)
            expected = np.mean(known) if known else np.nan
            np.testing.assert_allclose(result.mean[place], expected, atol=1e-12)
            error = np.std(known, ddof=1) / len(known) ** 0.5 if len(known) > 1 else np.nan
            np.testing.assert_allclose(result.standard_error[place], error, atol=1e-12)

    @settings(deadline=None)
    @given(masked(), st.randoms())
    def test_does_not_depend_on_the_order_of_members(self, given_, random):
        values, where = given_
        order = random.sample(range(len(values)), len(values))
        result = member_mean(values[order], where[order])
        np.testing.assert_allclose(result.mean, member_mean(values, where).mean, atol=1e-12)

    def test_of_correctness_has_the_binomial_error(self):
        correct = np.arange(10)[:, np.newaxis] < [3, 10]
        result = member_mean(correct)
        np.testing.assert_allclose(result.mean, [0.3, 1])
        np.testing.assert_allclose(result.standard_error, [np.sqrt(0.3 * 0.7 / 9), 0])

    def test_of_infinite_scores_is_infinite(self):
        result = member_mean([[np.inf, 0.0], [1.0, 0.0]])
        np.testing.assert_array_equal(result.mean, [np.inf, 0])
        np.testing.assert_array_equal(result.standard_error, [np.nan, 0])

    def test_float16_does_not_overflow_or_round(self):
        values = np.full((200, 3), 1000.5, np.float16)
        np.testing.assert_array_equal(member_mean(values).mean, 1000.5)

    @pytest.mark.parametrize(
        ("values", "where", "message"),
        [
            (np.zeros(3), None, r"\[N, M, ...\]"),
            (np.zeros((0, 3)), None, "at least one member"),
            (np.full((2, 2), "1"), None, "must be numbers, got the type <U1"),
            (np.zeros((2, 3)), np.ones((2, 2), bool), r"where must be \[2, 3\], got \[2, 2\]"),
            (np.zeros((2, 3)), np.full((2, 3), 2), "where must be boolean or hold 0 and 1, got 2"),
        ],
    )
    def test_refuses(self, values, where, message):
        with pytest.raises(ValueError, match=message):
            member_mean(values, where)

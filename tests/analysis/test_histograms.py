import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_jax.analysis import choose_extents, score_histogram


class TestScoreHistogram:
    def test_is_the_hand_computed_table(self):
        edges, fractions = score_histogram([[0, 0.5, 0.5, 1], [1, 1, 1, 1]], num_members=2)
        np.testing.assert_allclose(edges, [-0.25, 0.25, 0.75, 1.25])
        np.testing.assert_array_equal(fractions, [[0.25, 0.5, 0.25], [0, 0, 1]])

    def test_shares_a_score_between_the_bins_it_covers(self):
        # Four values in three bins of 4/3: the first bin holds 0 and a third of 1/3.
        edges, fractions = score_histogram([1 / 3], num_members=3, at_most=3)
        np.testing.assert_allclose(edges, np.array([-0.5, 5 / 6, 13 / 6, 3.5]) / 3)
        np.testing.assert_allclose(fractions, [1 / 3, 2 / 3, 0], atol=1e-6)

    @settings(deadline=None)
    @given(st.lists(st.integers(0, 24), min_size=1, max_size=40), st.integers(1, 24))
    def test_counts_each_value_while_there_are_enough_bins(self, counts, num_members):
        counts = np.minimum(counts, num_members)
        edges, fractions = score_histogram(counts / num_members, num_members)
        expected = np.bincount(counts, minlength=num_members + 1) / len(counts)
        np.testing.assert_allclose(fractions, expected, rtol=1e-12)
        middles = (edges[:-1] + edges[1:]) / 2
        np.testing.assert_allclose(middles, np.arange(num_members + 1) / num_members, atol=1e-12)

    @pytest.mark.parametrize("num_members", [1, 24, 25, 27, 49, 60, 100, 999])
    @pytest.mark.parametrize("at_most", [1, 7, 25])
    def test_of_every_value_once_is_flat(self, num_members, at_most):
        scores = np.arange(num_members + 1) / num_members
        _, fractions = score_histogram(scores, num_members, at_most)
        num_bins = min(at_most, num_members + 1)
        np.testing.assert_allclose(fractions, np.full(num_bins, 1 / num_bins), atol=1e-6)

    @settings(deadline=None)
    @given(
        st.lists(st.floats(0, 1), min_size=1, max_size=30),
        st.integers(1, 200),
        st.integers(1, 40),
    )
    def test_sums_to_one_and_is_mirrored_with_the_scores(self, scores, num_members, at_most):
        _, fractions = score_histogram(scores, num_members, at_most)
        assert (fractions >= 0).all()
        assert fractions.sum() == pytest.approx(1)
        _, mirrored = score_histogram(1 - np.array(scores), num_members, at_most)
        np.testing.assert_allclose(mirrored[::-1], fractions, atol=1e-5)

    @pytest.mark.parametrize("num_members", [27, 50, 100])
    def test_keeps_the_ends_in_one_bin(self, num_members):
        _, fractions = score_histogram([0, 1, 1, 1], num_members)
        assert len(fractions) == 25
        assert fractions[[0, -1]] == pytest.approx([0.25, 0.75], abs=1e-9)

    @pytest.mark.parametrize(
        ("scores", "num_members", "at_most", "message"),
        [
            ([0.5, 1.5], 2, 25, r"scores must lie in \[0, 1\], got 1.5"),
            ([-0.5], 2, 25, r"scores must lie in \[0, 1\], got -0.5"),
            ([], 2, 25, "at least one example"),
            ([0.5], 0, 25, "num_members must be at least 1, got 0"),
            ([0.5], 2, 0, "at_most must be at least 1, got 0"),
        ],
    )
    def test_refuses_what_it_cannot_bin(self, scores, num_members, at_most, message):
        with pytest.raises(ValueError, match=message):
            score_histogram(scores, num_members, at_most)


class TestChooseExtents:
    @pytest.mark.parametrize(
        ("extents", "at_most", "chosen"),
        [
            ([3], 7, [3]),
            ([0, 1, 5], 7, [0, 1, 5]),
            ([0, 1, 5], 2, [0, 5]),
            (range(13), 7, [0, 2, 4, 6, 8, 10, 12]),
            ([0, 1, 10, 30, 60, 80, 100], 4, [0, 10, 60, 100]),
        ],
    )
    def test_is_the_expected_choice(self, extents, at_most, chosen):
        assert choose_extents(extents, at_most).tolist() == chosen

    @settings(deadline=None)
    @given(st.sets(st.integers(0, 500), min_size=1, max_size=60), st.integers(2, 12))
    def test_keeps_the_ends_and_skips_evenly(self, extents, at_most):
        given_extents = sorted(extents)
        chosen = choose_extents(given_extents, at_most)
        assert len(chosen) == min(at_most, len(given_extents))
        assert (chosen[0], chosen[-1]) == (given_extents[0], given_extents[-1])
        skips = np.diff(np.searchsorted(given_extents, chosen))
        assert (skips > 0).all()
        assert skips.max(initial=1) - skips.min(initial=skips.max(initial=1)) <= 1

    @pytest.mark.parametrize(
        ("extents", "at_most", "message"),
        [
            ([], 7, "extents must rise"),
            ([0, 2, 1], 7, r"extents must rise, at least one of them, got \[0, 2, 1\]"),
            ([0, 0], 7, "extents must rise"),
            ([0, 1], 1, "at_most must be at least 2, got 1"),
        ],
    )
    def test_refuses_what_it_cannot_choose_from(self, extents, at_most, message):
        with pytest.raises(ValueError, match=message):
            choose_extents(extents, at_most)

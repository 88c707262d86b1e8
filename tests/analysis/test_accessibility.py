import numpy as np
import pytest
from scipy import stats

from ensemble_jax.analysis import (
    correlate_accessibility,
    member_accessibility,
    split_half_correlations,
)


def simulate(num_members, noise, seed, num_examples=400):
    """`[N, M]` accessibility of members that share a difficulty up to noise of their own."""
    difficulty = np.random.default_rng(0).random(num_examples)
    own = np.random.default_rng(seed).normal(0, noise, (num_members, num_examples))
    return (difficulty + own).clip(0, 1)


class TestMemberAccessibility:
    def test_is_the_hand_computed_table(self):
        correct = np.array(
            [[[1, 0, 0], [1, 1, 0]], [[1, 0, 1], [1, 0, 0]], [[1, 1, 1], [1, 1, 0]]], bool
        )
        expected = np.array([[3, 1, 2], [3, 2, 0]], np.float32) / np.float32(3)
        np.testing.assert_array_equal(member_accessibility(correct), expected)

    def test_refuses_a_single_extent_without_its_axis(self):
        with pytest.raises(ValueError, match=r"\[E, N, M\]"):
            member_accessibility(np.zeros((2, 3), bool))


class TestCorrelation:
    def test_is_that_of_scipy(self):
        first, second = simulate(5, 0.3, seed=1), simulate(7, 0.6, seed=2)
        result = correlate_accessibility(first, second, seed=0)
        one, other = first.mean(0), second.mean(0)
        assert result.pearson == pytest.approx(stats.pearsonr(one, other).statistic)
        assert result.p_value == stats.pearsonr(one, other).pvalue
        assert result.spearman == pytest.approx(stats.spearmanr(one, other).statistic)

    def test_interval_is_that_of_collections_drawn_one_by_one(self):
        first, second = simulate(5, 0.3, seed=1), simulate(7, 0.6, seed=2)
        result = correlate_accessibility(first, second, seed=0, num_resamples=4000, level=0.9)
        rng = np.random.default_rng(1)
        drawn = [
            np.corrcoef(
                first[rng.integers(0, 5, 5)].mean(0), second[rng.integers(0, 7, 7)].mean(0)
            )[0, 1]
            for _ in range(4000)
        ]
        moved = np.arctanh(drawn) - np.arctanh(drawn).mean() + np.arctanh(result.pearson)
        expected = np.tanh(np.quantile(moved, [0.05, 0.95]))
        np.testing.assert_allclose([result.low, result.high], expected, atol=0.005)
        assert result.low < result.pearson < result.high

    def test_interval_of_equal_members_is_a_point(self):
        first, second = (np.repeat(simulate(1, 0.5, seed), 4, axis=0) for seed in (1, 2))
        result = correlate_accessibility(first, second, seed=0)
        np.testing.assert_allclose([result.low, result.high], result.pearson, atol=1e-12)

    def test_wider_level_gives_a_wider_interval_and_the_seed_decides(self):
        first, second = simulate(5, 0.5, seed=1), simulate(5, 0.5, seed=2)
        narrow = correlate_accessibility(first, second, seed=0, level=0.5)
        wide = correlate_accessibility(first, second, seed=0, level=0.99)
        assert wide.low < narrow.low < narrow.high < wide.high
        assert narrow == correlate_accessibility(first, second, seed=0, level=0.5)
        assert narrow.low != correlate_accessibility(first, second, seed=1, level=0.5).low

    def test_does_not_depend_on_the_order_of_the_collections(self):
        first, second = simulate(5, 0.5, seed=1), simulate(5, 0.5, seed=2)
        forth = correlate_accessibility(first, second, seed=0)
        back = correlate_accessibility(second, first, seed=0)
        assert forth[:3] == pytest.approx(back[:3], rel=1e-12)

    def test_of_opposite_orders_is_minus_one(self):
        members = np.array([[0.0, 0.3, 1.0]])
        result = correlate_accessibility(members, 1 - members, seed=0)
        np.testing.assert_allclose([result.pearson, result.low, result.spearman], -1)

    def test_of_one_score_for_all_is_undefined(self):
        result = correlate_accessibility(np.full((2, 3), 0.5), simulate(2, 0.1, 1, 3), seed=0)
        assert np.isnan(result).all()

    @pytest.mark.parametrize(
        ("first", "options", "message"),
        [
            (np.zeros((2, 4)), {}, "same examples"),
            (np.full((2, 3), 2.0), {}, r"\[0, 1\], got 2.0"),
            (np.zeros((2, 3)), {"num_resamples": 0}, "num_resamples must be at least 1, got 0"),
            (np.zeros((2, 3)), {"level": 1.0}, r"level must lie in \(0, 1\), got 1.0"),
        ],
    )
    def test_refuses_what_it_cannot_correlate(self, first, options, message):
        with pytest.raises(ValueError, match=message):
            correlate_accessibility(first, np.eye(3)[:2], seed=0, **options)

    def test_refuses_a_single_example(self):
        with pytest.raises(ValueError, match="at least 2 examples"):
            correlate_accessibility([[0.5]], [[0.5]], seed=0)


class TestSplitHalves:
    @pytest.mark.parametrize("num_members", [2, 6, 7])
    def test_is_one_of_all_possible_splits(self, num_members):
        from itertools import combinations

        members = simulate(num_members, 0.5, seed=3)
        half = num_members // 2
        possible = [
            np.corrcoef(members[list(one)].mean(0), members[list(other)].mean(0))[0, 1]
            for one in combinations(range(num_members), half)
            for other in combinations(sorted(set(range(num_members)) - set(one)), half)
        ]
        correlations = split_half_correlations(members, seed=0, num_splits=200)
        nearest = np.abs(correlations[:, None] - possible).min(axis=1)
        assert nearest.max() < 1e-12
        assert len(np.unique(correlations.round(9))) > len(possible) / 4

    def test_of_equal_members_is_one(self):
        members = np.repeat(simulate(1, 0.5, seed=1), 6, axis=0)
        np.testing.assert_allclose(split_half_correlations(members, seed=0), 1)

    def test_of_one_score_for_all_is_undefined(self):
        assert np.isnan(split_half_correlations(np.full((4, 3), 0.5), seed=0)).all()

    @pytest.mark.parametrize(
        ("members", "num_splits", "message"),
        [
            (np.zeros((1, 3)), 1, "at least 2 members"),
            (np.zeros((3, 1)), 1, "at least 2 members and 2 examples"),
            (np.zeros((3, 2)), 0, "num_splits must be at least 1, got 0"),
        ],
    )
    def test_refuses_what_has_no_halves(self, members, num_splits, message):
        with pytest.raises(ValueError, match=message):
            split_half_correlations(members, seed=0, num_splits=num_splits)

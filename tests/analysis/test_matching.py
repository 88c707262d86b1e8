import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_jax.analysis import (
    bimodality,
    consistency_score,
    cross_consistency,
    match_extents,
)

percents = st.lists(st.integers(0, 100).map(lambda p: p / 100), min_size=1, max_size=12)


class TestMatchExtents:
    @pytest.mark.parametrize(
        ("first", "second", "tolerance", "expected"),
        [
            # The nearest within a percentage point; one exactly a point away counts.
            ([0.20, 0.38, 0.56], [0.19, 0.384, 0.39, 0.6], 0.01, [[0, 0], [1, 1]]),
            # One extent of the second may be the best for several of the first.
            ([0.50, 0.505, 0.51], [0.505], 0.01, [[0, 0], [1, 0], [2, 0]]),
            # Of equally near ones the earliest.
            ([0.5], [0.49, 0.51, 0.49], 0.02, [[0, 0]]),
            ([0.5, 0.7], [0.52, 0.6], 0.02, [[0, 0]]),
            ([0.3], [0.3], 0.0, [[0, 0]]),
        ],
    )
    def test_is_the_hand_made_pairing(self, first, second, tolerance, expected):
        pairs = match_extents(first, second, tolerance)
        np.testing.assert_array_equal(pairs, expected)

    def test_without_a_match_is_empty(self):
        pairs = match_extents([0.2, 0.3], [0.5, 0.6])
        assert pairs.shape == (0, 2)
        assert pairs.dtype.kind == "i"

    @settings(deadline=None)
    @given(percents, percents, st.integers(0, 20))
    def test_is_the_naive_search(self, first, second, points):
        expected = []
        for i, one in enumerate(first):
            # In whole percents, where nothing is rounded.
            distances = [abs(round(100 * one) - round(100 * other)) for other in second]
            if min(distances) <= points:
                expected.append([i, distances.index(min(distances))])
        assert match_extents(first, second, points / 100).tolist() == expected

    @settings(deadline=None)
    @given(percents)
    def test_with_itself_pairs_every_extent_with_an_equal_one(self, accuracies):
        pairs = match_extents(accuracies, accuracies, tolerance=0)
        assert pairs[:, 0].tolist() == list(range(len(accuracies)))
        for i, j in pairs:
            assert accuracies[i] == accuracies[j]

    @pytest.mark.parametrize(
        ("first", "tolerance", "message"),
        [
            ([0.5], -0.01, "tolerance must be at least 0, got -0.01"),
            ([0.5], np.nan, "tolerance must be at least 0, got nan"),
            ([], 0.01, "at least one"),
            ([[0.5]], 0.01, r"one axis, \[E\]"),
            ([np.nan], 0.01, "finite, got nan"),
        ],
    )
    def test_refuses_what_cannot_match(self, first, tolerance, message):
        with pytest.raises(ValueError, match=message):
            match_extents(first, [0.5], tolerance)


class TestCrossConsistency:
    def collections(self):
        rng = np.random.default_rng(0)
        difficulty = rng.random(200)
        learned = np.array([0.2, 0.5, 0.8])[:, None, None]
        first = difficulty + rng.normal(0, 0.1, (3, 6, 200)) < learned
        return first, difficulty + rng.normal(0, 0.1, (3, 4, 200)) < learned[::-1]

    def test_is_the_consistency_of_the_merged_collection(self):
        first, second = self.collections()
        result = cross_consistency(
            consistency_score(first), consistency_score(second), (6, 4), tolerance=0.05
        )
        np.testing.assert_array_equal(result.positions, [[0, 2], [1, 1], [2, 0]])
        for (i, j), accuracies, scores, value in zip(*result, strict=True):
            merged = consistency_score(np.concatenate([first[i], second[j]]))
            np.testing.assert_allclose(scores, merged, atol=1e-15)
            np.testing.assert_allclose(accuracies, [first[i].mean(), second[j].mean()])
            assert value == pytest.approx(bimodality(merged))
        assert result.mean_bimodality == pytest.approx(result.bimodalities.mean())

    def test_equal_weights_let_each_collection_count_the_same(self):
        first, second = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
        result = cross_consistency(first, second, weights=(1, 1))
        np.testing.assert_array_equal(result.scores, [[0.75, 0.25]])

    def test_of_a_collection_with_itself_is_its_consistency(self):
        scores = consistency_score(self.collections()[0])
        result = cross_consistency(scores, scores, weights=(6, 6))
        np.testing.assert_allclose(result.scores, scores)

    def test_without_a_match_is_empty(self):
        result = cross_consistency([[0.0, 0.2]], [[1.0, 0.9]], weights=(2, 3))
        assert [len(part) for part in result] == [0] * 4
        assert result.scores.shape == (0, 2)
        assert np.isnan(result.mean_bimodality)

    def test_mean_leaves_out_where_all_scores_are_equal(self):
        scores = [[0.0, 0.0, 0.0], [0.0, 0.5, 1.0]]
        result = cross_consistency(scores, scores, weights=(1, 1))
        np.testing.assert_allclose(result.bimodalities, [np.nan, 0.5])
        assert result.mean_bimodality == pytest.approx(0.5)

    @pytest.mark.parametrize(
        ("second", "weights", "message"),
        [
            (np.zeros((1, 3)), (1, 1), "same examples"),
            (np.full((1, 2), 1.5), (1, 1), r"lie in \[0, 1\], got 1.5"),
            (np.full((1, 2), -0.5), (1, 1), r"lie in \[0, 1\], got -0.5"),
            (np.zeros(2), (1, 1), r"\[E, M\]"),
            (np.zeros((1, 2)), (1, 0), r"above 0 and finite, got \(1, 0\)"),
            (np.zeros((1, 2)), (1, np.nan), "above 0 and finite"),
        ],
    )
    def test_refuses_what_cannot_be_merged(self, second, weights, message):
        with pytest.raises(ValueError, match=message):
            cross_consistency(np.zeros((1, 2)), second, weights)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import (
    accuracy_by_class,
    consensus_score,
    count_votes,
    most_frequent_class,
    score_histogram,
    score_histogram_by_class,
)


@st.composite
def collections(draw):
    num_classes = draw(st.integers(1, 5))
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
    return draw(hnp.arrays("u1", shape, elements=st.integers(0, num_classes - 1))), num_classes


class TestMostFrequentClass:
    def test_is_the_hand_computed_table(self):
        predictions = [[0, 2, 1, 0], [0, 1, 1, 2], [2, 0, 2, 2], [2, 2, 1, 2]]
        result = most_frequent_class(predictions, num_classes=3)
        assert result.classes.tolist() == [0, 2, 1, 2]
        assert result.votes.tolist() == [2, 2, 3, 3]
        assert result.tied.tolist() == [True, False, False, False]

    @settings(deadline=None)
    @given(collections())
    def test_has_the_votes_of_the_consensus(self, collection):
        predictions, num_classes = collection
        result = most_frequent_class(predictions, num_classes)
        votes = count_votes(predictions, num_classes)
        np.testing.assert_array_equal(
            result.votes / predictions.shape[1], consensus_score(predictions, num_classes)
        )
        for extent, example in np.ndindex(result.classes.shape):
            counts = votes[extent, example].tolist()
            assert result.classes[extent, example] == counts.index(max(counts))
            assert result.tied[extent, example] == (counts.count(max(counts)) > 1)

    def test_is_the_same_over_many_blocks(self):
        predictions = np.random.default_rng(0).integers(0, 3, (300, 997))
        result = most_frequent_class(predictions, 3)
        np.testing.assert_array_equal(result.classes, count_votes(predictions, 3).argmax(-1))

    def test_refuses_classes_that_are_none(self):
        with pytest.raises(ValueError, match=r"predictions must lie in 0\.\.1, got 2"):
            most_frequent_class([[2]], 2)


class TestHistogramByClass:
    @settings(deadline=None)
    @given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 30), st.integers(0, 2**32 - 1))
    def test_is_the_histogram_of_each_class_by_its_share(self, N, K, at_most, seed):
        rng = np.random.default_rng(seed)
        scores = rng.integers(0, N + 1, (2, 30)) / N
        classes = rng.integers(0, K, scores.shape)
        edges, fractions = score_histogram_by_class(scores, classes, K, N, at_most)
        whole_edges, whole = score_histogram(scores, N, at_most)
        np.testing.assert_array_equal(edges, whole_edges)
        np.testing.assert_allclose(fractions.sum(axis=1), whole, atol=1e-12)
        for extent in range(2):
            for k in range(K):
                chosen = scores[extent][classes[extent] == k]
                expected = np.zeros(len(edges) - 1)
                if len(chosen):
                    expected = score_histogram(chosen, N, at_most)[1] * len(chosen) / 30
                np.testing.assert_allclose(fractions[extent, k], expected, atol=1e-12)

    def test_refuses_classes_of_other_examples(self):
        with pytest.raises(ValueError, match=r"shape of the scores, \(3,\), got \(2,\)"):
            score_histogram_by_class([0, 1, 1], [0, 1], 2, 1)
        with pytest.raises(ValueError, match=r"classes must lie in 0\.\.1, got 2"):
            score_histogram_by_class([0, 1], [0, 2], 2, 1)


class TestAccuracyByClass:
    def test_is_the_hand_computed_table(self):
        correct = [[1, 0, 1, 1], [0, 0, 1, 0]]
        result = accuracy_by_class(correct, labels=[0, 0, 2, 0], num_classes=3)
        np.testing.assert_allclose(result, [[2 / 3, np.nan, 1], [0, np.nan, 1]])

    @given(collections())
    @settings(max_examples=30, deadline=None)
    def test_is_the_naive_loop(self, collection):
        predictions, num_classes = collection
        labels, correct = predictions[0, 0], predictions[0] == predictions[0, 0]
        result = accuracy_by_class(correct, labels, num_classes)
        for member, label in np.ndindex(len(correct), num_classes):
            of_class = correct[member][labels == label]
            expected = of_class.mean() if len(of_class) else np.nan
            np.testing.assert_equal(result[member, label], expected)

    @pytest.mark.parametrize(
        ("correct", "labels", "message"),
        [
            ([[1, 0]], [0], r"must be \[N, M\] and labels \[M\]"),
            ([[[1, 0]]], [0, 1], r"must be \[N, M\] and labels \[M\]"),
            ([[1, 2]], [0, 1], "0 and 1, got 2"),
            ([[1, 0]], [0, 2], r"labels must lie in 0..1, got 2"),
        ],
    )
    def test_refuses_what_is_neither(self, correct, labels, message):
        with pytest.raises(ValueError, match=message):
            accuracy_by_class(correct, labels, num_classes=2)

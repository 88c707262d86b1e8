from itertools import product

import numpy as np
import pytest

from ensemble_jax.analysis import (
    compare_consensus,
    consensus_score,
    random_consensus_distribution,
    shuffle_members,
)


@pytest.mark.parametrize(("num_members", "num_classes"), [(1, 2), (3, 2), (4, 3), (2, 5)])
def test_random_consensus_is_that_of_all_outcomes(num_members, num_classes):
    outcomes = np.array(list(product(range(num_classes), repeat=num_members))).T
    scores = consensus_score(outcomes, num_classes)
    counts = np.bincount(np.rint(scores * num_members).astype(int), minlength=num_members + 1)
    np.testing.assert_allclose(
        random_consensus_distribution(num_members, num_classes), counts[1:] / outcomes.shape[1]
    )


def test_shuffled_members_use_each_class_as_often():
    predictions = np.random.default_rng(0).integers(0, 4, (2, 5, 50))
    shuffled = shuffle_members(predictions, seed=0)
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(predictions))
    assert (shuffled != predictions).any()
    np.testing.assert_array_equal(shuffled, shuffle_members(predictions, seed=0))
    assert (shuffled != shuffle_members(predictions, seed=1)).any()


def test_each_member_has_an_order_of_its_own():
    predictions = np.tile(np.arange(100), (3, 1))
    shuffled = shuffle_members(predictions, seed=0)
    assert (shuffled[0] != shuffled[1]).any()
    assert (shuffled[1] != shuffled[2]).any()


class TestComparison:
    def test_agreeing_members_are_above_both(self):
        rng = np.random.default_rng(0)
        result = compare_consensus(np.tile(rng.integers(0, 4, 500), (10, 1)), 4, seed=0)
        assert result.of_members == 1
        assert result.of_independent == pytest.approx(result.of_random, abs=0.02)
        assert 0.25 < result.of_random < 0.6

    def test_independent_members_are_like_their_reference(self):
        predictions = np.random.default_rng(0).choice(4, (10, 4000), p=[0.7, 0.1, 0.1, 0.1])
        result = compare_consensus(predictions, 4, seed=0)
        assert result.of_members == pytest.approx(result.of_independent, abs=0.01)
        assert result.of_members > result.of_random + 0.2

    def test_members_with_one_class_only_agree_without_knowing(self):
        result = compare_consensus(np.zeros((4, 20), int), 3, seed=0)
        assert result.of_members == result.of_independent == 1

    def test_random_is_the_mean_of_the_distribution(self):
        # Of four outcomes of two members and classes, two agree fully and two by half.
        assert compare_consensus([[0], [1]], 2, seed=0).of_random == pytest.approx(0.75)

    @pytest.mark.parametrize(
        ("predictions", "num_classes", "message"),
        [
            (np.zeros((2, 3, 4), int), 2, r"\[N, M\]"),
            (np.zeros((2, 0), int), 2, "at least one example"),
            (np.zeros((0, 2), int), 2, "at least one member"),
            (np.zeros((2, 2), int), 1, "num_classes must be at least 2, got 1"),
            (np.full((2, 2), 2), 2, r"lie in 0\.\.1, got 2"),
        ],
    )
    def test_refuses_what_it_cannot_compare(self, predictions, num_classes, message):
        with pytest.raises(ValueError, match=message):
            compare_consensus(predictions, num_classes, seed=0)

    def test_shuffling_needs_members(self):
        with pytest.raises(ValueError, match=r"\[..., N, M\]"):
            shuffle_members(np.zeros(3, int), seed=0)

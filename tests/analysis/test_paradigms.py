import numpy as np
import pytest

from ensemble_jax.analysis import (
    Difficulty,
    accordance,
    accuracy_by_difficulty,
    group_by_difficulty,
    member_accuracy,
)


class TestGroups:
    def test_bounds_are_in_the_middle_group(self):
        scores = [0.0, 9 / 100, 10 / 100, 0.5, 90 / 100, 91 / 100, 1.0]
        groups = group_by_difficulty(scores)
        assert groups[Difficulty.HARD].tolist() == [True, True] + [False] * 5
        assert groups[Difficulty.EASY].tolist() == [False] * 5 + [True, True]
        assert groups[Difficulty.INTERMEDIATE].tolist() == [False] * 2 + [True] * 3 + [False] * 2

    def test_every_example_is_in_one(self):
        scores = np.random.default_rng(0).random(100)
        for threshold in (0.5, 0.7, 1.0):
            groups = group_by_difficulty(scores, threshold)
            assert (sum(of.astype(int) for of in groups.values()) == 1).all()

    @pytest.mark.parametrize(
        ("scores", "threshold", "message"),
        [
            ([[0.5]], 0.9, r"\[M\]"),
            ([0.5], 0.4, r"threshold must lie in \[0.5, 1\], got 0.4"),
            ([], 0.9, "at least one example"),
        ],
    )
    def test_refuses_what_has_no_groups(self, scores, threshold, message):
        with pytest.raises(ValueError, match=message):
            group_by_difficulty(scores, threshold)


class TestAccuracyByDifficulty:
    def test_is_the_hand_computed_table(self):
        groups = group_by_difficulty([1.0, 1.0, 0.0, 0.5])
        correct = [[[1, 0, 0, 1]], [[1, 1, 1, 0]]]
        accuracies = accuracy_by_difficulty(correct, groups)
        assert {key.value: of.tolist() for key, of in accuracies.items()} == {
            "easy": [[0.5], [1.0]],
            "intermediate": [[1.0], [0.0]],
            "hard": [[0.0], [1.0]],
        }

    def test_weighted_by_size_is_the_accuracy(self):
        rng = np.random.default_rng(0)
        correct, groups = rng.random((4, 3, 60)) < 0.5, group_by_difficulty(rng.random(60))
        accuracies = accuracy_by_difficulty(correct, groups)
        total = sum(groups[key].mean() * accuracies[key] for key in Difficulty)
        np.testing.assert_allclose(total, member_accuracy(correct))

    def test_of_no_example_is_undefined(self):
        groups = group_by_difficulty([1.0])
        assert np.isnan(accuracy_by_difficulty([[1]], groups)[Difficulty.HARD]).all()

    def test_refuses_groups_of_other_examples(self):
        with pytest.raises(ValueError, match="examples must be the same, got 2"):
            accuracy_by_difficulty([[1, 0]], group_by_difficulty([1.0, 0.0, 0.5]))


class TestAccordance:
    def test_is_the_hand_computed_table(self):
        result = accordance([1, 1, 0, 1, 0, 0], [1.0, 0.6, 0.8, 0.5, 0.0, 0.4])
        assert result == pytest.approx((2 / 3, 1 / 3))

    def test_with_itself(self):
        right = np.array([1, 0, 1, 0])
        assert accordance(right, right) == (1, 0)
        assert accordance(1 - right, right) == (0, 1)

    def test_where_all_are_right_the_rest_is_undefined(self):
        result = accordance([1, 0], [1.0, 1.0])
        assert result.where_right == 0.5
        assert np.isnan(result.where_wrong)

    def test_refuses_other_examples(self):
        with pytest.raises(ValueError, match="examples must be the same"):
            accordance([1, 0], [1.0, 0.0, 0.5])
        with pytest.raises(ValueError, match="0 and 1, got 2"):
            accordance([2, 0], [1.0, 0.0])
        with pytest.raises(ValueError, match=r"\[M\]"):
            accordance([2, 0], [[1.0, 0.0]])

import numpy as np
import pytest

from ensemble_jax.analysis import bimodality, consistency_score, size_dependence


def simulate(num_members=12, num_examples=300):
    rng = np.random.default_rng(0)
    difficulty = rng.beta(0.5, 0.5, num_examples)
    return difficulty + rng.normal(0, 0.2, (num_members, num_examples)) < 0.5


def test_all_members_give_the_score_of_the_collection():
    correct = simulate()
    result = size_dependence(correct, [12], seed=0, num_subsets=3)
    np.testing.assert_array_equal(result.bimodalities, bimodality(consistency_score(correct)))
    assert np.isnan(result.correlations).all()


def test_no_member_is_drawn_twice_nor_compared_with_itself():
    # Example n is known by member n alone: a subset has two scores, and knows what others do not.
    result = size_dependence(np.eye(8, dtype=bool), [2, 4, 7], seed=0, num_subsets=4)
    assert result.bimodalities.shape == (3, 4)
    np.testing.assert_allclose(result.bimodalities, 0, atol=1e-12)
    # Of 8 examples s are known to the one, s to the other: r = -s / (8 - s).
    np.testing.assert_allclose(result.correlations[0], -2 / 6)
    np.testing.assert_allclose(result.correlations[1], -1)
    assert np.isnan(result.correlations[2]).all()


def test_one_member_against_the_others_by_hand():
    correct = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], bool)
    result = size_dependence(correct, [1], seed=0, num_subsets=5)
    np.testing.assert_allclose(result.correlations, 0, atol=1e-12)
    np.testing.assert_allclose(result.bimodalities, 0, atol=1e-12)


def test_more_members_agree_better():
    result = size_dependence(simulate(40), [1, 4, 16], seed=0, num_subsets=30)
    means = result.correlations.mean(axis=1)
    assert means.tolist() == sorted(means)
    assert result.sizes.tolist() == [1, 4, 16]


def test_the_seed_decides():
    correct = simulate()
    one, same, other = (size_dependence(correct, [3], seed, 4) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.bimodalities, same.bimodalities)
    assert (one.bimodalities != other.bimodalities).any()


@pytest.mark.parametrize(
    ("correct", "sizes", "num_subsets", "message"),
    [
        (np.zeros((3, 4), bool), [4], 1, r"sizes must lie in 1\.\.3, at least one of them, got"),
        (np.zeros((3, 4), bool), [0], 1, r"sizes must lie in 1\.\.3"),
        (np.zeros((3, 4), bool), [], 1, "at least one of them"),
        (np.zeros((3, 4), bool), [1], 0, "num_subsets must be at least 1"),
        (np.zeros((3, 0), bool), [1], 1, "at least one example"),
        (np.zeros((2, 3, 4), bool), [1], 1, r"\[N, M\]"),
    ],
)
def test_refuses_what_has_no_subsets(correct, sizes, num_subsets, message):
    with pytest.raises(ValueError, match=message):
        size_dependence(correct, sizes, seed=0, num_subsets=num_subsets)

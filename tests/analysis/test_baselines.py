from itertools import product
from math import comb, factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ensemble_jax.analysis import (
    bimodality,
    consensus_score,
    consistency_score,
    independent_baseline,
    independent_consensus_distribution,
    independent_consistency_distribution,
    member_accuracy,
)

LABELS = np.random.default_rng(0).integers(0, 5, 20_000)
accuracies = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def chi_square_p_value(observed: np.ndarray, expected: np.ndarray) -> float:
    """Of counts, where cells that expect fewer than 5 are taken together."""
    rare = expected < 5
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    kept = expected > 0
    assert (observed[~kept] == 0).all()
    statistic = ((observed[kept] - expected[kept]) ** 2 / expected[kept]).sum()
    return float(stats.chi2.sf(statistic, kept.sum() - 1))


class TestSimulation:
    def test_is_as_accurate_as_told(self):
        told = np.array([[0.0, 0.2, 0.9], [1.0, 0.5, 0.01]])
        predictions = independent_baseline(told, LABELS, 5, seed=1)
        assert predictions.shape == (2, 3, len(LABELS))
        # Four standard deviations of a mean of as many trials.
        tolerance = 4 * np.sqrt(told * (1 - told) / len(LABELS))
        assert (np.abs(member_accuracy(predictions == LABELS) - told) <= tolerance).all()

    @pytest.mark.parametrize(
        ("num_classes", "dtype"), [(2, "u1"), (256, "u1"), (257, "u2"), (65537, "u4")]
    )
    def test_has_the_smallest_unsigned_type(self, num_classes, dtype):
        predictions = independent_baseline([0.0, 0.5], np.arange(2), num_classes, seed=0)
        assert predictions.dtype == dtype

    def test_errs_into_every_wrong_class_alike(self):
        predictions = independent_baseline([0.0], LABELS, 5, seed=2)[0]
        shift = (predictions.astype(int) - LABELS) % 5
        observed = np.bincount(shift, minlength=5)
        assert observed[0] == 0
        assert chi_square_p_value(observed[1:], np.full(4, len(LABELS) / 4)) > 0.01

    def test_members_and_extents_err_independently(self):
        predictions = independent_baseline(np.full((2, 2), 0.5), LABELS, 5, seed=3)
        correct = (predictions == LABELS).reshape(4, -1)
        correlations = np.corrcoef(correct)[np.triu_indices(4, 1)]
        assert (np.abs(correlations) < 4 / np.sqrt(len(LABELS))).all()

    def test_is_the_same_for_the_same_seed(self):
        one, same, other = (independent_baseline([0.5] * 3, LABELS, 5, seed) for seed in (7, 7, 8))
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()

    def test_has_no_small_bimodality(self):
        predictions = independent_baseline([0.6] * 20, LABELS, 5, seed=0)
        assert bimodality(consistency_score(predictions == LABELS)) == pytest.approx(2, abs=0.15)

    @pytest.mark.parametrize(
        ("told", "labels", "num_classes", "message"),
        [
            ([1.5], [0], 2, r"accuracies must lie in \[0, 1\], got 1.5"),
            ([-0.5], [0], 2, r"accuracies must lie in \[0, 1\], got -0.5"),
            ([np.nan], [0], 2, r"accuracies must lie in \[0, 1\], got nan"),
            ([], [0], 2, r"accuracies must be \[..., N\]"),
            ([0.5], [2], 2, r"labels must lie in 0\.\.1, got 2"),
            ([0.5], [0.0], 2, "labels must be integers"),
            ([0.5], [[0]], 2, r"labels must have one axis, \[M\]"),
            ([0.5], [0], 1, "num_classes must be at least 2, got 1"),
        ],
    )
    def test_refuses_what_cannot_be(self, told, labels, num_classes, message):
        with pytest.raises(ValueError, match=message):
            independent_baseline(told, labels, num_classes, seed=0)


class TestConsistencyDistribution:
    @pytest.mark.parametrize("accuracy", [0.0, 0.3, 1.0])
    @pytest.mark.parametrize("num_members", [1, 7, 100])
    def test_is_binomial_where_accuracies_are_equal(self, accuracy, num_members):
        np.testing.assert_allclose(
            independent_consistency_distribution([accuracy] * num_members),
            stats.binom.pmf(np.arange(num_members + 1), num_members, accuracy),
            atol=1e-14,
        )

    @settings(deadline=None)
    @given(accuracies)
    def test_is_the_sum_over_all_outcomes(self, told):
        expected = np.zeros(len(told) + 1)
        for outcome in product([0, 1], repeat=len(told)):
            terms = [p if right else 1 - p for p, right in zip(told, outcome, strict=True)]
            expected[sum(outcome)] += np.prod(terms)
        np.testing.assert_allclose(independent_consistency_distribution(told), expected, atol=1e-14)

    def test_takes_each_extent_for_itself(self):
        told = np.random.default_rng(0).random((2, 3, 4))
        distributions = independent_consistency_distribution(told)
        assert distributions.shape == (2, 3, 5)
        for extent in np.ndindex(2, 3):
            np.testing.assert_array_equal(
                distributions[extent], independent_consistency_distribution(told[extent])
            )

    def test_is_that_of_the_simulation(self):
        told = np.linspace(0.1, 0.8, 12)
        predictions = independent_baseline(told, LABELS, 5, seed=4)
        right = np.rint(consistency_score(predictions == LABELS) * 12).astype(int)
        expected = independent_consistency_distribution(told) * len(LABELS)
        assert chi_square_p_value(np.bincount(right, minlength=13), expected) > 0.01

    def test_refuses_what_is_no_accuracy(self):
        with pytest.raises(ValueError, match=r"accuracies must lie in \[0, 1\], got 2.0"):
            independent_consistency_distribution([0.5, 2.0])


class TestConsensusDistribution:
    @pytest.mark.parametrize("accuracy", [0.0, 0.2, 0.6, 1.0])
    @pytest.mark.parametrize(
        ("num_members", "num_classes"), [(1, 2), (5, 2), (4, 3), (6, 4), (3, 5)]
    )
    def test_is_the_sum_over_all_counts(self, accuracy, num_members, num_classes):
        expected = np.zeros(num_members)
        wrong = (1 - accuracy) / (num_classes - 1)
        for counts in product(range(num_members + 1), repeat=num_classes):
            if sum(counts) == num_members:
                ways = factorial(num_members) // np.prod([factorial(count) for count in counts])
                probability = accuracy ** counts[0] * wrong ** (num_members - counts[0])
                expected[max(counts) - 1] += ways * probability
        distribution = independent_consensus_distribution(accuracy, num_members, num_classes)
        np.testing.assert_allclose(distribution, expected, atol=1e-13)

    def test_of_two_classes_is_a_folded_binomial(self):
        distribution = independent_consensus_distribution(0.5, 101, 2)
        expected = [2 * comb(101, j) / 2**101 if 2 * j > 101 else 0 for j in range(1, 102)]
        np.testing.assert_allclose(distribution, expected, atol=1e-12)

    @pytest.mark.parametrize(("num_members", "num_classes"), [(20, 100), (100, 5), (300, 1000)])
    def test_is_a_distribution_that_starts_where_classes_run_out(self, num_members, num_classes):
        distribution = independent_consensus_distribution(0.3, num_members, num_classes)
        assert distribution.shape == (num_members,)
        assert (distribution >= 0).all()
        assert distribution.sum() == pytest.approx(1, abs=1e-11)
        least = -(-num_members // num_classes)
        np.testing.assert_allclose(distribution[: least - 1], 0, atol=1e-12)

    @pytest.mark.parametrize(
        ("accuracy", "num_members", "num_classes"), [(0.2, 20, 5), (0.5, 9, 5)]
    )
    def test_is_that_of_the_simulation(self, accuracy, num_members, num_classes):
        predictions = independent_baseline([accuracy] * num_members, LABELS, num_classes, seed=5)
        largest = np.rint(consensus_score(predictions, num_classes) * num_members).astype(int)
        observed = np.bincount(largest, minlength=num_members + 1)[1:]
        expected = independent_consensus_distribution(accuracy, num_members, num_classes)
        # Rounding is no probability.
        expected = np.where(expected < 1e-9, 0, expected)
        assert chi_square_p_value(observed, expected * len(LABELS)) > 0.01

    @pytest.mark.parametrize(
        ("accuracy", "num_members", "num_classes", "message"),
        [
            (1.1, 3, 2, r"accuracy must lie in \[0, 1\], got 1.1"),
            (0.5, 0, 2, "num_members must be at least 1, got 0"),
            (0.5, 3, 1, "num_classes must be at least 2, got 1"),
        ],
    )
    def test_refuses_what_cannot_be(self, accuracy, num_members, num_classes, message):
        with pytest.raises(ValueError, match=message):
            independent_consensus_distribution(accuracy, num_members, num_classes)

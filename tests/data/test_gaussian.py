import numpy as np
import pytest
from scipy import stats

from ensemble_jax.data import load_dataset

DIMENSIONS = 32 * 32 * 3


@pytest.fixture(scope="module")
def gaussian():
    return load_dataset("gaussian")


def flat(split):
    return split.inputs.reshape(len(split), -1).astype(np.float64)


def test_shapes_and_types(gaussian):
    assert gaussian.class_names == ("mean 0", "mean 0.1")
    assert gaussian.word_vectors is None
    for split, size in zip(gaussian.splits.values(), (5000, 1000), strict=True):
        assert split.inputs.shape == (size, 32, 32, 3)
        assert split.inputs.dtype == np.float32
        assert split.labels.dtype == np.int32
        np.testing.assert_array_equal(np.bincount(split.labels), [size / 2, size / 2])
        np.testing.assert_array_equal(split.labels, np.arange(size) % 2)
        np.testing.assert_array_equal(split.ids, np.arange(size))


@pytest.mark.parametrize(("label", "mean"), [(0, 0.0), (1, 0.1)])
def test_moments_of_each_class(gaussian, label, mean):
    for split in gaussian.splits.values():
        values = flat(split)[split.labels == label]
        count = len(values)
        assert abs(values.mean() - mean) < 4 / (count * DIMENSIONS) ** 0.5
        assert abs(values.var() - 1) < 4 * (2 / (count * DIMENSIONS)) ** 0.5
        # Every dimension has the mean: the squared deviations of the means follow chi squared.
        excess = count * np.square(values.mean(axis=0) - mean).sum()
        assert stats.chi2(DIMENSIONS).cdf(excess) == pytest.approx(0.5, abs=0.499)
        # Dimensions are independent: here neighbours are uncorrelated.
        correlation = ((values[:, 1:] - mean) * (values[:, :-1] - mean)).mean()
        assert abs(correlation) < 4 / (count * (DIMENSIONS - 1)) ** 0.5


def test_values_are_normal(gaussian):
    values = flat(gaussian.test)[::2].ravel()[:100_000]
    assert stats.kstest(values, "norm").pvalue > 0.001


def test_the_splits_are_different_draws(gaussian):
    train, test = flat(gaussian.train)[:1000], flat(gaussian.test)
    assert abs(np.corrcoef(train.ravel(), test.ravel())[0, 1]) < 0.005


def within_chance(accuracy, expected, count):
    return abs(accuracy - expected) < 4 * (expected * (1 - expected) / count) ** 0.5


def test_the_best_classifier_is_as_good_as_theory_says(gaussian):
    # The distance between the means over twice the std along the line that joins them.
    best = stats.norm.cdf(0.1 * DIMENSIONS**0.5 / 2)
    assert best == pytest.approx(0.9972, abs=5e-5)
    for split in gaussian.splits.values():
        predicted = flat(split).sum(axis=1) > DIMENSIONS * 0.1 / 2
        assert within_chance((predicted == split.labels).mean(), best, len(split))


def test_a_classifier_learned_from_the_means_is_as_good_as_theory_says(gaussian):
    train, test = flat(gaussian.train), flat(gaussian.test)
    means = [train[gaussian.train.labels == label].mean(axis=0) for label in (0, 1)]
    weights = means[1] - means[0]
    predicted = (test - np.mean(means, axis=0)) @ weights > 0
    distance = 0.1**2 * DIMENSIONS
    expected = stats.norm.cdf(distance**0.5 / 2 / (1 + 2 * DIMENSIONS / (2500 * distance)) ** 0.5)
    assert expected == pytest.approx(0.9962, abs=5e-5)
    assert within_chance((predicted == gaussian.test.labels).mean(), expected, len(test))

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from ensemble_jax.analysis import (
    accuracy_by_class,
    brier_score,
    class_table,
    confusion,
    ensemble_accuracy,
    expected_calibration_error,
    reliability_table,
)

# Confidences 0.6, 0.6, 0.9, 1.0, of which the second is wrong.
PROBABILITIES = np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9], [0.0, 1.0]])
LABELS = np.array([0, 1, 1, 1])


@st.composite
def labelled(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_classes, num_examples = draw(st.integers(2, 4)), draw(st.integers(1, 30))
    probabilities = rng.dirichlet(np.ones(num_classes), num_examples)
    return probabilities, rng.integers(0, num_classes, num_examples)


def test_are_the_hand_computed_tables():
    table = reliability_table(PROBABILITIES, LABELS, num_bins=5)
    np.testing.assert_allclose(table.edges, [0, 0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_array_equal(table.counts, [0, 0, 2, 0, 2])
    np.testing.assert_allclose(table.confidence, [np.nan, np.nan, 0.6, np.nan, 0.95])
    np.testing.assert_allclose(table.accuracy, [np.nan, np.nan, 0.5, np.nan, 1])
    np.testing.assert_allclose(table.standard_error, [np.nan, np.nan, 8**-0.5, np.nan, 0])
    assert expected_calibration_error(PROBABILITIES, LABELS, 5) == pytest.approx(0.075)
    np.testing.assert_array_equal(
        confusion([0, 0, 1, 1], LABELS, num_classes=3), [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    )


def test_an_ensemble_may_know_more_than_its_members():
    members = np.array([[[0.9, 0.1], [0.4, 0.6]], [[0.4, 0.6], [0.9, 0.1]]])
    accuracy, error = ensemble_accuracy(members, [0, 0])
    assert (accuracy, error) == (1, 0)
    assert ensemble_accuracy(members, [0, 1])[1] == pytest.approx(8**-0.5)


@settings(deadline=None)
@given(labelled(), st.integers(1, 20))
def test_bins_hold_what_a_loop_finds(given_, num_bins):
    probabilities, labels = given_
    table = reliability_table(probabilities, labels, num_bins)
    error = 0.0
    for b, (low, high) in enumerate(zip(table.edges, table.edges[1:], strict=False)):
        rows = [(p.max(), p.argmax() == y) for p, y in zip(probabilities, labels, strict=True)]
        inside = [row for row in rows if low < row[0] <= high]
        assert table.counts[b] == len(inside)
        if inside:
            confidence, accuracy = np.mean(inside, axis=0)
            assert table.confidence[b] == pytest.approx(confidence)
            assert table.accuracy[b] == pytest.approx(accuracy)
            error += len(inside) / len(rows) * abs(confidence - accuracy)
    assert expected_calibration_error(probabilities, labels, num_bins) == pytest.approx(error)


@settings(deadline=None)
@given(labelled())
def test_one_bin_compares_the_means_and_more_bins_find_no_less(given_):
    probabilities, labels = given_
    one = expected_calibration_error(probabilities, labels, num_bins=1)
    accuracy = (probabilities.argmax(-1) == labels).mean()
    assert one == pytest.approx(abs(accuracy - probabilities.max(-1).mean()))
    assert expected_calibration_error(probabilities, labels, num_bins=8) >= one - 1e-12


def test_is_the_curve_of_scikit_learn():
    rng = np.random.default_rng(0)
    probability = 0.5 + rng.random(500) / 2
    labels = (rng.random(500) < probability).astype(int)
    table = reliability_table(np.stack([1 - probability, probability], -1), labels, num_bins=10)
    accuracy, confidence = calibration_curve(labels, probability, n_bins=10)
    np.testing.assert_allclose(table.accuracy[table.counts > 0], accuracy)
    np.testing.assert_allclose(table.confidence[table.counts > 0], confidence)


def test_calibrated_probabilities_have_a_small_error():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 20000)
    labels = (rng.random((20000, 1)) > probabilities.cumsum(-1)).sum(-1).clip(0, 3)
    assert expected_calibration_error(probabilities, labels) < 0.02
    sharpened = probabilities**3 / (probabilities**3).sum(-1, keepdims=True)
    assert expected_calibration_error(sharpened, labels) > 0.1
    assert brier_score(probabilities, labels) < brier_score(sharpened, labels)


@settings(deadline=None)
@given(labelled())
def test_brier_is_the_mean_of_squared_errors(given_):
    probabilities, labels = given_
    onehot = np.eye(probabilities.shape[1])[labels]
    expected = ((probabilities - onehot) ** 2).sum(-1).mean()
    assert brier_score(probabilities, labels) == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(labelled())
def test_class_table_is_that_of_scikit_learn(given_):
    probabilities, labels = given_
    num_classes = probabilities.shape[1]
    predictions = probabilities.argmax(-1)
    table = class_table(predictions, labels, num_classes)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predictions, labels=range(num_classes), zero_division=np.nan
    )
    np.testing.assert_allclose(table.precision, precision)
    np.testing.assert_allclose(table.recall, recall)
    np.testing.assert_array_equal(table.support, support)
    known = ~np.isnan(table.precision) & ~np.isnan(table.recall)
    np.testing.assert_allclose(table.f1[known], f1[known])


def test_class_table_of_members_is_that_of_each():
    rng = np.random.default_rng(0)
    predictions, labels = rng.integers(0, 3, (4, 50)), rng.integers(0, 3, 50)
    table = class_table(predictions, labels, 3)
    np.testing.assert_allclose(table.recall, accuracy_by_class(predictions == labels, labels, 3))
    for member in range(4):
        of_one = class_table(predictions[member], labels, 3)
        np.testing.assert_array_equal(table.f1[member], of_one.f1)
        np.testing.assert_array_equal(table.support, of_one.support)


def test_refuses():
    with pytest.raises(ValueError, match="num_bins must be at least 1, got 0"):
        reliability_table(PROBABILITIES, LABELS, 0)
    with pytest.raises(ValueError, match=r"\[N, M, K\]"):
        ensemble_accuracy(PROBABILITIES, LABELS)
    with pytest.raises(ValueError, match=r"predictions must lie in 0..1, got 2"):
        class_table([2], [0], 2)
    with pytest.raises(ValueError, match=r"labels must be \[2\]"):
        confusion([0, 1], [0], 2)

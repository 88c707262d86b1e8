import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_jax.analysis import (
    QualityScore,
    class_thresholds,
    confident_joint,
    label_quality,
    noise_matrix,
)

# Thresholds 0.6 and 0.7 by hand.
PROBABILITIES = np.array(
    [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.3, 0.7], [0.35, 0.65], [0.25, 0.75]]
)
LABELS = np.array([0, 0, 0, 1, 1, 1])


@st.composite
def labelled(draw):
    """Probabilities, labels with every class among them, and K."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_classes = draw(st.integers(2, 5))
    num_examples = num_classes + draw(st.integers(0, 20))
    labels = np.arange(num_examples) % num_classes
    rng.shuffle(labels)
    return rng.dirichlet(np.full(num_classes, 0.5), num_examples), labels


def make_noisy(num_examples=3000, num_classes=4, seed=0):
    """Held-out probabilities of labels of which a fifth is wrong, and which."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, num_classes, num_examples)
    wrong = rng.random(num_examples) < 0.2
    labels = np.where(
        wrong, (truth + rng.integers(1, num_classes, num_examples)) % num_classes, truth
    )
    logits = 3.0 * np.eye(num_classes)[truth] + rng.normal(0, 1, (num_examples, num_classes))
    odds = np.exp(logits)
    return odds / odds.sum(-1, keepdims=True), labels, wrong


def test_are_the_hand_computed_tables():
    np.testing.assert_allclose(class_thresholds(PROBABILITIES, LABELS), [0.6, 0.7])
    found = confident_joint(PROBABILITIES, LABELS)
    np.testing.assert_array_equal(found.suggested, [0, 0, 1, 1, -1, 1])
    np.testing.assert_array_equal(found.counts, [[2, 1], [0, 2]])
    np.testing.assert_allclose(noise_matrix(found.counts, LABELS), [[1 / 3, 1 / 6], [0, 0.5]])
    np.testing.assert_allclose(
        label_quality(PROBABILITIES, LABELS), [0.9, 0.7, 0.2, 0.7, 0.65, 0.75]
    )
    np.testing.assert_allclose(
        label_quality(PROBABILITIES, LABELS, QualityScore.NORMALIZED_MARGIN),
        [0.9, 0.7, 0.2, 0.7, 0.65, 0.75],
    )
    # 0.9 - 0.6 + 0.7 and 0.1 - 0.7 + 0.7, over their sum.
    assert label_quality(PROBABILITIES, LABELS, adjusted=True)[0] == pytest.approx(1.0 / 1.1)


@settings(deadline=None)
@given(labelled())
def test_are_what_a_loop_finds(given_):
    probabilities, labels = given_
    num_classes = probabilities.shape[1]
    thresholds = [
        np.mean([p[k] for p, y in zip(probabilities, labels, strict=True) if y == k])
        for k in range(num_classes)
    ]
    found = confident_joint(probabilities, labels)
    np.testing.assert_allclose(found.thresholds, thresholds)
    counts = np.zeros((num_classes, num_classes), int)
    for row, label, suggested in zip(probabilities, labels, found.suggested, strict=True):
        confident = [k for k in range(num_classes) if row[k] >= thresholds[k] - 1e-6]
        if not confident:
            assert suggested == -1
            continue
        best = max(confident, key=lambda k: row[k])
        assert suggested == best
        counts[label, best] += 1
    np.testing.assert_array_equal(found.counts, counts)


@settings(deadline=None)
@given(labelled(), st.sampled_from(QualityScore), st.booleans(), st.randoms())
def test_quality_lies_in_its_range_and_follows_the_examples(given_, score, adjusted, random):
    probabilities, labels = given_
    quality = label_quality(probabilities, labels, score, adjusted)
    assert (quality >= -1e-12).all()
    assert (quality <= 1 + 1e-12).all()
    order = random.sample(range(len(labels)), len(labels))
    moved = label_quality(probabilities[order], labels[order], score, adjusted)
    np.testing.assert_allclose(moved, quality[order], atol=1e-12)


@settings(deadline=None)
@given(labelled(), st.data())
def test_quality_rises_with_the_probability_of_the_label(given_, data):
    probabilities, labels = given_
    example = data.draw(st.integers(0, len(labels) - 1))
    surer = probabilities.copy()
    surer[example] = 0.5 * surer[example] + 0.5 * np.eye(surer.shape[1])[labels[example]]
    for score in QualityScore:
        before = label_quality(probabilities, labels, score)[example]
        assert label_quality(surer, labels, score)[example] >= before - 1e-12


@settings(deadline=None)
@given(labelled())
def test_the_noise_matrix_has_the_shares_of_the_labels(given_):
    probabilities, labels = given_
    counts = confident_joint(probabilities, labels).counts
    if not (counts.sum(axis=1) > 0).all():
        return
    shares = noise_matrix(counts, labels).sum(axis=1)
    np.testing.assert_allclose(shares, np.bincount(labels) / len(labels))


def test_estimates_the_noise_and_finds_it():
    probabilities, labels, wrong = make_noisy()
    found = confident_joint(probabilities, labels)
    noise = 1 - np.trace(noise_matrix(found.counts, labels))
    assert noise == pytest.approx(wrong.mean(), abs=0.03)
    suspect = (found.suggested != labels) & (found.suggested >= 0)
    assert wrong[suspect].mean() > 0.8
    for score in QualityScore:
        quality = label_quality(probabilities, labels, score)
        assert quality[wrong].mean() < 0.3 < quality[~wrong].mean()


def test_a_class_without_examples_is_never_suggested():
    probabilities = np.array([[0.2, 0.3, 0.5], [0.1, 0.7, 0.2]])
    found = confident_joint(probabilities, [0, 1])
    assert found.thresholds[2] == 1
    assert 2 not in found.suggested


@pytest.fixture(scope="module")
def cleanlab():
    return pytest.importorskip("cleanlab", reason="cleanlab is not installed")


@pytest.mark.usefixtures("cleanlab")
class TestCleanlab:
    """The library of the paper's authors, where it is installed."""

    @pytest.mark.parametrize("seed", range(3))
    def test_counts_the_same(self, seed):
        from cleanlab.count import (
            compute_confident_joint,
            estimate_joint,
            get_confident_thresholds,
        )

        probabilities, labels, _ = make_noisy(seed=seed)
        found = confident_joint(probabilities, labels)
        np.testing.assert_allclose(
            found.thresholds, get_confident_thresholds(labels, probabilities)
        )
        theirs = compute_confident_joint(labels, probabilities, calibrate=False)
        np.testing.assert_array_equal(found.counts, theirs)
        joint = estimate_joint(labels, probabilities, confident_joint=theirs)
        # Theirs is of whole examples.
        np.testing.assert_allclose(noise_matrix(found.counts, labels), joint, atol=1 / len(labels))

    @pytest.mark.parametrize("score", QualityScore)
    @pytest.mark.parametrize("adjusted", [False, True])
    def test_scores_the_same(self, score, adjusted):
        from cleanlab.rank import get_label_quality_scores

        probabilities, labels, _ = make_noisy()
        theirs = get_label_quality_scores(
            labels, probabilities, method=score.value, adjust_pred_probs=adjusted
        )
        np.testing.assert_allclose(label_quality(probabilities, labels, score, adjusted), theirs)


@pytest.mark.parametrize("function", [class_thresholds, confident_joint, label_quality])
@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (PROBABILITIES[np.newaxis], LABELS, r"must be \[M, K\]"),
        (PROBABILITIES, LABELS + 1, "labels must lie in 0..1, got 2"),
        (PROBABILITIES, LABELS[:3], r"labels must be \[6\], got the shape \(3,\)"),
        (PROBABILITIES * [2, 0], LABELS, "got 1.8"),
        (np.full((6, 2), np.nan), LABELS, "got nan"),
    ],
)
def test_refuses(function, probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        function(probabilities, labels)


def test_refuses_what_is_no_joint():
    with pytest.raises(ValueError, match=r"joint must be \[K, K\]"):
        noise_matrix(np.zeros((2, 2)), [0])
    with pytest.raises(ValueError, match="at least 2 classes"):
        label_quality([[1.0]], [0])

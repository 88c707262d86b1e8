import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from ensemble_jax.classifiers import Classifier, boost_linear_classifiers, train_classifiers

PIXELS, LABELS = (array[:400] for array in load_digits(return_X_y=True))
IMAGES = (PIXELS * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
TRAIN, TEST = slice(0, 300), slice(300, 400)


def learn(classifier, seeds=(0,)):
    asked = {"train": IMAGES[TRAIN], "test": IMAGES[TEST]}
    return train_classifiers(classifier, IMAGES[TRAIN], LABELS[TRAIN], asked, seeds)


class TestStandardClassifiers:
    @pytest.mark.parametrize("classifier", Classifier)
    def test_each_learns_and_gives_the_axes_of_a_collection(self, classifier):
        predictions = learn(classifier, seeds=(0, 1))
        assert {name: of.shape for name, of in predictions.items()} == {
            "train": (1, 2, 300),
            "test": (1, 2, 100),
        }
        assert all(of.dtype == np.uint8 for of in predictions.values())
        assert (predictions["test"] == LABELS[TEST]).mean() > 0.6

    @pytest.mark.parametrize("classifier", Classifier)
    def test_a_member_is_its_seed(self, classifier):
        both = learn(classifier, seeds=(3, 5))["test"]
        np.testing.assert_array_equal(both[:, 1:], learn(classifier, seeds=(5,))["test"])
        with_chance = {
            Classifier.PERCEPTRON,
            Classifier.DECISION_TREE,
            Classifier.RANDOM_FOREST,
        }
        assert (both[0, 0] != both[0, 1]).any() == (classifier in with_chance)

    def test_bytes_are_pixels_and_other_numbers_are_taken_as_they_are(self):
        by_hand = RandomForestClassifier(random_state=0)
        by_hand.fit(IMAGES[TRAIN].reshape(300, -1) / 255, LABELS[TRAIN])
        expected = by_hand.predict(IMAGES[TEST].reshape(100, -1) / 255)
        np.testing.assert_array_equal(learn(Classifier.RANDOM_FOREST)["test"][0, 0], expected)
        scaled = IMAGES / 255
        floats = train_classifiers(
            Classifier.RANDOM_FOREST, scaled[TRAIN], LABELS[TRAIN], {"test": scaled[TEST]}
        )
        np.testing.assert_array_equal(floats["test"][0, 0], expected)

    def test_many_classes_need_a_wider_type(self):
        inputs, labels = np.arange(300.0)[:, None], np.arange(300)
        predictions = train_classifiers(Classifier.NAIVE_BAYES, inputs, labels, {"all": inputs})
        assert predictions["all"].dtype == np.uint16

    @pytest.mark.parametrize(
        ("inputs", "labels", "asked", "message"),
        [
            (np.zeros((3, 2)), [0, 1], {}, r"\[M, ...\] and labels \[M\]"),
            (np.zeros(3), [0, 1, 0], {}, r"\[M, ...\] and labels \[M\]"),
            (np.zeros((0, 2)), [], {}, "at least one example"),
            (np.zeros((2, 2)), [0.0, 1.0], {}, "labels must be integers"),
            (np.zeros((2, 2)), [0, -1], {}, "from -1 on"),
            (
                np.zeros((2, 2)),
                [0, 1],
                {"test": np.zeros((2, 3))},
                r"test must be float64 \[M, 2\]",
            ),
            (np.zeros((2, 2)), [0, 1], {"test": np.zeros((2, 2), "u1")}, "got uint8"),
        ],
    )
    @pytest.mark.parametrize("train", [train_classifiers, boost_linear_classifiers])
    def test_refuses_what_does_not_fit_together(self, train, inputs, labels, asked, message):
        first = () if train is boost_linear_classifiers else (Classifier.KNN,)
        with pytest.raises(ValueError, match=message):
            train(*first, inputs, labels, asked)

    def test_refuses_no_member(self):
        with pytest.raises(ValueError, match="at least one"):
            learn(Classifier.KNN, seeds=())


@pytest.fixture(scope="module")
def stages():
    asked = {"train": IMAGES[TRAIN], "test": IMAGES[TEST]}
    # Weak enough that the first learner is wrong on every second digit.
    return boost_linear_classifiers(
        IMAGES[TRAIN], LABELS[TRAIN], asked, num_learners=12, regularisation=0.01
    )


class TestBoosting:
    def test_gives_a_stage_for_each_number_of_learners(self, stages):
        assert stages["train"].shape == (12, 1, 300)
        assert stages["test"].shape == (12, 1, 100)
        assert stages["test"].dtype == np.uint8

    def test_one_learner_is_a_weighted_regression(self, stages):
        rows = IMAGES.reshape(400, -1) / 255
        rows = rows - rows[TRAIN].mean(axis=0)
        alone = LogisticRegression(C=0.01, max_iter=1000)
        alone.fit(rows[TRAIN], LABELS[TRAIN], np.full(300, 1 / 300))
        np.testing.assert_array_equal(stages["test"][0, 0], alone.predict(rows[TEST]))

    def test_more_learners_know_more(self, stages):
        accuracy = (stages["train"] == LABELS[TRAIN]).mean(axis=(1, 2))
        assert accuracy[-1] > accuracy[0] + 0.1

    def test_an_early_end_repeats_the_last_stage(self):
        # A perfect first learner leaves nothing to boost.
        inputs, labels = np.array([[0.0], [1.0]] * 4), [0, 1] * 4
        stages = boost_linear_classifiers(inputs, labels, {"all": inputs}, num_learners=5)
        np.testing.assert_array_equal(stages["all"], np.tile(labels, (5, 1, 1)))

    @pytest.mark.parametrize(
        ("labels", "options", "message"),
        [
            ([0, 1], {"num_learners": 0}, "num_learners must be at least 1, got 0"),
            ([0, 1], {"regularisation": 0.0}, "regularisation must be above 0, got 0.0"),
            ([1, 1], {}, "at least two classes"),
        ],
    )
    def test_refuses_what_cannot_be_boosted(self, labels, options, message):
        with pytest.raises(ValueError, match=message):
            boost_linear_classifiers(np.eye(2), labels, {}, **options)


# Measured with scikit-learn 1.9.1; the SVM needs half a minute and is left to the experiment.
@pytest.mark.parametrize(
    ("classifier", "accuracy"),
    [
        (Classifier.KNN, 0.382),
        (Classifier.DECISION_TREE, 0.308),
        (Classifier.NAIVE_BAYES, 0.382),
    ],
)
def test_accuracy_on_small_mammals_is_the_known_one(real_data, classifier, accuracy):
    with np.load(real_data / "small_mammals.npz") as data:
        predictions = train_classifiers(
            classifier, data["train_images"], data["train_labels"], {"test": data["test_images"]}
        )
        measured = (predictions["test"] == data["test_labels"]).mean()
    assert measured == pytest.approx(accuracy, abs=0.02)


def test_needs_no_jax():
    program = "import sys, ensemble_jax.classifiers; print('jax' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"

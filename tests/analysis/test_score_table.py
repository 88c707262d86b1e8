import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from ensemble_jax import analysis
from ensemble_jax.analysis import (
    AXES,
    SCORES,
    detect_wrong,
    label_quality,
    member_accessibility,
    member_mean,
    score_examples,
)

NUM_CLASSES = 3


def make_arrays(num_members=30, num_examples=200, num_extents=8, seed=0):
    """Members of random halves that learn right labels early, and wrong ones late, if trained on.

    Every quantity follows from the same logits. With the labels and which of them are wrong.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, NUM_CLASSES, num_examples)
    wrong = rng.random(num_examples) < 0.15
    labels = np.where(wrong, (truth + 1) % NUM_CLASSES, truth)
    mask = rng.random((num_members, num_examples)).argsort(axis=1) < num_examples // 2
    epochs = np.linspace(0, 1, num_extents)[:, np.newaxis, np.newaxis, np.newaxis]
    difficulty = rng.random((num_examples, 1))
    learned = np.clip(2 * epochs - difficulty, 0, 1) * 6 * np.eye(NUM_CLASSES)[truth]
    by_heart = np.clip(2 * epochs - 1, 0, 1) * 9 * np.eye(NUM_CLASSES)[labels] * mask[..., None]
    logits = learned + by_heart + rng.normal(0, 1, (num_extents, *mask.shape, NUM_CLASSES))
    odds = np.exp(logits)
    probabilities = odds / odds.sum(-1, keepdims=True)
    predictions = logits.argmax(-1)
    arrays = {
        "correct": predictions == labels,
        "predictions": predictions,
        "label_probability": analysis.label_probability(probabilities, labels).astype(np.float16),
        "margin": analysis.label_margin(logits, labels).astype(np.float16),
        "probabilities": probabilities[-1].astype(np.float16),
        "train_mask": mask,
        "labels": labels,
    }
    return arrays, wrong


ARRAYS, WRONG = make_arrays()


@pytest.mark.parametrize("name", SCORES)
class TestEveryScore:
    def test_is_of_each_example(self, name):
        found = score_examples(ARRAYS, [name])[name]
        assert found.value.shape == found.standard_error.shape == WRONG.shape
        assert np.isfinite(found.value).all()
        of_members = np.ndim(SCORES[name](ARRAYS)) == 2
        assert of_members or not SCORES[name].each_member_alone
        if of_members:
            assert (found.standard_error >= 0).all()

    def test_finds_wrong_labels_better_than_chance(self, name):
        found = detect_wrong(score_examples(ARRAYS, [name]), WRONG)[name]
        # What varies here is what is learned slowly, and a wrong label is not learned at all.
        assert found.auroc > 0.55 or name == "variability"

    def test_says_where_it_is_from_and_takes_known_arrays(self, name):
        score = SCORES[name]
        assert score.name == name
        assert any(character.isdigit() for character in score.source)
        assert set(score.needs) <= set(AXES)

    def test_does_not_depend_on_the_order_of_members_and_examples(self, name):
        rng = np.random.default_rng(1)
        order = {"N": rng.permutation(30), "M": rng.permutation(200)}
        moved = dict(ARRAYS)
        for array, axes in AXES.items():
            for axis, places in order.items():
                if axis in axes:
                    moved[array] = np.take(moved[array], places, axes.index(axis))
        expected = score_examples(ARRAYS, [name])[name].value[order["M"]]
        found = score_examples(moved, [name])[name].value
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

    def test_leaves_the_arrays_as_they_are(self, name):
        before = {array: values.copy() for array, values in ARRAYS.items()}
        SCORES[name](ARRAYS)
        for array, values in ARRAYS.items():
            np.testing.assert_array_equal(values, before[array])


class TestTable:
    def test_gives_all_that_the_arrays_suffice_for(self):
        assert list(score_examples(ARRAYS)) == list(SCORES)
        few = score_examples({"correct": ARRAYS["correct"]})
        assert set(few) == {name for name, score in SCORES.items() if score.needs == ("correct",)}

    def test_averages_over_members_that_count(self):
        where = ~ARRAYS["train_mask"]
        found = score_examples(ARRAYS, ["accessibility"], where)["accessibility"]
        expected = member_mean(member_accessibility(ARRAYS["correct"]), where)
        np.testing.assert_array_equal(found.value, expected.mean)
        np.testing.assert_array_equal(found.standard_error, expected.standard_error)

    def test_scores_labels_by_held_out_members(self):
        mean = member_mean(ARRAYS["probabilities"], ~ARRAYS["train_mask"]).mean
        found = score_examples(ARRAYS, ["self_confidence", "held_out_confidence"])
        np.testing.assert_allclose(
            found["self_confidence"].value, label_quality(mean, ARRAYS["labels"])
        )
        np.testing.assert_allclose(
            found["held_out_confidence"].value, found["self_confidence"].value, atol=1e-3
        )

    def test_an_example_that_all_members_saw_has_no_held_out_quality(self):
        arrays = dict(ARRAYS, train_mask=ARRAYS["train_mask"] | (np.arange(200) < 5))
        quality = score_examples(arrays, ["self_confidence"])["self_confidence"].value
        np.testing.assert_array_equal(np.isnan(quality), np.arange(200) < 5)
        everyone = dict(ARRAYS, train_mask=np.ones((30, 200), bool))
        assert np.isnan(
            score_examples(everyone, ["adjusted_normalized_margin"]).popitem()[1][0]
        ).all()

    def test_members_that_never_learn_can_be_averaged(self):
        arrays = {"correct": np.zeros((3, 2, 1), bool)}
        for name in ("forgetting_events", "first_learned", "learning_time"):
            assert score_examples(arrays, [name])[name].value == 3

    @pytest.mark.parametrize(
        ("arrays", "names", "message"),
        [
            ({"labels": [0]}, ["other"], "names must be of consistency, .*, got other"),
            ({"labels": [0]}, ["el2n"], "el2n needs probabilities, got labels"),
            ({"other": [0]}, None, "arrays must be of correct, .* got other"),
            ({"correct": [[0]]}, None, r"correct must be \[E, N, M\], got the shape \(1, 1\)"),
            (
                {"correct": np.zeros((1, 2, 3)), "labels": [0, 1]},
                None,
                "labels with M = 2 beside 3",
            ),
        ],
    )
    def test_refuses(self, arrays, names, message):
        with pytest.raises(ValueError, match=message):
            score_examples(arrays, names)

    def test_detects_only_with_known_scores(self):
        found = score_examples(ARRAYS, ["consistency"])
        with pytest.raises(ValueError, match=r"estimates must be of consistency, .*, got other"):
            detect_wrong({"other": found["consistency"]}, WRONG)


class TestOtherFrameworks:
    """Arrays of scikit-learn's classifiers and of PyTorch's tensors are taken as they are."""

    def test_of_scikit_learn(self):
        from sklearn.datasets import load_digits
        from sklearn.linear_model import SGDClassifier

        digits, labels = load_digits(return_X_y=True)
        inputs, labels = digits[:200] / 16, labels[:200]
        wrong = np.arange(200) % 10 == 0
        train_labels = np.where(wrong, (labels + 1) % 10, labels)
        rng = np.random.default_rng(0)
        masks = rng.random((8, 200)) < 0.5
        probabilities = []
        for seed, mask in enumerate(masks):
            model = SGDClassifier(loss="log_loss", random_state=seed)
            history = []
            for _ in range(5):
                model.partial_fit(inputs[mask], train_labels[mask], classes=range(10))
                history.append(model.predict_proba(inputs))
            probabilities.append(history)
        history = np.moveaxis(probabilities, 1, 0)
        arrays = {
            "correct": (history.argmax(-1) == train_labels).tolist(),
            "predictions": history.argmax(-1),
            "label_probability": analysis.label_probability(history, train_labels),
            "margin": analysis.label_margin(np.log(history + 1e-9), train_labels),
            "probabilities": history[-1],
            "train_mask": masks.tolist(),
            "labels": train_labels.tolist(),
        }
        found = detect_wrong(score_examples(arrays), wrong)
        assert list(found) == list(SCORES)
        assert found["self_confidence"].auroc > 0.9
        assert found["memorization"].auroc > 0.6

    def test_of_pytorch(self):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        tensors = {
            name: torch.as_tensor(np.ascontiguousarray(array)) for name, array in ARRAYS.items()
        }
        logits = torch.randn(4, 20, 3, generator=torch.Generator().manual_seed(0))
        softmax = logits.softmax(-1)
        labels = torch.arange(20) % 3
        own = torch.gather(softmax, -1, labels.expand(4, 20)[..., None])[..., 0]
        np.testing.assert_array_equal(analysis.label_probability(softmax, labels), own)
        expected = score_examples(ARRAYS)
        for name, found in score_examples(tensors).items():
            np.testing.assert_array_equal(found.value, expected[name].value)

    def test_of_jax(self):
        import jax.numpy as jnp

        arrays = {name: jnp.asarray(array) for name, array in ARRAYS.items()}
        expected = score_examples(ARRAYS)
        for name, found in score_examples(arrays).items():
            np.testing.assert_array_equal(found.value, expected[name].value)


def test_names_are_those_of_the_arguments():
    """What a score is given by name is what its function calls it."""
    for score in SCORES.values():
        if inspect.isfunction(score.function):
            assert set(score.needs) <= set(inspect.signature(score.function).parameters)


def test_the_page_of_scores_is_up_to_date():
    page = (Path(__file__).parents[2] / "docs" / "scores.md").read_text(encoding="utf-8")
    for score in SCORES.values():
        needs = ", ".join(f"`{need}`" for need in score.needs)
        meaning = "hard" if score.hard_is_large else "easy"
        assert f"| `{score.name}` | {needs} | {meaning} | {score.source} |\n" in page
    for name in re.findall(r"`([a-z_0-9]+)`", page.partition("## Beside it")[2]):
        assert name in analysis.__all__

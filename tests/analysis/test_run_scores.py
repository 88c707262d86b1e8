from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.special import softmax

from ensemble_jax.analysis import (
    SCORES,
    arrays_of_run,
    example_scores,
    label_margin,
    label_probability,
    score_examples,
)

N, M, K = 8, 40, 3
EXTENTS = (0, 1, 5)
ALL = ("label_probability", "margin", "probabilities", "logits")


@dataclass
class FakeRun:
    """What is read of a run, from logits by split `[E, N, M, K]`; counts what it reads."""

    logits: dict
    labels: dict
    train_mask: np.ndarray
    quantities: tuple[str, ...] = ALL
    extents: tuple[int, ...] = EXTENTS
    read: list = field(default_factory=list)

    @property
    def recorded_quantities(self):
        return dict.fromkeys(self.logits, self.quantities)

    def _at(self, split, extents):
        return self.logits[split][[EXTENTS.index(extent) for extent in np.atleast_1d(extents)]]

    def predictions(self, name, extents):
        return self._at(name, extents).argmax(-1)

    def correct(self, split, extents):
        return self.predictions(split, extents) == self.labels[split]

    def recorded(self, quantity, name, extents):
        assert quantity in self.quantities
        self.read.append((quantity, name, np.atleast_1d(extents).tolist()))
        logits = self._at(name, extents)
        probabilities = softmax(logits, axis=-1)
        of = {
            "logits": lambda: logits,
            "probabilities": lambda: probabilities,
            "label_probability": lambda: label_probability(probabilities, self.labels[name]),
            "margin": lambda: label_margin(logits, self.labels[name]),
        }
        return of[quantity]().astype(np.float16)


def make_run(**options) -> FakeRun:
    rng = np.random.default_rng(0)
    labels = {split: rng.integers(0, K, M) for split in ("train", "test")}
    logits = {
        split: rng.normal(0, 1, (3, N, M, K))
        + np.array(EXTENTS)[:, None, None, None] * np.eye(K)[of_split] * rng.random((M, 1))
        for split, of_split in labels.items()
    }
    mask = rng.random((N, M)).argsort(axis=1) < M // 2
    return FakeRun(logits, labels, mask, **options)


def test_scores_all_that_was_recorded():
    found = example_scores(make_run())
    assert list(found) == list(SCORES)
    assert all(estimate.value.shape == (M,) for estimate in found.values())


@pytest.mark.parametrize("split", ["train", "test"])
def test_scores_are_those_of_the_arrays(split):
    run = make_run()
    arrays = {
        "correct": run.correct(split, EXTENTS),
        "predictions": run.predictions(split, EXTENTS),
        "labels": run.labels[split],
        "label_probability": run.recorded("label_probability", split, EXTENTS),
        "margin": run.recorded("margin", split, EXTENTS),
        "probabilities": run.recorded("probabilities", split, 5)[0],
        "train_mask": run.train_mask if split == "train" else np.zeros((N, M), bool),
    }
    expected = score_examples(arrays)
    for name, estimate in example_scores(run, split).items():
        np.testing.assert_array_equal(estimate.value, expected[name].value)


def test_all_members_are_held_out_of_a_test_set():
    found = example_scores(make_run(), "test")
    assert set(SCORES) - set(found) == {"memorization"}
    accuracy = make_run().correct("test", 5)[0].mean(axis=0)
    np.testing.assert_allclose(found["c_score"].value, accuracy)


def test_none_are_held_out_where_all_train_on_everything():
    run = make_run()
    run.train_mask = np.ones((N, M), bool)
    missing = set(SCORES) - set(example_scores(run))
    assert missing == {name for name, score in SCORES.items() if "train_mask" in score.needs}


@pytest.mark.parametrize(
    ("quantities", "known"),
    [
        ((), set()),
        (("label_probability",), {"label_probability"}),
        (("probabilities",), {"label_probability", "probabilities"}),
        (("logits",), {"label_probability", "margin", "probabilities"}),
        (("entropy", "margin"), {"margin"}),
    ],
)
def test_quantities_follow_from_others(quantities, known):
    arrays, whole = arrays_of_run(make_run(quantities=quantities)), arrays_of_run(make_run())
    always = {"correct", "predictions", "labels", "train_mask"}
    assert set(arrays) == always | known
    for name, array in arrays.items():
        assert array.shape == whole[name].shape
        np.testing.assert_allclose(
            array.astype(float), whole[name].astype(float), rtol=5e-3, atol=5e-3
        )


def test_reads_the_outputs_of_one_extent_at_a_time():
    run = make_run(quantities=("logits",))
    arrays_of_run(run)
    assert all(len(extents) == 1 for _, _, extents in run.read)


def test_of_some_extents_alone():
    run = make_run()
    early = arrays_of_run(run, extents=(0, 1))
    np.testing.assert_array_equal(early["correct"], run.correct("train", (0, 1)))
    np.testing.assert_array_equal(
        early["probabilities"], run.recorded("probabilities", "train", 1)[0]
    )


def test_a_score_that_takes_more_than_was_recorded_is_refused():
    with pytest.raises(ValueError, match="area_under_margin needs margin"):
        example_scores(make_run(quantities=()), names=["area_under_margin"])

"""What members are trained on, written and read back."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from ensemble_jax.runs import RunWriter, TrainingSets, load_run, merge_runs

MASK = np.array([[(m * (n + 2)) % 3 > 0 for m in range(13)] for n in range(4)])
LABELS = (np.arange(52).reshape(4, 13) * 7) % 3


def write(toy, directory, sets, members=(0, 1, 2, 3), diverged=()):
    manifest = toy.manifest(members)
    writer = RunWriter.create(directory, manifest, toy.splits(), sets)
    for extent in manifest.extents:
        writer.write_extent(toy.record(manifest, extent, diverged if extent else ()))
    return load_run(directory)


def test_what_is_written_is_read(toy, tmp_path):
    run = write(toy, tmp_path / "run", TrainingSets(MASK, LABELS))
    np.testing.assert_array_equal(run.train_mask, MASK)
    np.testing.assert_array_equal(run.train_labels, LABELS)
    # The file is read once.
    assert run.train_mask is run.train_mask
    assert run.train_labels is run.train_labels


def test_what_older_runs_call_otherwise_is_read(toy, tmp_path):
    directory = write(toy, tmp_path / "run", TrainingSets(MASK, LABELS)).directory
    with np.load(directory / "examples.npz") as arrays:
        content = dict(arrays)
    content["trained_on"] = content.pop("train_mask")
    content["taught_labels"] = content.pop("train_labels")
    np.savez(directory / "examples.npz", allow_pickle=False, **content)
    manifest = json.loads((directory / "run.json").read_text())
    manifest |= {"format": 4, "settings": manifest.pop("hyperparameters")}
    (directory / "run.json").write_text(json.dumps(manifest))
    run = load_run(directory)
    np.testing.assert_array_equal(run.train_mask, MASK)
    np.testing.assert_array_equal(run.train_labels, LABELS)
    np.testing.assert_allclose(run.hyperparameters["learning_rate"], [0, 0.1, 0.2, 0.3])


def test_members_that_diverged_are_left_out(toy, tmp_path):
    run = write(toy, tmp_path / "run", TrainingSets(MASK, LABELS), diverged=[1])
    np.testing.assert_array_equal(run.train_mask, MASK[[0, 2, 3]])
    np.testing.assert_array_equal(run.train_labels, LABELS[[0, 2, 3]])


@pytest.mark.parametrize("sets", [None, TrainingSets(MASK)])
def test_without_labels_of_their_own_members_are_taught_those_of_the_set(toy, tmp_path, sets):
    run = write(toy, tmp_path / "run", sets)
    np.testing.assert_array_equal(run.train_labels, [run.labels["train"]] * 4)
    np.testing.assert_array_equal(run.train_mask, np.ones((4, 13)) if sets is None else MASK)


def test_merged_members_keep_theirs(toy, tmp_path):
    first = write(toy, tmp_path / "a", TrainingSets(MASK[2:], LABELS[2:]), members=(2, 3))
    second = write(toy, tmp_path / "b", TrainingSets(MASK[:2]), members=(0, 1))
    merged = merge_runs([first.directory, second.directory], tmp_path / "merged")
    np.testing.assert_array_equal(merged.train_mask, MASK)
    np.testing.assert_array_equal(merged.train_labels[2:], LABELS[2:])
    np.testing.assert_array_equal(merged.train_labels[:2], second.train_labels)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (TrainingSets(MASK[:3]), "train_mask must be bool [4, 13], got bool [3, 13]"),
        (TrainingSets(MASK.astype(int)), "train_mask must be bool [4, 13], got int64"),
        (TrainingSets(MASK, LABELS + 1), "train_labels must be [4, 13] in 0..2, got"),
        (TrainingSets(MASK, LABELS[:, 1:]), "train_labels must be [4, 13] in 0..2, got"),
    ],
)
def test_what_does_not_fit_is_refused(toy, tmp_path, sets, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        write(toy, tmp_path / "run", sets)
    assert not (tmp_path / "run").exists()

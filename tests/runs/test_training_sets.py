"""What members are trained on, written and read back."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ensemble_jax.runs import RunWriter, TrainingSets, load_run, merge_runs

TRAINED_ON = np.array([[(m * (n + 2)) % 3 > 0 for m in range(13)] for n in range(4)])
TAUGHT = (np.arange(52).reshape(4, 13) * 7) % 3


def write(toy, directory, sets, members=(0, 1, 2, 3), diverged=()):
    manifest = toy.manifest(members)
    writer = RunWriter.create(directory, manifest, toy.splits(), sets)
    for extent in manifest.extents:
        writer.write_extent(toy.record(manifest, extent, diverged if extent else ()))
    return load_run(directory)


def test_what_is_written_is_read(toy, tmp_path):
    run = write(toy, tmp_path / "run", TrainingSets(TRAINED_ON, TAUGHT))
    np.testing.assert_array_equal(run.trained_on, TRAINED_ON)
    np.testing.assert_array_equal(run.taught_labels, TAUGHT)
    # The file is read once.
    assert run.trained_on is run.trained_on
    assert run.taught_labels is run.taught_labels


def test_members_that_diverged_are_left_out(toy, tmp_path):
    run = write(toy, tmp_path / "run", TrainingSets(TRAINED_ON, TAUGHT), diverged=[1])
    np.testing.assert_array_equal(run.trained_on, TRAINED_ON[[0, 2, 3]])
    np.testing.assert_array_equal(run.taught_labels, TAUGHT[[0, 2, 3]])


@pytest.mark.parametrize("sets", [None, TrainingSets(TRAINED_ON)])
def test_without_labels_of_their_own_members_are_taught_those_of_the_set(toy, tmp_path, sets):
    run = write(toy, tmp_path / "run", sets)
    np.testing.assert_array_equal(run.taught_labels, [run.labels["train"]] * 4)
    np.testing.assert_array_equal(run.trained_on, np.ones((4, 13)) if sets is None else TRAINED_ON)


def test_merged_members_keep_theirs(toy, tmp_path):
    first = write(toy, tmp_path / "a", TrainingSets(TRAINED_ON[2:], TAUGHT[2:]), members=(2, 3))
    second = write(toy, tmp_path / "b", TrainingSets(TRAINED_ON[:2]), members=(0, 1))
    merged = merge_runs([first.directory, second.directory], tmp_path / "merged")
    np.testing.assert_array_equal(merged.trained_on, TRAINED_ON)
    np.testing.assert_array_equal(merged.taught_labels[2:], TAUGHT[2:])
    np.testing.assert_array_equal(merged.taught_labels[:2], second.taught_labels)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (TrainingSets(TRAINED_ON[:3]), "trained_on must be bool [4, 13], got bool [3, 13]"),
        (TrainingSets(TRAINED_ON.astype(int)), "trained_on must be bool [4, 13], got int64"),
        (TrainingSets(TRAINED_ON, TAUGHT + 1), "taught_labels must be [4, 13] in 0..2, got"),
        (TrainingSets(TRAINED_ON, TAUGHT[:, 1:]), "taught_labels must be [4, 13] in 0..2, got"),
    ],
)
def test_what_does_not_fit_is_refused(toy, tmp_path, sets, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        write(toy, tmp_path / "run", sets)
    assert not (tmp_path / "run").exists()

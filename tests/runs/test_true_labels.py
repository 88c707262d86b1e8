"""What examples really are, kept beside the train labels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ensemble_jax.runs import RunWriter, TrainingSets, load_run, merge_runs, part_path

TRUE = np.array([0, 1, 2, -1, 0, 1, 2, 0, 1, 2, 0, 1, 2])


def write(toy, directory, members=(0, 1, 2, 3), sets=None, true_labels=TRUE, parts=()):
    manifest = toy.manifest(members, parts=parts)
    splits = toy.splits()
    if true_labels is not None:
        splits["train"] = SimpleNamespace(**vars(splits["train"]), true_labels=true_labels)
    writer = RunWriter.create(directory, manifest, splits, sets)
    for extent in manifest.extents:
        writer.write_extent(toy.record(manifest, extent))
    return directory


def test_they_are_read_as_they_were_written(toy, tmp_path):
    run = load_run(write(toy, tmp_path))
    true_labels = run.true_labels("train")
    assert true_labels.dtype == np.int32
    np.testing.assert_array_equal(true_labels, TRUE)
    np.testing.assert_array_equal(run.labels["train"], toy.splits()["train"].labels)
    assert run.true_labels("test") is None
    with pytest.raises(ValueError, match="split must be one of train, test, got 'noise'"):
        run.true_labels("noise")


def test_labels_that_members_were_not_taught_are_the_truth_of_these(toy, tmp_path):
    noisy = TrainingSets(np.ones((4, 13), bool), np.zeros((4, 13), int))
    run = load_run(write(toy, tmp_path / "a", sets=noisy, true_labels=None))
    np.testing.assert_array_equal(run.true_labels("train"), run.labels["train"])
    run = load_run(write(toy, tmp_path / "b", sets=noisy))
    np.testing.assert_array_equal(run.true_labels("train"), TRUE)
    subsets = TrainingSets(np.ones((4, 13), bool))
    run = load_run(write(toy, tmp_path / "c", sets=subsets, true_labels=None))
    assert run.true_labels("train") is None


def test_they_are_merged(toy, tmp_path):
    sources = [write(toy, tmp_path / str(i), members=[i]) for i in (3, 1)]
    merged = merge_runs(sources, tmp_path / "merged")
    np.testing.assert_array_equal(merged.true_labels("train"), TRUE)
    np.testing.assert_array_equal(load_run(tmp_path / "merged").true_labels("train"), TRUE)
    other = write(toy, tmp_path / "other", members=[2], true_labels=np.roll(TRUE, 1))
    with pytest.raises(ValueError, match="have different train examples"):
        merge_runs([*sources, other], tmp_path / "again")


def test_a_run_that_an_older_version_began_is_grown(toy, tmp_path):
    write(toy, tmp_path, members=[0, 1], true_labels=None, parts=[[2, 4]])
    write(toy, part_path(tmp_path, 2, 4), members=[2, 3])
    assert load_run(tmp_path).true_labels("train") is None


@pytest.mark.parametrize(
    ("true_labels", "message"),
    [
        (TRUE - 1, r"true labels of train must be integers in -1..2, got int64 in -2..1"),
        (TRUE + 1, r"true labels of train must be integers in -1..2, got int64 in 0..3"),
        (TRUE * 0.5, "true labels of train must be integers"),
        (TRUE[1:], "true labels of train must be one for each of its 13 examples, got 12"),
    ],
)
def test_what_they_cannot_be(toy, tmp_path, true_labels, message):
    with pytest.raises(ValueError, match=message):
        write(toy, tmp_path / "run", true_labels=true_labels)

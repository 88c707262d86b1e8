"""Runs of different members joined are the run of all members."""

import os
from dataclasses import replace

import numpy as np
import pytest

from ensemble_jax.runs import load_run, merge_runs


@pytest.fixture
def parts(toy, tmp_path):
    """Three runs of the members 0..6, not in order; member 4 diverged."""
    members = {"a": [3, 6], "b": [0, 1, 2], "c": [5, 4]}
    for name, ids in members.items():
        manifest = toy.manifest(ids, plan={"of": name}, devices=[name], extents=(0, 1, 5, 9))
        toy.write_run(tmp_path / name, manifest, finished=(0, 1, 5), diverged=[4])
    return [tmp_path / name for name in members]


def test_the_merged_run_is_the_whole_run(toy, tmp_path, parts):
    manifest = toy.manifest(range(7), extents=(0, 1, 5, 9))
    toy.write_run(tmp_path / "whole", manifest, finished=(0, 1, 5), diverged=[4])
    merged = merge_runs(parts, tmp_path / "merged")
    assert merged.directory == tmp_path / "merged"
    assert merged.diverged == {4: 1}
    assert merged.members.tolist() == [0, 1, 2, 3, 5, 6]
    assert not merged.finished
    for include in (False, True):
        whole = load_run(tmp_path / "whole", include_diverged=include)
        merged = load_run(tmp_path / "merged", include_diverged=include)
        assert merged.extents == whole.extents == (0, 1, 5)
        np.testing.assert_array_equal(merged.members, whole.members)
        for split in whole.splits:
            np.testing.assert_array_equal(merged.ids[split], whole.ids[split])
            np.testing.assert_array_equal(merged.labels[split], whole.labels[split])
            for read in ("correct", "predictions", "bits", "votes"):
                np.testing.assert_array_equal(
                    getattr(merged, read)(split), getattr(whole, read)(split)
                )
        for name, values in whole.metrics.items():
            np.testing.assert_array_equal(merged.metrics[name], values)
        np.testing.assert_array_equal(
            merged.hyperparameters["learning_rate"], whole.hyperparameters["learning_rate"]
        )
        assert merged.config == whole.config
    assert np.isnan(merged.train_images_per_second).all()


def test_the_merged_run_says_where_it_comes_from(tmp_path, parts):
    manifest = merge_runs(parts, tmp_path / "merged").manifest
    assert [source["directory"] for source in manifest.sources] == [str(part) for part in parts]
    assert [source["members"] for source in manifest.sources] == [[3, 6], [0, 1, 2], [5, 4]]
    assert [source["plan"] for source in manifest.sources] == [{"of": name} for name in "abc"]
    assert all(source["command"] for source in manifest.sources)


def test_a_merged_run_merges_again(tmp_path, parts):
    merge_runs(parts[:2], tmp_path / "ab")
    merged = merge_runs([parts[2], tmp_path / "ab"], tmp_path / "abc")
    assert merged.manifest.members == list(range(7))
    first, second = merged.manifest.sources
    assert (first["sources"], [part["members"] for part in second["sources"]]) == (
        [],
        [[3, 6], [0, 1, 2]],
    )


def test_the_config_names_all_members(toy, tmp_path):
    for name, ids in {"a": [2], "b": [0, 1]}.items():
        config = {"members": ids, "num_members": len(ids), "members_per_call": 4}
        toy.write_run(tmp_path / name, toy.manifest(ids, config=config))
    merged = merge_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
    assert merged.config == {"members": [0, 1, 2], "num_members": 3, "members_per_call": 4}


def pair(toy, tmp_path, *, finished=None, splits=None, **changes):
    """A run of the members 0..3 and one of 4 and 5 that is different."""
    toy.write_run(tmp_path / "a", toy.manifest())
    manifest = replace(toy.manifest(changes.pop("members", [4, 5])), **changes)
    toy.write_run(tmp_path / "b", manifest, finished=finished)
    return [tmp_path / "a", tmp_path / "b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": [7, 3, 1]}, r"a and .*b share members: \[3, 1\]"),
        (
            {"config": {"members": [4, 5], "optimizer": {"learning_rate": 0.1}}},
            r"different configs: optimizer.learning_rate: 0.05 -> 0.1; widths: .* -> \(absent\)$",
        ),
        ({"protocol": "independent"}, r'differ: protocol: "trajectory" -> "independent"$'),
        ({"extents": [0, 1]}, r"differ: extents: \[0, 1, 5\] -> \[0, 1\]$"),
        (
            {"hyperparameters": {}},
            r'differ: names of hyperparameters: \["learning_rate"\] -> \[\]$',
        ),
        ({"finished": (0,)}, r"b lacks the extents \[1, 5\] of .*a$"),
    ],
)
def test_runs_that_do_not_fit_are_refused(toy, tmp_path, changes, message):
    sources = pair(toy, tmp_path, **changes)
    for order in (sources, sources[::-1]) if "finished" in changes else (sources,):
        with pytest.raises(ValueError, match=message):
            merge_runs(order, tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_other_data_is_refused(toy, tmp_path):
    toy.write_run(tmp_path / "a", toy.manifest([0]))
    toy.write_run(tmp_path / "b", toy.manifest([1], sizes={"train": 13, "test": 9}))
    with pytest.raises(ValueError, match=r"differ: data\.split_sizes\.test: 8 -> 9$"):
        merge_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")


@pytest.mark.parametrize("array", ["labels_test", "ids_train"])
def test_other_examples_are_refused(toy, tmp_path, array):
    sources = pair(toy, tmp_path)
    path = sources[1] / "examples.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {array: arrays[array][::-1]})
    split = array.partition("_")[2]
    with pytest.raises(ValueError, match=f"a and .*b have different {split} examples"):
        merge_runs(sources, tmp_path / "merged")


def test_an_existing_destination_is_left_alone(tmp_path, parts):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "link", "a"):
        with pytest.raises(ValueError, match=f"{name} already exists: choose another path"):
            merge_runs(parts, tmp_path / name)
    assert list((tmp_path / "folder").iterdir()) == []


def test_one_run_is_nothing_to_merge(tmp_path, parts):
    with pytest.raises(ValueError, match="sources must be two or more runs, got 1"):
        merge_runs(parts[:1], tmp_path / "merged")


def test_a_source_that_is_no_run(tmp_path, parts):
    with pytest.raises(FileNotFoundError, match=r"no run at .*missing"):
        merge_runs([*parts, tmp_path / "missing"], tmp_path / "merged")


def test_a_merge_that_fails_leaves_nothing(tmp_path, parts, monkeypatch):
    def refuse(*_):
        raise OSError(28, "full")

    names = {path.name for path in tmp_path.iterdir()}
    for function in ("rename", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, refuse)
            with pytest.raises(OSError, match="full"):
                merge_runs(parts, tmp_path / "merged")
        assert {path.name for path in tmp_path.iterdir()} == names


def test_a_merge_that_was_killed_is_repeated(toy, tmp_path, parts):
    toy.write_run(tmp_path / ".merged.merging", toy.manifest(), finished=(0,))
    assert merge_runs(parts, tmp_path / "merged").extents == (0, 1, 5)
    assert not (tmp_path / ".merged.merging").exists()


def test_runs_on_other_inputs_with_the_same_names_are_refused(toy, tmp_path):
    for name, members, digest in (("one", [0, 1], "a"), ("two", [2, 3], "b")):
        inputs = {"train.inputs": digest, "train.labels": "same"}
        toy.write_run(tmp_path / name, toy.manifest(members=members, inputs=inputs))
    message = 'differ: digests of inputs.train.inputs: "a" -> "b"$'
    with pytest.raises(ValueError, match=message):
        merge_runs([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_what_cannot_be_checked_of_older_runs_is_told(toy, tmp_path, capsys):
    for name, members, inputs in (("one", [0, 1], {"train.inputs": "a"}), ("two", [2, 3], {})):
        toy.write_run(tmp_path / name, toy.manifest(members=members, inputs=inputs))
    assert merge_runs([tmp_path / "one", tmp_path / "two"], tmp_path / "both").finished
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(f"whether they have the inputs of the others is not known: {tmp_path}/two")


def test_a_merged_run_is_one_of_its_own(toy, tmp_path):
    for name, members in {"one": [0, 1], "two": [2, 3]}.items():
        toy.write_run(tmp_path / name, toy.manifest(members=members))
    merged = merge_runs([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    assert merged.manifest.run_id not in ("", "toy")

"""A run whose members lie in several folders is read as the run of all members."""

import json
import shutil
import threading

import numpy as np
import pytest

from ensemble_jax.runs import (
    RunWriter,
    TrainingSets,
    claim_folder,
    is_being_written,
    load_run,
    lock_run,
    merge_runs,
    part_path,
)

PARTS = ((0, 3), (5, 7))
MESSAGE = "parts must be ascending ranges"


def write_parts(toy, folder, *, own=(3, 4), parts=PARTS, diverged=(4,), finished=None, **changes):
    """A run with a part before its own members and one after them."""
    finished = finished or {}
    manifest = toy.manifest(own, parts=parts, **changes)
    toy.write_run(folder, manifest, finished.get(None), diverged)
    for first, end in parts:
        manifest = toy.manifest(range(first, end), **changes)
        folder_of_part = part_path(folder, first, end)
        toy.write_run(folder_of_part, manifest, finished.get(first), diverged)
    return folder


def assert_same(run, whole):
    assert run.extents == whole.extents
    assert run.finished == whole.finished
    assert run.diverged == whole.diverged
    np.testing.assert_array_equal(run.members, whole.members)
    for name in (*whole.splits, *whole.probes):
        np.testing.assert_array_equal(run.ids[name], whole.ids[name])
        for read in ("predictions", "votes"):
            np.testing.assert_array_equal(getattr(run, read)(name), getattr(whole, read)(name))
    for split in whole.splits:
        np.testing.assert_array_equal(run.labels[split], whole.labels[split])
        for read in ("correct", "bits"):
            np.testing.assert_array_equal(getattr(run, read)(split), getattr(whole, read)(split))
    for name, values in whole.metrics.items():
        np.testing.assert_array_equal(run.metrics[name], values)
    for name, values in whole.hyperparameters.items():
        np.testing.assert_array_equal(run.hyperparameters[name], values)
    for quantity in ("train_mask", "train_labels"):
        np.testing.assert_array_equal(getattr(run, quantity), getattr(whole, quantity))
    assert run.config == whole.config


@pytest.mark.parametrize("include_diverged", [False, True])
def test_parts_are_the_whole_run(toy, tmp_path, include_diverged):
    probes = {"noise": 5}
    toy.write_run(tmp_path / "whole", toy.manifest(range(7), probe_sizes=probes), diverged=[1, 4])
    write_parts(toy, tmp_path / "run", diverged=(1, 4), probe_sizes=probes)
    whole, run = (
        load_run(tmp_path / name, include_diverged=include_diverged) for name in ("whole", "run")
    )
    assert run.diverged == {1: 1, 4: 1}
    assert len(run.members) == (7 if include_diverged else 5)
    assert_same(run, whole)
    # No two of them were trained at the same time, as far as one knows.
    assert np.isnan(run.train_images_per_second).all()
    assert (
        run.to_xarray()
        .drop_vars("train_images_per_second")
        .equals(whole.to_xarray().drop_vars("train_images_per_second"))
    )


def test_what_a_run_of_parts_says_of_itself(toy, tmp_path):
    run = load_run(write_parts(toy, tmp_path))
    assert run.config["members"] == run.manifest.members == list(range(7))
    assert [source["members"] for source in run.manifest.sources] == [[3, 4], [0, 1, 2], [5, 6]]
    assert [part.directory for part in run.parts] == [
        tmp_path,
        tmp_path / "parts" / "0-3",
        tmp_path / "parts" / "5-7",
    ]
    own = load_run(tmp_path, own_part=True, include_diverged=True)
    assert own.members.tolist() == [3, 4]
    assert own.train_images_per_second[1] == 1234.5


def test_what_is_written_of_parts(toy, tmp_path):
    write_parts(toy, tmp_path)
    content = json.loads((tmp_path / "run.json").read_text())
    assert (content["format"], content["parts"]) == (5, [[0, 3], [5, 7]])
    content = json.loads((part_path(tmp_path, 0, 3) / "run.json").read_text())
    assert (content["format"], content["parts"]) == (5, [])


def test_extents_are_those_finished_in_all_parts(toy, tmp_path):
    run = load_run(write_parts(toy, tmp_path, finished={None: (0, 1), 0: (0, 1, 5), 5: (0, 5)}))
    assert run.extents == (0,)
    assert not run.finished
    assert run.manifest.extents == [0, 1, 5]
    assert run.predictions("test").shape == (1, 6, 8)
    with pytest.raises(ValueError, match=r"among the finished ones of .*, \[0\], got 1$"):
        run.correct("test", 1)


def test_parts_may_be_asked_for_more_epochs_one_after_another(toy, tmp_path):
    write_parts(toy, tmp_path, config={"extents": [0, 1, 5], "members": []})
    RunWriter.open(part_path(tmp_path, 0, 3)).ask_for([0, 1, 5, 9])
    run = load_run(tmp_path)
    assert run.extents == (0, 1, 5)
    assert not run.finished
    assert run.manifest.extents == run.config["extents"] == [0, 1, 5, 9]


def test_parts_that_were_trained_on_different_examples(toy, tmp_path):
    train_mask = np.random.default_rng(0).random((7, 13)) < 0.5
    train_labels = np.random.default_rng(1).integers(3, size=(7, 13))
    for name, parts in {"whole": [range(7)], "run": [[3, 4], range(3), range(5, 7)]}.items():
        for i, members in enumerate(parts):
            folder = tmp_path / name
            if i:
                folder = part_path(folder, members[0], members[-1] + 1)
            manifest = toy.manifest(members, parts=PARTS if len(parts) > 1 and not i else ())
            rows = list(members)
            sets = TrainingSets(train_mask[rows], train_labels[rows])
            writer = RunWriter.create(folder, manifest, toy.splits(), sets)
            for extent in manifest.extents:
                writer.write_extent(toy.record(manifest, extent))
    run = load_run(tmp_path / "run")
    np.testing.assert_array_equal(run.train_mask, train_mask)
    assert_same(run, load_run(tmp_path / "whole"))


def test_merging_a_run_of_parts(toy, tmp_path):
    toy.write_run(tmp_path / "whole", toy.manifest(range(9)), diverged=[4, 8])
    write_parts(toy, tmp_path / "run")
    toy.write_run(tmp_path / "more", toy.manifest([8, 7]), diverged=[8])
    merged = merge_runs([tmp_path / "more", tmp_path / "run"], tmp_path / "merged")
    assert_same(merged, load_run(tmp_path / "whole"))
    assert len(merged.parts) == 1
    more, run = merged.manifest.sources
    assert (more["members"], more["sources"]) == ([8, 7], [])
    assert [source["members"] for source in run["sources"]] == [[3, 4], [0, 1, 2], [5, 6]]


def test_a_missing_part_is_named(toy, tmp_path):
    write_parts(toy, tmp_path)
    shutil.rmtree(part_path(tmp_path, 5, 7))
    with pytest.raises(ValueError, match=rf"^{tmp_path} lacks its part parts/5-7: it is lost or"):
        load_run(tmp_path)
    assert load_run(tmp_path, own_part=True).members.tolist() == [3]


def test_a_damaged_part_is_named(toy, tmp_path):
    folder = part_path(write_parts(toy, tmp_path), 0, 3)
    record = folder / "records" / "extent-000001.npz"
    content = record.read_bytes()
    record.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=f"^{record} is damaged: .*; without this file the other"):
        load_run(tmp_path)
    record.unlink()
    assert load_run(tmp_path).extents == (0, 5)
    record.write_bytes(content)
    (folder / "run.json").write_text("{")
    with pytest.raises(ValueError, match=f"^{folder}/run.json is broken"):
        load_run(tmp_path)
    (folder / "run.json").unlink()
    with pytest.raises(ValueError, match=f"^{tmp_path} lacks its part parts/0-3: "):
        load_run(tmp_path)


def test_a_folder_with_other_members_is_refused(toy, tmp_path):
    write_parts(toy, tmp_path)
    shutil.rmtree(part_path(tmp_path, 5, 7))
    toy.write_run(part_path(tmp_path, 5, 7), toy.manifest([5, 8]))
    with pytest.raises(ValueError, match=r"parts/5-7 does not hold the members 5:7$"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"seed": 1}}, "have different configs: optimizer.learning_rate: 0.05 -> "),
        ({"protocol": "independent"}, 'differ: protocol: "trajectory" -> "independent"$'),
        ({"sizes": {"train": 13, "test": 9}}, r"differ: data\.split_sizes\.test: 8 -> 9$"),
    ],
)
def test_a_part_of_another_run_is_refused(toy, tmp_path, changes, message):
    write_parts(toy, tmp_path)
    folder = part_path(tmp_path, 5, 7)
    shutil.rmtree(folder)
    toy.write_run(folder, toy.manifest([5, 6], **changes))
    with pytest.raises(ValueError, match=f"^{tmp_path} and {folder} .*{message}"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "parts", [[[4, 4]], [[5, 4]], [[4, 6], [5, 8]], [[6, 8], [4, 5]], [[1, 3]], [[4]], [[-1, 0]]]
)
def test_parts_that_cannot_be(toy, parts):
    with pytest.raises(ValueError, match=MESSAGE):
        toy.manifest([2, 3], parts=parts)


def test_parts_join_a_run_all_at_once(toy, tmp_path):
    toy.write_run(tmp_path, toy.manifest([0, 1]))
    for first, end in ((2, 3), (3, 5)):
        toy.write_run(part_path(tmp_path, first, end), toy.manifest(range(first, end)))
    assert load_run(tmp_path).members.tolist() == [0, 1]
    writer = RunWriter.open(tmp_path)
    writer.add_parts([(3, 5)])
    assert load_run(tmp_path).members.tolist() == [0, 1, 3, 4]
    writer.add_parts([(2, 3)])
    assert load_run(tmp_path).members.tolist() == [0, 1, 2, 3, 4]
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(ValueError, match=MESSAGE):
        writer.add_parts([(4, 6)])
    assert (tmp_path / "run.json").read_bytes() == before


def test_folders_that_other_processes_have_only_locked_are_in_nobodys_way(tmp_path):
    part_path(tmp_path, 3, 5).mkdir(parents=True)
    with lock_run(part_path(tmp_path, 3, 5)):
        claim_folder(tmp_path)
    (part_path(tmp_path, 3, 5) / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"is not empty and not a run \(it holds parts\)"):
        claim_folder(tmp_path)


def test_whether_a_run_is_being_written(tmp_path):
    assert is_being_written(tmp_path) is False
    with lock_run(tmp_path):
        assert is_being_written(tmp_path) is True
    assert is_being_written(tmp_path) is False
    (tmp_path / ".lock").write_text("left over")
    assert is_being_written(tmp_path) is False


def test_nobody_is_refused_because_somebody_looks(tmp_path):
    looking = True

    def look():
        while looking:
            is_being_written(tmp_path)

    (tmp_path / ".lock").touch()
    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(200):
            with lock_run(tmp_path):
                pass
            (tmp_path / ".lock").touch()
    finally:
        looking = False
        thread.join()

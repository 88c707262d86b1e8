"""What a writer writes and refuses."""

import errno
import json
import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ensemble_jax.runs import RunWriter, load_run


def test_the_directory_has_what_the_layout_says(toy, tmp_path):
    manifest = toy.manifest()
    toy.write_run(tmp_path / "deep" / "run", manifest)
    directory = tmp_path / "deep" / "run"
    assert sorted(str(p.relative_to(directory)) for p in directory.rglob("*")) == [
        "examples.npz",
        "metrics.jsonl",
        "records",
        "records/extent-000000.npz",
        "records/extent-000001.npz",
        "records/extent-000005.npz",
        "run.json",
    ]
    with np.load(directory / "examples.npz", allow_pickle=False) as file:
        assert {name: (file[name].dtype.kind, file[name].shape) for name in file} == {
            "labels_train": ("i", (13,)),
            "ids_train": ("i", (13,)),
            "labels_test": ("i", (8,)),
            "ids_test": ("U", (8,)),
        }
        assert file["labels_train"].dtype == np.int32
    with np.load(directory / "records" / "extent-000005.npz", allow_pickle=False) as file:
        assert {name: (str(file[name].dtype), file[name].shape) for name in file} == {
            "bits_train": ("uint8", (4, 2)),
            "predictions_train": ("uint8", (4, 13)),
            "loss_train": ("float32", (4,)),
            "accuracy_train": ("float32", (4,)),
            "bits_test": ("uint8", (4, 1)),
            "predictions_test": ("uint8", (4, 8)),
            "loss_test": ("float32", (4,)),
            "accuracy_test": ("float32", (4,)),
            "diverged_at": ("int32", (4,)),
            "train_images_per_second": ("float64", ()),
            "identity": ("<U16", ()),
        }
        assert file["identity"] == "run toy extent 5"


def test_metrics_are_strict_json_with_null_for_what_is_not_finite(toy, tmp_path):
    manifest = toy.manifest(extents=(0, 5))
    toy.write_run(tmp_path, manifest, diverged=[2])

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    first, last = (json.loads(line, parse_constant=refuse) for line in lines)
    names = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    assert list(first) == ["extent", *names, "train_images_per_second"]
    assert (first["extent"], last["extent"]) == (0, 5)
    assert first["train_images_per_second"] is None
    assert last["train_images_per_second"] == 1234.5
    assert first["train_loss"] == [0.0, 1.0, 2.0, 3.0]
    assert last["train_loss"] == last["test_loss"] == [0.625, 1.625, None, 3.625]
    accuracy = toy.record(manifest, 5).splits["train"].accuracy
    np.testing.assert_array_equal(np.array(last["train_accuracy"], np.float32), accuracy)


def test_metrics_are_written_as_short_as_their_precision(toy, tmp_path):
    manifest = toy.manifest(extents=(0,))
    record = toy.record(manifest, 0)
    train = record.splits["train"]._replace(loss=np.full(4, 0.84, np.float32))
    writer = toy.write_run(tmp_path, manifest, finished=())
    writer.write_extent(replace(record, splits={**record.splits, "train": train}))
    assert '"train_loss": [0.84, 0.84, 0.84, 0.84]' in (tmp_path / "metrics.jsonl").read_text()


def test_the_same_record_gives_the_same_bytes(toy, tmp_path):
    manifest = toy.manifest()
    for name in ("a", "b"):
        toy.write_run(tmp_path / name, manifest)
    for path in (tmp_path / "a").rglob("*.*"):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes()


def test_extents_appear_as_they_are_written(toy, tmp_path):
    manifest = toy.manifest()
    writer = toy.write_run(tmp_path, manifest, finished=())
    assert writer.extents == ()
    writer.write_extent(toy.record(manifest, 0))
    assert writer.extents == (0,)
    writer.write_extent(toy.record(manifest, 5))
    assert writer.extents == (0, 5)


@pytest.mark.parametrize("order", [(5, 0, 1), (0, 5, 1), (0, 1, 5, 1), (0, 0, 1, 5, 5)])
def test_metrics_have_each_extent_once_and_in_order(toy, tmp_path, order):
    toy.write_run(tmp_path / "in_order", toy.manifest())
    toy.write_run(tmp_path / "run", toy.manifest(), finished=order)
    expected = (tmp_path / "in_order" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == expected


def test_a_record_is_replaced_as_a_whole(toy, tmp_path):
    manifest = toy.manifest()
    writer = toy.write_run(tmp_path, manifest)
    writer.write_extent(replace(toy.record(manifest, 1), train_images_per_second=9.0))
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    speeds = [json.loads(x)["train_images_per_second"] for x in lines]
    assert speeds == [None, 9.0, 1234.5]


def test_opening_goes_on_where_the_run_stopped(toy, tmp_path):
    manifest = toy.manifest()
    toy.write_run(tmp_path / "whole", manifest)
    toy.write_run(tmp_path / "run", manifest, finished=(0, 1))
    writer = RunWriter.open(tmp_path / "run")
    assert (writer.manifest, writer.extents) == (manifest, (0, 1))
    writer.write_extent(toy.record(manifest, 5))
    for path in (tmp_path / "whole").rglob("*.*"):
        other = tmp_path / "run" / path.relative_to(tmp_path / "whole")
        assert path.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],  # torn in the last line
        lambda text: text[: text.index(b"\n") + 1],  # lines missing
        lambda text: b"",
        lambda text: text + b'{"extent": 5',
    ],
)
def test_opening_heals_the_metrics(toy, tmp_path, damage):
    toy.write_run(tmp_path, toy.manifest(), finished=(0, 1))
    path = tmp_path / "metrics.jsonl"
    text = path.read_bytes()
    path.write_bytes(damage(text))
    RunWriter.open(tmp_path)
    assert path.read_bytes() == text
    path.unlink()
    RunWriter.open(tmp_path)
    assert path.read_bytes() == text


def test_opening_removes_leftovers_and_nothing_else(toy, tmp_path):
    toy.write_run(tmp_path, toy.manifest(), finished=(0,))
    leftovers = [
        tmp_path / ".run.json.tmp",
        tmp_path / ".metrics.jsonl.tmp",
        tmp_path / "records" / ".extent-000001.npz.tmp",
    ]
    others = [tmp_path / "notes.txt", tmp_path / ".mine.tmp"]
    for path in leftovers + others:
        path.write_bytes(b"x")
    RunWriter.open(tmp_path)
    assert not any(path.exists() for path in leftovers)
    assert all(path.exists() for path in others)


def test_opening_no_run(tmp_path):
    with pytest.raises(ValueError, match="is not a run"):
        RunWriter.open(tmp_path)
    with pytest.raises(FileNotFoundError, match="the path does not exist"):
        RunWriter.open(tmp_path / "x")


def test_an_empty_folder_may_become_a_run(toy, tmp_path):
    (tmp_path / "run").mkdir()
    toy.write_run(tmp_path / "run", toy.manifest())


def test_a_run_is_not_overwritten(toy, tmp_path):
    toy.write_run(tmp_path, toy.manifest())
    with pytest.raises(ValueError, match="already holds a run: resume it or choose another"):
        toy.write_run(tmp_path, toy.manifest())


@pytest.mark.parametrize("name", ["thesis.txt", "examples.npz", "records", ".hidden"])
def test_a_folder_of_something_else_is_left_alone(toy, tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(ValueError, match=rf"not empty and not a run \(it holds {name}\)"):
        toy.write_run(tmp_path, toy.manifest())
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"mine")]


def test_a_file_is_no_place_for_a_run(toy, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match=f"cannot write a run at {path}: "):
            toy.write_run(path, toy.manifest())


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("function", ["pathlib.Path.mkdir", "os.fsync"])
def test_a_folder_that_may_not_be_written(toy, tmp_path, monkeypatch, code, function):
    def refuse(*_, **__):
        raise OSError(code, "not allowed")

    monkeypatch.setattr(function, refuse)
    with pytest.raises(ValueError, match=r"cannot write a run at .*: not allowed"):
        toy.write_run(tmp_path, toy.manifest())


def changed(examples, **changes):
    return SimpleNamespace(**vars(examples) | changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"train": s["train"]}, "examples must be those of the data set"),
        (lambda s: s | {"test": s["train"]}, "examples must be those of the data set"),
        (
            lambda s: s | {"test": changed(s["test"], labels=np.full(8, 3))},
            r"labels of test must be integers in 0\.\.2, got int64 in 3\.\.3",
        ),
        (lambda s: s | {"test": changed(s["test"], labels=np.full(8, -1))}, "labels of test must"),
        (lambda s: s | {"test": changed(s["test"], labels=np.ones(8))}, "labels of test must"),
        (
            lambda s: s | {"test": changed(s["test"], ids=np.array([*"abcdefgh"], object))},
            "ids of test must be integers or text, got object",
        ),
        (
            lambda s: s | {"test": changed(s["test"], ids=np.zeros(8, int))},
            "ids of test must be one for each of its 8 examples",
        ),
        (
            lambda s: s | {"test": changed(s["test"], ids=np.arange(7))},
            "ids of test must be one for each of its 8 examples",
        ),
    ],
)
def test_wrong_examples_are_refused_before_anything_is_written(toy, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        RunWriter.create(tmp_path / "run", toy.manifest(), change(toy.splits()))
    assert not (tmp_path / "run").exists()


def with_train(record, **changes):
    train = record.splits["train"]._replace(**changes)
    return replace(record, splits={**record.splits, "train": train})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: replace(r, extent=3), "extent must be one of those asked for, 0, 1, 5"),
        (
            lambda r: replace(r, splits={"train": r.splits["train"]}),
            "splits must be train, test, got train",
        ),
        (
            lambda r: with_train(r, bits=r.splits["train"].bits[:, :1]),
            r"bits_train must be uint8 \[4, 2\], got uint8 \[4, 1\]",
        ),
        (
            lambda r: with_train(r, bits=np.full((4, 2), 0xFF, np.uint8)),
            "after its 13 .* must be 0",
        ),
        (lambda r: with_train(r, bits=np.full((4, 2), 4, np.uint8)), "after its 13 .* must be 0"),
        (
            lambda r: with_train(r, predictions=r.splits["train"].predictions.astype(int)),
            r"predictions_train must be uint8 \[4, 13\], got int64 \[4, 13\]",
        ),
        (
            lambda r: with_train(r, predictions=np.full((4, 13), 3, np.uint8)),
            r"predictions_train must lie in 0\.\.2, got 3",
        ),
        (
            lambda r: with_train(r, predictions=np.zeros((3, 13), np.uint8)),
            "predictions_train must",
        ),
        (
            lambda r: with_train(r, loss=np.zeros(4, int)),
            r"loss_train must be float32 \[4\], got int64 \[4\]",
        ),
        (
            lambda r: with_train(r, accuracy=0.5),
            r"accuracy_train must be float32 \[4\], got .* \[\]",
        ),
        (
            lambda r: replace(r, diverged_at=np.zeros(4)),
            r"diverged_at must be int32 \[4\], got float64 \[4\]",
        ),
        (
            lambda r: replace(r, train_images_per_second=np.ones(4)),
            r"train_images_per_second must be float64 \[\]",
        ),
    ],
)
def test_wrong_records_are_refused_before_anything_is_written(toy, tmp_path, change, message):
    manifest = toy.manifest()
    writer = toy.write_run(tmp_path, manifest, finished=())
    with pytest.raises(ValueError, match=message):
        writer.write_extent(change(toy.record(manifest, 1)))
    assert list((tmp_path / "records").iterdir()) == []


@pytest.mark.parametrize("used", range(1, 9))
def test_every_bit_after_the_last_example_is_checked(toy, tmp_path, used):
    manifest = toy.manifest(sizes={"train": 8 + used}, extents=(0,))
    writer = toy.write_run(tmp_path, manifest, finished=())
    record = toy.record(manifest, 0)
    for bit in range(8):
        bits = np.zeros((4, 2), np.uint8)
        bits[2, 1] = 1 << (7 - bit)
        if bit < used:
            writer.write_extent(with_train(record, bits=bits))
        else:
            with pytest.raises(ValueError, match="must be 0"):
                writer.write_extent(with_train(record, bits=bits))


@pytest.mark.parametrize(
    ("num_classes", "dtype"),
    [(1, "uint8"), (256, "uint8"), (257, "uint16"), (65536, "uint16"), (65537, "uint32")],
)
def test_predictions_take_the_smallest_type(toy, tmp_path, num_classes, dtype):
    manifest = toy.manifest(num_classes=num_classes, extents=(0,))
    toy.write_run(tmp_path, manifest)
    with np.load(tmp_path / "records" / "extent-000000.npz") as file:
        assert file["predictions_test"].dtype == dtype


def test_other_extents_are_asked_for(toy, tmp_path):
    manifest = toy.manifest(config={"members": [0, 1, 2, 3], "extents": [0, 1, 5]})
    writer = toy.write_run(tmp_path, manifest, finished=(0, 1))
    writer.ask_for((0, 1, 3, 9))
    run = load_run(tmp_path)
    assert run.manifest.extents == run.config["extents"] == [0, 1, 3, 9]
    assert run.extents == (0, 1)
    assert not run.finished
    for extent in (3, 9):
        writer.write_extent(toy.record(writer.manifest, extent))
    assert RunWriter.open(tmp_path).extents == (0, 1, 3, 9)
    assert load_run(tmp_path).finished


@pytest.mark.parametrize("wanted", [(0, 5), (1,), (0, 5, 1)])
def test_extents_that_are_finished_stay(toy, tmp_path, wanted):
    writer = toy.write_run(tmp_path, toy.manifest(), finished=(0, 1))
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(ValueError, match="extents must"):
        writer.ask_for(wanted)
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_full_disk_leaves_the_extents_as_they_were(toy, tmp_path, monkeypatch):
    writer = toy.write_run(tmp_path, toy.manifest(), finished=(0, 1))
    before = (tmp_path / "run.json").read_bytes()

    def refuse(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        writer.ask_for((0, 1, 9))
    assert (tmp_path / "run.json").read_bytes() == before
    assert list(writer.manifest.extents) == [0, 1, 5]

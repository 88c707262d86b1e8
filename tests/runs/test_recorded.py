"""Quantities of every example, written, read, merged and joined from parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ensemble_jax.runs import RunWriter, extent_bytes, load_run, merge_runs, part_path

PROBES = {"noise": 5}
RECORDED = {
    "train": ["label_probability", "margin"],
    "test": ["loss", "logits"],
    "noise": ["entropy", "probabilities"],
}
OLD_RUN = Path(__file__).parent.parent / "old_run"


@pytest.fixture
def manifest(toy):
    return toy.manifest(probe_sizes=PROBES, recorded=RECORDED)


def expected(toy, manifest, quantity, name):
    records = [toy.record(manifest, extent) for extent in manifest.extents]
    return np.stack([{**r.splits, **r.probes}[name].recorded[quantity] for r in records])


def test_what_is_written_is_read(toy, manifest, tmp_path):
    toy.write_run(tmp_path, manifest, diverged=[2])
    run = load_run(tmp_path)
    assert run.recorded_quantities == {name: tuple(some) for name, some in RECORDED.items()}
    for name, quantities in RECORDED.items():
        for quantity in quantities:
            of_all = expected(toy, manifest, quantity, name)
            classes = (3,) if quantity in ("logits", "probabilities") else ()
            assert of_all.shape == (3, 4, manifest.data.sizes[name], *classes)
            got = run.recorded(quantity, name)
            assert got.dtype == np.float16
            np.testing.assert_array_equal(got, np.delete(of_all, 2, axis=1))
            np.testing.assert_array_equal(run.recorded(quantity, name, [5, 0]), got[[2, 0]])
    of_extent = run.record(1)
    np.testing.assert_array_equal(
        of_extent.splits["train"].recorded["margin"], run.recorded("margin", "train", 1)[0]
    )
    assert set(of_extent.probes["noise"].recorded) == {"entropy", "probabilities"}


@pytest.mark.parametrize(
    ("quantity", "name", "message"),
    [
        ("logits", "train", "recorded of train, label_probability, margin, got 'logits'"),
        ("margins", "train", "recorded of train, label_probability, margin, got 'margins'"),
        ("margin", "noise", "recorded of noise, entropy, probabilities, got 'margin'"),
        ("margin", "other", "must be one of train, test, noise, got 'other'"),
    ],
)
def test_what_was_not_recorded_is_named(toy, manifest, tmp_path, quantity, name, message):
    toy.write_run(tmp_path, manifest, finished=[0])
    with pytest.raises(ValueError, match=message):
        load_run(tmp_path).recorded(quantity, name)


def test_an_old_run_says_that_it_has_none():
    run = load_run(OLD_RUN)
    assert run.recorded_quantities == {"train": (), "test": ()}
    with pytest.raises(ValueError, match="recorded of train, none beside predictions, got 'loss'"):
        run.recorded("loss", "train")


def test_parts_and_merged_runs_have_those_of_all_members(toy, manifest, tmp_path):
    toy.write_run(tmp_path / "whole", manifest)
    own = replace(manifest, members=[0, 1], hyperparameters={}, parts=[[2, 4]])
    toy.write_run(tmp_path / "parts", own)
    further = replace(manifest, members=[2, 3], hyperparameters={})
    toy.write_run(part_path(tmp_path / "parts", 2, 4), further)
    for name, part in (("a", own), ("b", further)):
        toy.write_run(tmp_path / name, replace(part, parts=()))
    merged = merge_runs([tmp_path / "b", tmp_path / "a"], tmp_path / "merged")
    whole, joined = load_run(tmp_path / "whole"), load_run(tmp_path / "parts")
    for name, quantities in RECORDED.items():
        for quantity in quantities:
            of_whole = whole.recorded(quantity, name)
            for run in (joined, merged):
                np.testing.assert_array_equal(run.recorded(quantity, name), of_whole)


def test_runs_that_record_different_things_are_not_merged(toy, manifest, tmp_path):
    toy.write_run(tmp_path / "a", manifest)
    other = toy.manifest([4, 5], probe_sizes=PROBES, recorded=RECORDED | {"train": ["margin"]})
    toy.write_run(tmp_path / "b", other)
    with pytest.raises(ValueError, match=r'differ: recorded.train: .* -> \["margin"\]'):
        merge_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")


def test_the_bytes_of_an_extent(toy, manifest, tmp_path):
    """Of 4 members and 3 classes: 13 train, 8 test examples, 5 of the probe."""
    train = 4 * (2 + 13 + 8) + 2 * (2 * 4 * 13)
    test = 4 * (1 + 8 + 8) + 2 * 4 * 8 * (1 + 3)
    noise = 4 * 5 + 2 * 4 * 5 * (1 + 3)
    assert extent_bytes(manifest) == train + test + noise + 4 * 4 + 8
    toy.write_run(tmp_path, manifest)
    path = tmp_path / "records" / "extent-000005.npz"
    with np.load(path) as arrays:
        sizes = {name: array.nbytes for name, array in arrays.items() if name != "identity"}
        assert extent_bytes(manifest) == sum(sizes.values())
        assert 0 < path.stat().st_size - extent_bytes(manifest) < 500 * len(arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {}, "recorded of train must be label_probability, margin, got none"),
        (lambda r: r | {"loss": r["margin"]}, "recorded of train must be .* margin, loss"),
        (
            lambda r: r | {"margin": r["margin"][:, 1:]},
            r"recorded_margin_train must be float16 \[4, 13\], got float16 \[4, 12\]",
        ),
        (
            lambda r: r | {"margin": r["margin"].astype(int)},
            r"recorded_margin_train must be float16 \[4, 13\], got int64",
        ),
    ],
)
def test_wrong_records_are_refused(toy, manifest, tmp_path, change, message):
    writer = toy.write_run(tmp_path, manifest, finished=())
    record = toy.record(manifest, 0)
    train = record.splits["train"]
    wrong = train._replace(recorded=change(train.recorded))
    with pytest.raises(ValueError, match=f"record of extent 0: {message}"):
        writer.write_extent(replace(record, splits=record.splits | {"train": wrong}))
    assert writer.extents == ()


def test_a_damaged_quantity_is_told(toy, manifest, tmp_path):
    toy.write_run(tmp_path, manifest)
    path = tmp_path / "records" / "extent-000001.npz"
    content = bytearray(path.read_bytes())
    written = toy.record(manifest, 1).splits["train"].recorded["margin"].tobytes()
    content[content.index(written) + 7] ^= 1
    path.write_bytes(content)
    run = load_run(tmp_path)
    with pytest.raises(ValueError, match=r"extent-000001\.npz is damaged"):
        run.recorded("margin", "train")
    assert run.recorded("label_probability", "train").shape == (3, 4, 13)


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        ({"train": ["odds"]}, "record must be of label_probability, .* got 'odds:train'"),
        ({"noise": ["margin"]}, "record must not be margin of the probe noise"),
        ({"dev": ["loss"]}, "record must be of the sets train, test, noise, got loss:dev"),
        ({"train": ["margin", "label_probability"]}, "recorded of train must be in order"),
    ],
)
def test_what_a_manifest_cannot_say(toy, recorded, message):
    with pytest.raises(ValueError, match=message):
        toy.manifest(probe_sizes=PROBES, recorded=recorded)


def test_as_a_labelled_dataset(toy, manifest, tmp_path):
    toy.write_run(tmp_path, manifest)
    run = load_run(tmp_path)
    dataset = run.to_xarray()
    assert dataset["recorded_logits_test"].dims == ("extent", "member", "example_test", "class")
    assert dataset["class"].values.tolist() == list(run.class_names)
    of_member = dataset["recorded_margin_train"].sel(extent=5, member=3)
    np.testing.assert_array_equal(of_member, run.recorded("margin", "train", 5)[0, 3])


def test_going_on_with_a_run(toy, manifest, tmp_path):
    toy.write_run(tmp_path, manifest, finished=(0,))
    writer = RunWriter.open(tmp_path)
    for extent in (1, 5):
        writer.write_extent(toy.record(manifest, extent))
    np.testing.assert_array_equal(
        load_run(tmp_path).recorded("margin", "train"), expected(toy, manifest, "margin", "train")
    )

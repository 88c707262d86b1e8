"""Sets without labels in the run directory: predictions and ids, and nothing that needs labels."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ensemble_jax.analysis import count_votes
from ensemble_jax.extent import ProbeRecord
from ensemble_jax.runs import DataSummary, RunWriter, load_run, merge_runs

PROBES = {"noise": 5, "indoor-2.jpg": 9}


@pytest.fixture(scope="module")
def directory(toy, tmp_path_factory):
    """A run whose member 2 diverged in epoch 1."""
    path = tmp_path_factory.mktemp("runs") / "probed"
    toy.write_run(path, toy.manifest(probe_sizes=PROBES), diverged=[2])
    return path


@pytest.fixture
def run(directory):
    return load_run(directory)


def test_what_was_written_is_read(toy, run):
    assert run.probes == tuple(PROBES)
    assert run.splits == ("train", "test")
    assert set(run.labels) == {"train", "test"}
    assert "noise [5], indoor-2.jpg [9]" in repr(run)
    for probe, size in PROBES.items():
        assert run.ids[probe].tolist() == [f"{probe} {i}" for i in range(size)]
        written = [
            toy.record(run.manifest, e, [2] if e else []).probes[probe].predictions
            for e in (0, 1, 5)
        ]
        predictions = run.predictions(probe)
        assert predictions.dtype == np.uint8
        np.testing.assert_array_equal(predictions, np.delete(written, 2, axis=1))
        np.testing.assert_array_equal(run.predictions(probe, [5, 0]), predictions[[2, 0]])
        np.testing.assert_array_equal(
            run.votes(probe), [count_votes(rows, 3) for rows in predictions]
        )
        assert (run.votes(probe, 1).sum(-1) == 3).all()


def test_a_record_holds_predictions_of_a_probe_and_nothing_else(directory):
    with np.load(directory / "records" / "extent-000005.npz") as arrays:
        assert {name for name in arrays if name.endswith(tuple(PROBES))} == {
            f"predictions_{probe}" for probe in PROBES
        }
    with np.load(directory / "examples.npz") as arrays:
        assert {name for name in arrays if name.endswith(tuple(PROBES))} == {
            f"ids_{probe}" for probe in PROBES
        }
    lines = (directory / "metrics.jsonl").read_text()
    assert "noise" not in lines


def test_what_needs_labels_says_that_there_are_none(run):
    for read in (run.correct, run.bits):
        with pytest.raises(
            ValueError, match="split must be one of train, test, got 'noise': a probe has no labels"
        ):
            read("noise")
    for read in (run.predictions, run.votes):
        with pytest.raises(
            ValueError,
            match=r"split or probe must be one of train, test, noise, indoor-2\.jpg, got 'x'",
        ):
            read("x")


def test_they_are_in_the_labelled_dataset(run):
    dataset = run.to_xarray()
    for probe in PROBES:
        variable = dataset[f"predictions_{probe}"]
        assert variable.dims == ("extent", "member", f"example_{probe}")
        np.testing.assert_array_equal(variable, run.predictions(probe))
        np.testing.assert_array_equal(dataset[f"example_{probe}"], run.ids[probe])
    assert "correct_noise" not in dataset
    assert "label_noise" not in dataset.coords


def test_the_manifest_lists_their_sizes(directory):
    content = json.loads((directory / "run.json").read_text())
    assert content["data"]["probe_sizes"] == PROBES


def test_a_run_from_before_there_were_probes(toy, tmp_path):
    toy.write_run(tmp_path, toy.manifest())
    path = tmp_path / "run.json"
    content = json.loads(path.read_text())
    del content["data"]["probe_sizes"]
    content["settings"] = content.pop("hyperparameters")
    path.write_text(json.dumps(content | {"format": 1}))
    run = load_run(tmp_path)
    assert run.probes == ()
    assert run.predictions("test").shape == (3, 4, 8)
    with pytest.raises(ValueError, match=r"split must be one of train, test, got 'noise'$"):
        run.predictions("noise")
    assert RunWriter.open(tmp_path).extents == (0, 1, 5)


def test_going_on_with_a_run(toy, tmp_path):
    manifest = toy.manifest(probe_sizes=PROBES)
    toy.write_run(tmp_path / "whole", manifest)
    toy.write_run(tmp_path / "run", manifest, finished=(0,))
    writer = RunWriter.open(tmp_path / "run")
    for extent in (1, 5):
        writer.write_extent(toy.record(manifest, extent))
    whole, resumed = load_run(tmp_path / "whole"), load_run(tmp_path / "run")
    for probe in PROBES:
        np.testing.assert_array_equal(resumed.predictions(probe), whole.predictions(probe))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {}, r"probes must be noise, indoor-2\.jpg, got none"),
        (lambda p: {"noise": p["noise"]}, r"probes must be noise, indoor-2\.jpg, got noise"),
        (lambda p: p | {"x": p["noise"]}, "probes must be noise, .*, got noise, .*, x"),
        (
            lambda p: p | {"noise": ProbeRecord(p["noise"].predictions[:, 1:])},
            r"predictions_noise must be uint8 \[4, 5\], got uint8 \[4, 4\]",
        ),
        (
            lambda p: p | {"noise": ProbeRecord(p["noise"].predictions.astype(np.int64))},
            r"predictions_noise must be uint8 \[4, 5\], got int64",
        ),
        (
            lambda p: p | {"noise": ProbeRecord(np.full((4, 5), 3, np.uint8))},
            r"predictions_noise must lie in 0\.\.2, got 3",
        ),
    ],
)
def test_wrong_records_are_refused(toy, tmp_path, change, message):
    manifest = toy.manifest(probe_sizes=PROBES)
    writer = toy.write_run(tmp_path, manifest, finished=())
    record = toy.record(manifest, 0)
    with pytest.raises(ValueError, match=f"record of extent 0: {message}"):
        writer.write_extent(replace(record, probes=change(record.probes)))
    assert writer.extents == ()


def test_ids_that_are_not_those_of_the_manifest_are_refused(toy, tmp_path):
    manifest = toy.manifest(probe_sizes=PROBES)
    for probes, message in (
        ({}, "examples must be those of the data set"),
        (toy.probes(PROBES | {"noise": 4}), "examples must be those of the data set"),
        (toy.probes(PROBES) | {"noise": toy.splits()["train"]}, "examples must be those"),
    ):
        with pytest.raises(ValueError, match=message):
            RunWriter.create(tmp_path / "run", manifest, toy.splits(), probes=probes)
    repeated = toy.probes(PROBES)
    repeated["noise"].ids[:] = "same"
    with pytest.raises(ValueError, match="ids of noise must be one for each of its 5 examples"):
        RunWriter.create(tmp_path / "run", manifest, toy.splits(), probes=repeated)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"noise": 0}, "animals: probe noise must not be empty, got 0"),
        ({"test": 3}, "animals: test must not be both a split and a probe"),
    ],
)
def test_inconsistent_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        DataSummary("animals", ("fox",), {"train": 1, "test": 1}, (1,), sizes)


def test_merged_runs_have_them(toy, tmp_path):
    whole = toy.write_run(tmp_path / "whole", toy.manifest(probe_sizes=PROBES)).directory
    parts = [tmp_path / "odd", tmp_path / "even"]
    for part, members in zip(parts, ([1, 3], [0, 2]), strict=True):
        toy.write_run(part, toy.manifest(members, probe_sizes=PROBES))
    merged = merge_runs(parts, tmp_path / "merged")
    assert merged.probes == tuple(PROBES)
    for probe in PROBES:
        np.testing.assert_array_equal(merged.ids[probe], load_run(whole).ids[probe])
        np.testing.assert_array_equal(merged.predictions(probe), load_run(whole).predictions(probe))


def test_runs_of_other_probes_are_not_merged(toy, tmp_path, directory):
    toy.write_run(tmp_path / "without", toy.manifest([7]))
    with pytest.raises(ValueError, match=r"differ: data\.probe_sizes\.noise: 5 -> \(absent\)"):
        merge_runs([directory, tmp_path / "without"], tmp_path / "merged")
    toy.write_run(tmp_path / "other", toy.manifest([7], probe_sizes=PROBES))
    path = tmp_path / "other" / "examples.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"ids_noise": arrays["ids_noise"][::-1]})
    with pytest.raises(ValueError, match="have different noise examples"):
        merge_runs([directory, tmp_path / "other"], tmp_path / "merged")


def test_records_of_a_run_without_them_are_not_taken(toy, tmp_path, directory):
    copy = shutil.copytree(directory, tmp_path / "copy")
    toy.write_run(tmp_path / "without", toy.manifest())
    shutil.copy(tmp_path / "without" / "records" / "extent-000001.npz", copy / "records")
    with pytest.raises(ValueError, match=r"is damaged: .*predictions_noise"):
        load_run(copy).predictions("noise")

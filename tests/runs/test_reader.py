"""What is read back, against what was written and against loops."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_jax.runs import load_run, unpack_correct


@settings(deadline=None, max_examples=25)
@given(
    members=st.lists(st.integers(0, 300), min_size=1, max_size=5, unique=True),
    extents=st.lists(st.integers(0, 1_000_000), min_size=1, max_size=3, unique=True).map(sorted),
    sizes=st.dictionaries(
        st.sampled_from(["train", "test", "probe"]), st.integers(1, 30), min_size=1
    ),
    num_classes=st.sampled_from([1, 2, 10, 300]),
)
def test_round_trip(toy, members, extents, sizes, num_classes):
    manifest = toy.manifest(members, extents, sizes, num_classes)
    with tempfile.TemporaryDirectory() as folder:
        toy.write_run(folder, manifest)
        run = load_run(folder)
        assert run.manifest == manifest
        assert run.finished
        assert run.extents == tuple(extents)
        assert run.splits == tuple(sizes)
        assert run.members.tolist() == members
        for split, M in sizes.items():
            records = [toy.record(manifest, extent).splits[split] for extent in extents]
            predictions = run.predictions(split)
            assert predictions.dtype == records[0].predictions.dtype
            np.testing.assert_array_equal(predictions, [r.predictions for r in records])
            np.testing.assert_array_equal(run.bits(split), [r.bits for r in records])
            correct = run.correct(split)
            assert correct.shape == (len(extents), len(members), M)
            np.testing.assert_array_equal(correct, predictions == run.labels[split])
            np.testing.assert_array_equal(correct, unpack_correct(run.bits(split), M))
            for name in ("loss", "accuracy"):
                stored = [getattr(r, name) for r in records]
                np.testing.assert_array_equal(run.metrics[f"{split}_{name}"], stored)


@pytest.fixture(scope="module")
def directory(toy, tmp_path_factory):
    """Members 0, 1, 2, 3, of which 2 diverged in epoch 1."""
    path = tmp_path_factory.mktemp("runs") / "run"
    toy.write_run(path, toy.manifest(), diverged=[2])
    return path


@pytest.fixture
def copy(directory, tmp_path):
    return Path(shutil.copytree(directory, tmp_path / "copy"))


def test_what_a_run_says_of_itself(toy, directory):
    run = load_run(str(directory))
    assert run.directory == directory
    assert run.config == toy.manifest().config
    assert (run.num_classes, run.class_names) == (3, ("fox", "skunk", "possum"))
    for split, examples in toy.splits().items():
        assert run.labels[split].dtype == np.int32
        np.testing.assert_array_equal(run.labels[split], examples.labels)
        np.testing.assert_array_equal(run.ids[split], examples.ids)
    assert repr(run) == (
        f"Run('{directory}': 3 members, 1 diverged, extents [0, 1, 5], train [13], test [8], "
        "3 classes)"
    )


def test_diverged_members_are_in_no_array(toy, directory):
    run = load_run(directory)
    assert run.diverged == {2: 1}
    assert run.members.tolist() == [0, 1, 3]
    whole = load_run(directory, include_diverged=True)
    assert whole.diverged == {2: 1}
    assert whole.members.tolist() == [0, 1, 2, 3]
    kept = [0, 1, 3]
    for split in run.splits:
        for read in ("correct", "predictions", "bits"):
            np.testing.assert_array_equal(
                getattr(run, read)(split), getattr(whole, read)(split)[:, kept]
            )
        assert (run.votes(split).sum(-1) == 3).all()
        assert (whole.votes(split).sum(-1) == 4).all()
    for name, values in run.metrics.items():
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(values, whole.metrics[name][:, kept])
    assert np.isnan(whole.metrics["train_loss"][1:, 2]).all()
    np.testing.assert_allclose(run.hyperparameters["learning_rate"], [0, 0.1, 0.3])


def test_a_run_of_diverged_members_only(toy, tmp_path):
    toy.write_run(tmp_path, toy.manifest(), diverged=[0, 1, 2, 3])
    run = load_run(tmp_path)
    assert run.finished
    assert run.diverged == dict.fromkeys(range(4), 1)
    assert run.members.tolist() == []
    assert run.correct("train").shape == run.predictions("train").shape == (3, 0, 13)
    assert run.metrics["test_loss"].shape == (3, 0)
    assert run.to_xarray().sizes["member"] == 0
    with pytest.raises(ValueError, match="member"):
        run.votes("train")
    assert load_run(tmp_path, include_diverged=True).votes("train").shape == (3, 13, 3)


def test_votes_are_counted(directory):
    run = load_run(directory)
    for split in run.splits:
        predictions, votes = run.predictions(split), run.votes(split)
        assert votes.shape == (3, len(run.labels[split]), 3)
        for e, m, k in np.ndindex(votes.shape):
            assert votes[e, m, k] == sum(p == k for p in predictions[e, :, m])


@pytest.mark.parametrize(
    ("extents", "rows"),
    [
        (None, [0, 1, 2]),
        (5, [2]),
        (np.int64(1), [1]),
        ([5, 0], [2, 0]),
        (np.array([1]), [1]),
        ((), []),
    ],
)
@pytest.mark.parametrize("read", ["correct", "predictions", "bits", "votes"])
def test_reading_piecewise(directory, extents, rows, read):
    run = load_run(directory)
    whole, part = getattr(run, read)("train"), getattr(run, read)("train", extents)
    assert part.dtype == whole.dtype
    np.testing.assert_array_equal(part, whole[rows])


def test_speed(directory):
    np.testing.assert_array_equal(
        load_run(directory).train_images_per_second, [np.nan, 1234.5, 1234.5]
    )


def test_unknown_names(directory):
    run = load_run(directory)
    for read in (run.correct, run.predictions, run.bits, run.votes):
        with pytest.raises(ValueError, match="split must be one of train, test, got 'probe'"):
            read("probe")
        with pytest.raises(ValueError, match=r"finished ones of .*, \[0, 1, 5\], got 2"):
            read("test", extents=[0, 2])


def test_a_run_that_goes_on(toy, tmp_path):
    writer = toy.write_run(tmp_path, toy.manifest(), finished=())
    empty = load_run(tmp_path)
    assert (empty.extents, empty.finished, empty.diverged) == ((), False, {})
    assert empty.correct("train").shape == (0, 4, 13)
    assert empty.votes("train").shape == (0, 13, 3)
    assert empty.metrics["train_loss"].shape == (0, 4)
    writer.write_extent(toy.record(writer.manifest, 0))
    assert empty.correct("train").shape == (0, 4, 13)
    assert load_run(tmp_path).extents == (0,)
    assert not load_run(tmp_path).finished


def test_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="the path does not exist"):
        load_run(tmp_path / "x")
    with pytest.raises(ValueError, match="is not a run"):
        load_run(tmp_path)


def test_the_metrics_file_is_not_needed(copy):
    (copy / "metrics.jsonl").unlink()
    assert load_run(copy).metrics["train_loss"].shape == (3, 3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:10],
        lambda content: b"",
        lambda content: b"not an archive",
        lambda content: content[3:],
    ],
)
@pytest.mark.parametrize("name", ["records/extent-000001.npz", "examples.npz"])
def test_a_damaged_file_is_named(copy, name, damage):
    path = copy / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{path} is damaged: "):
        load_run(copy)


def test_a_flipped_bit_is_found(copy):
    path = copy / "records" / "extent-000001.npz"
    content = bytearray(path.read_bytes())
    stored = load_run(copy, include_diverged=True).predictions("train", 1).tobytes()
    content[content.index(stored)] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is damaged: Bad CRC-32"):
        load_run(copy).predictions("train")


def test_a_single_array_is_no_record(copy):
    path = copy / "records" / "extent-000001.npz"
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(ValueError, match=f"{path} is damaged: "):
        load_run(copy)


def test_pickled_objects_are_refused(copy):
    path = copy / "examples.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"ids_test": arrays["ids_test"].astype(object)})
    with pytest.raises(ValueError, match=f"{path} is damaged: Object arrays cannot be loaded"):
        load_run(copy)


def test_a_missing_array_is_named(copy):
    path = copy / "records" / "extent-000001.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file if name != "bits_test"}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f"{path} is damaged: .*bits_test"):
        load_run(copy).bits("test")


def test_missing_examples(copy):
    (copy / "examples.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"examples\.npz"):
        load_run(copy)


def test_records_of_another_run(toy, copy, tmp_path):
    toy.write_run(tmp_path / "other", toy.manifest(members=(0, 1)))
    path = copy / "records" / "extent-000001.npz"
    shutil.copy(tmp_path / "other" / "records" / path.name, path)
    message = (
        rf"{path} does not belong to its run: diverged_at must be int32 \[4\], got int32 \[2\]"
    )
    with pytest.raises(ValueError, match=message):
        load_run(copy)


def test_wrong_shapes_are_found_when_they_are_read(toy, copy, tmp_path):
    toy.write_run(tmp_path / "other", toy.manifest(sizes={"train": 13, "test": 20}))
    path = copy / "records" / "extent-000001.npz"
    shutil.copy(tmp_path / "other" / "records" / path.name, path)
    run = load_run(copy, include_diverged=True)
    message = rf"{path} does not belong to its run: predictions_test must be uint8 \[4, 8\]"
    with pytest.raises(ValueError, match=message):
        run.predictions("test")


def test_examples_of_another_run(toy, copy, tmp_path):
    toy.write_run(tmp_path / "other", toy.manifest(sizes={"train": 13, "test": 20}))
    shutil.copy(tmp_path / "other" / "examples.npz", copy / "examples.npz")
    message = r"does not belong to its run: test must have \[8\] labels, got \[20\]"
    with pytest.raises(ValueError, match=message):
        load_run(copy)


@pytest.mark.parametrize("foreign", ["of another run", "of another extent"])
def test_a_record_of_another_run_or_extent_is_refused(toy, tmp_path, foreign):
    toy.write_run(tmp_path / "run", toy.manifest())
    other, extent = tmp_path / "run", 0
    if foreign == "of another run":
        other, extent = tmp_path / "other", 5
        toy.write_run(other, toy.manifest(run_id="other"))
    record = tmp_path / "run" / "records" / "extent-000005.npz"
    record.write_bytes((other / "records" / f"extent-{extent:06d}.npz").read_bytes())
    message = rf"{record} does not belong to its run: it must be of run toy extent 5, got 'run "
    with pytest.raises(ValueError, match=message):
        load_run(tmp_path / "run")


def test_records_of_older_runs_bear_no_id(toy, tmp_path):
    toy.write_run(tmp_path / "run", toy.manifest(run_id=""))
    assert load_run(tmp_path / "run").finished
    with np.load(tmp_path / "run" / "records" / "extent-000005.npz") as file:
        assert "identity" not in file

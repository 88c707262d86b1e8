"""A run is given more members in place, and stays what it was until they are finished.

Within this process, because starting others is what takes the time.
"""

import dataclasses
import functools
import json
import os
import re
import shutil
import signal

import numpy as np
import pytest

from ensemble_jax import load_run
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.cli.translate import training_of
from ensemble_jax.interruption import Interrupted
from ensemble_jax.launch import pieces
from ensemble_jax.launch.by_rank import train_collection
from ensemble_jax.options import Model
from ensemble_jax.runs import lock_run

pytestmark = pytest.mark.usefixtures("no_compilation_cache")


@pytest.fixture(scope="module")
def config(toy_set):
    return TrainConfig(
        dataset=f"npz:{toy_set}",
        model=Model.FULLY_CONNECTED,
        width=4,
        depth=1,
        num_members=2,
        plan="default,num_devices=1",
        batch_size=25,
        extents=(0, 1, 2),
    )


def grow(config, workdir, **changes):
    """Train the config with some fields changed."""
    return train_collection(training_of([dataclasses.replace(config, **changes)]), workdir).run


@pytest.fixture(scope="module")
def small(config, tmp_path_factory):
    """A run of the members 0 and 1, two epochs; only to be read."""
    workdir = tmp_path_factory.mktemp("growing") / "small"
    grow(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def large(config, tmp_path_factory):
    """The members 0 to 4, three epochs, trained together; only to be read."""
    workdir = tmp_path_factory.mktemp("growing") / "large"
    return grow(config, workdir, num_members=5, extents=(0, 1, 2, 3))


@pytest.fixture
def workdir(small, tmp_path):
    shutil.copytree(small, tmp_path / "run")
    return tmp_path / "run"


def assert_same(run, whole, extents):
    assert run.extents == tuple(extents)
    kept = np.isin(whole.members, run.members)
    for split in run.splits:
        for read in (type(run).bits, type(run).predictions):
            np.testing.assert_array_equal(read(run, split), read(whole, split, extents)[:, kept])
    for name, values in run.metrics.items():
        expected = whole.metrics[name][np.isin(whole.extents, extents)][:, kept]
        assert values.tobytes() == np.ascontiguousarray(expected).tobytes(), name


def test_a_run_grows_twice_and_gets_more_epochs(config, workdir, large, contents):
    before = contents(workdir)
    run = grow(config, workdir, num_members=4)
    assert run.members.tolist() == [0, 1, 2, 3]
    assert_same(run, large, (0, 1, 2))
    # What was there is as it was, but for what belongs to the run.
    now = contents(workdir)
    assert {name for name in before if now[name] != before[name]} == {"run.json"}
    assert sorted({name.split("/")[1] for name in now if name.startswith("parts/")}) == ["2-4"]

    run = grow(config, workdir, num_members=5, extents=(0, 1, 2, 3))
    assert run.members.tolist() == [0, 1, 2, 3, 4]
    assert_same(run, large, (0, 1, 2, 3))
    assert run.config == large.config
    assert json.loads((workdir / "run.json").read_text())["parts"] == [[2, 4], [4, 5]]
    assert not list(workdir.rglob(".lock"))


def test_members_before_and_between(config, tmp_path, large, capsys):
    grow(config, tmp_path, members="2:3")
    run = grow(config, tmp_path, num_members=5)
    assert [part.directory.name for part in run.parts] == [tmp_path.name, "0-2", "3-5"]
    assert_same(run, large, (0, 1, 2))
    capsys.readouterr()
    assert grow(config, tmp_path, num_members=5).members.tolist() == run.members.tolist()
    assert capsys.readouterr().out.startswith(f"{tmp_path} is finished: 5 members of ")


def test_a_run_stays_what_it_was_until_the_new_members_are_finished(
    config, workdir, large, monkeypatch
):
    """A signal in the middle of growing, then the same again, and a kill at the very end."""
    told = []

    def stop_after_an_epoch(self, epoch, losses):
        if not told:
            os.kill(os.getpid(), signal.SIGTERM)
            told.append(epoch)

    from ensemble_jax.progress import TrainingProgress

    monkeypatch.setattr(TrainingProgress, "epoch_done", stop_after_an_epoch)
    with pytest.raises(Interrupted, match="interrupted by SIGTERM after epoch 1"):
        grow(config, workdir, num_members=4)
    assert load_run(workdir / "parts" / "2-4").extents == (0, 1)
    run = load_run(workdir)
    assert run.finished
    assert_same(run, large, (0, 1, 2))
    assert run.members.tolist() == [0, 1]
    # Not half of what was begun; but without it the run can be continued.
    with pytest.raises(
        ValueError,
        match=rf"begun to grow by the members 2:4: ask for all of them, or remove {workdir}/parts",
    ):
        grow(config, workdir, num_members=3)
    assert grow(config, workdir).members.tolist() == [0, 1]

    def be_killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ensemble_jax.runs.RunWriter.add_parts", be_killed)
        with pytest.raises(KeyboardInterrupt):
            grow(config, workdir, num_members=4)
    assert load_run(workdir).members.tolist() == [0, 1]
    run = grow(config, workdir, num_members=4)
    assert run.members.tolist() == [0, 1, 2, 3]
    assert_same(run, large, (0, 1, 2))


def test_a_lost_part_is_trained_again(config, workdir, large):
    grow(config, workdir, num_members=4)
    shutil.rmtree(workdir / "parts" / "2-4")
    with pytest.raises(ValueError, match="lacks its part parts/2-4"):
        load_run(workdir)
    assert_same(grow(config, workdir, num_members=4), large, (0, 1, 2))


def test_extents_that_were_asked_for_in_vain_are_dropped(config, workdir):
    manifest = workdir / "run.json"
    manifest.write_text(
        re.sub(r'"extents": \[0, 1, 2\]', '"extents": [0, 1, 2, 7]', manifest.read_text())
    )
    assert not load_run(workdir).finished
    assert grow(config, workdir).finished


def test_what_cannot_be_grown_is_left_alone(config, workdir, contents):
    before = contents(workdir)
    for changes, message in (
        ({"seed": 1, "num_members": 4}, "another config.*: seed: 0 -> 1"),
        ({"members": "1:4"}, r"another config.*members: \[0, 1\] -> \[1, 2, 3\]"),
        ({"num_members": 1}, r"another config.*num_members: 2 -> 1; members: \[0, 1\] -> \[0\]"),
        (
            {"num_members": 4, "extents": (0, 2)},
            r"extents that hold the finished ones, \[0, 1, 2\]",
        ),
        ({"num_members": 4, "batch_size": 61}, "another config.*batch_size"),
    ):
        with pytest.raises(ValueError, match=message):
            grow(config, workdir, **changes)
    with lock_run(workdir), pytest.raises(ValueError, match="is being written by process"):
        grow(config, workdir, num_members=4)
    assert contents(workdir) == before


@pytest.mark.parametrize(
    ("num_members", "num_parts", "shares"),
    [
        (7, 3, [(0, 3), (3, 5), (5, 7)]),
        (4, 2, [(0, 2), (2, 4)]),
        (2, 3, [(0, 1), (1, 2)]),
        (5, 1, [(0, 5)]),
    ],
)
def test_members_are_divided_evenly(num_members, num_parts, shares):
    assert pieces.split(range(num_members), num_parts) == shares


def test_new_members_are_divided_and_parts_in_work_stay(config, workdir):
    shutil.copytree(workdir, workdir / "parts" / "4-6")
    manifest = workdir / "parts" / "4-6" / "run.json"
    manifest.write_text(manifest.read_text().replace('"members": [0, 1]', '"members": [4, 5]'))
    job = training_of([dataclasses.replace(config, num_members=9)])
    layout = pieces.make_layout(job, workdir, functools.partial(pieces.split, num_parts=2))
    assert [(piece.first, piece.end) for piece in layout.joining] == [
        (2, 3),
        (3, 4),
        (4, 6),
        (6, 8),
        (8, 9),
    ]
    assert [piece.first for piece in layout.unfinished] == [2, 3, 6, 8]

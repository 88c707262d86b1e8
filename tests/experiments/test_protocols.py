"""Members with training sets of their own, and the protocol that trains anew for each extent."""

from __future__ import annotations

import json
import shutil
import signal

import numpy as np
import pytest

from ensemble_jax import load_run
from ensemble_jax.training import independent_seeds

EXTENTS = (0, 1, 3)


def job(toy_set, *more, extents=EXTENTS, num_members=2):
    return (
        f"--config.dataset=npz:{toy_set}",
        "--config.model=fully_connected",
        f"--config.num_members={num_members}",
        "--config.plan=default,num_devices=1",
        "--config.batch_size=20",
        f"--config.extents={','.join(map(str, extents))}",
        *more,
    )


@pytest.fixture(scope="module")
def independent(binaries, toy_set, tmp_path_factory):
    directory = tmp_path_factory.mktemp("independent") / "run"
    answer = binaries.run(
        "train", *job(toy_set, "--config.protocol=independent"), f"--workdir={directory}"
    )
    assert answer.returncode == 0, answer.stderr
    return directory


def test_each_extent_is_a_training_of_its_own(binaries, toy_set, independent, tmp_path):
    run = load_run(independent)
    assert run.finished
    assert run.manifest.protocol == "independent"
    seed = independent_seeds(np.zeros(1, np.uint32), 3)[0]
    answer = binaries.run(
        "train", *job(toy_set, f"--config.seed={seed}"), f"--workdir={tmp_path / 'run'}"
    )
    assert answer.returncode == 0, answer.stderr
    alone = load_run(tmp_path / "run")
    for split in run.splits:
        np.testing.assert_array_equal(run.predictions(split, 3), alone.predictions(split, 3))
        assert (run.predictions(split, 0) != alone.predictions(split, 0)).any()


def test_an_independent_run_goes_on_with_the_first_extent_that_is_missing(
    binaries, toy_set, independent, assert_same_records, tmp_path
):
    directory = tmp_path / "run"
    shutil.copytree(independent, directory)
    (directory / "records" / "extent-000001.npz").unlink()
    answer = binaries.run(
        "train", *job(toy_set, "--config.protocol=independent"), f"--workdir={directory}"
    )
    assert answer.returncode == 0, answer.stderr
    assert "with the collection of 1 epochs" in answer.stdout
    assert_same_records(directory, independent)


def test_a_signal_costs_an_independent_run_the_collection_in_work(binaries, toy_set, tmp_path):
    directory = tmp_path / "run"
    extents = (0, 1, 100_000)
    stopped = binaries.start(
        "train",
        *job(toy_set, "--config.protocol=independent", extents=extents),
        f"--workdir={directory}",
    ).stop(signal.SIGTERM, (directory / "records" / "extent-000001.npz").exists)
    assert stopped.returncode == 143
    assert stopped.stderr.splitlines()[-1] == (
        "interrupted by SIGTERM with 2 of 3 collections finished; the same command continues"
    )
    assert load_run(directory).extents == (0, 1)


def test_parts_of_the_training_set(binaries, toy_set, tmp_path):
    answer = binaries.run(
        "train",
        *job(toy_set, "--config.partitions=2", extents=(0, 40), num_members=4),
        f"--workdir={tmp_path / 'run'}",
    )
    assert answer.returncode == 0, answer.stderr
    run = load_run(tmp_path / "run")
    assert run.hyperparameters["part"].tolist() == [0, 1, 0, 1]
    assert run.train_mask.sum(axis=1).tolist() == [30] * 4
    assert (run.train_mask[0] != run.train_mask[1]).all()
    # What a member has seen it knows better than what it has not.
    correct = run.correct("train", 40)[0]
    assert correct[run.train_mask].mean() > correct[~run.train_mask].mean() + 0.05
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["partitions"] == 2

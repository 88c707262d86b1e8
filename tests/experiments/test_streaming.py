"""The main job on images that come in pools: ImageNet as it is prepared, and a small set."""

import re
import signal

import numpy as np
import pytest

from ensemble_jax import load_run

MEMBERS = 3
# Nothing here depends on how fast the programs are, and they take long to compile.
QUICK = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}


@pytest.fixture(scope="module")
def imagenet_job(tmp_path_factory, write_imagenet) -> tuple[str, ...]:
    """Narrow ResNet-50 in ImageNet's form, an epoch in three pools of which the last is short."""
    data_dir = tmp_path_factory.mktemp("prepared")
    write_imagenet(data_dir)
    return (
        "--config.dataset=imagenet2012?size=32",
        f"--config.data_dir={data_dir}",
        "--config.model=resnet50",
        "--config.form=imagenet",
        "--config.width=2",
        "--config.depth=1",
        f"--config.num_members={MEMBERS}",
        "--config.plan=default,num_devices=1,convolution=xla",
        "--config.batch_size=8",
        "--config.evaluation_batch_size=8",
        "--config.extents=0,4",
        "--config.augmentation=crop:2,flip",
        "--config.pool_images=16",
        "--config.workers=2",
        "--config.checkpoint_minutes=0.0001",
    )


@pytest.fixture(scope="module")
def imagenet_run(binaries, imagenet_job, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "imagenet"
    answer = binaries.run("train", *imagenet_job, f"--workdir={directory}", env=QUICK)
    assert answer.returncode == 0, answer.stderr
    assert "at most 16 images on a device" in answer.stdout
    return directory


@pytest.mark.slow
def test_all_members_learn_all_images(imagenet_run):
    run = load_run(imagenet_run)
    assert run.manifest.plan["pool_images"] == 16
    assert run.config["pool_images"] == 16
    assert "workers" not in run.config
    assert run.correct("train").shape == (2, MEMBERS, 45)
    assert run.correct("test").shape == (2, MEMBERS, 13)
    assert run.ids["test"][0].endswith(".JPEG")
    for split in ("train", "test"):
        predictions = run.predictions(split)
        np.testing.assert_array_equal(run.correct(split), predictions == run.labels[split])
    # Every member its own, and learning.
    assert len(np.unique(run.predictions("train")[-1], axis=0)) == MEMBERS
    assert (run.metrics["train_loss"][-1] < run.metrics["train_loss"][0]).all()


@pytest.mark.slow
def test_a_member_alone_has_the_same_bits(binaries, imagenet_job, imagenet_run, tmp_path):
    directory = tmp_path / "alone"
    answer = binaries.run(
        "train", *imagenet_job, "--config.members=1:2", f"--workdir={directory}", env=QUICK
    )
    assert answer.returncode == 0, answer.stderr
    alone, all_members = load_run(directory), load_run(imagenet_run)
    for split in ("train", "test"):
        np.testing.assert_array_equal(
            alone.predictions(split)[:, 0], all_members.predictions(split)[:, 1]
        )


def checkpoints(directory):
    folder = directory / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return {int(name) for name in names if name.isdecimal()}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.slow
def test_a_training_that_ends_within_an_epoch_goes_on_there(
    binaries, imagenet_job, imagenet_run, assert_same_records, tmp_path, number
):
    """There are three pools an epoch, and a checkpoint after every one."""
    directory = tmp_path / "run"
    command = ("train", *imagenet_job, f"--workdir={directory}")
    stopped = binaries.start(*command, env=QUICK).stop(
        number, lambda: any(name % 3 for name in checkpoints(directory))
    )
    if number == signal.SIGTERM:
        assert stopped.returncode == 143, stopped.stderr
    else:
        assert stopped.returncode == -signal.SIGKILL
    answer = binaries.run(*command, env=QUICK)
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"^continuing \S+ after epoch \d", answer.stdout, re.M)
    assert_same_records(directory, imagenet_run)


@pytest.fixture(scope="module")
def run_toy(binaries, toy_set, tmp_path_factory):
    """A function that trains on 60 and 30 images with some more options."""

    def run(*options):
        directory = tmp_path_factory.mktemp("runs") / "toy"
        answer = binaries.run(
            "train",
            f"--config.dataset=npz:{toy_set}",
            "--config.model=fully_connected",
            "--config.width=8",
            "--config.num_members=2",
            "--config.plan=default,num_devices=1",
            "--config.batch_size=25",
            "--config.extents=0,4",
            *options,
            f"--workdir={directory}",
        )
        return directory, answer

    return run


def test_a_pool_as_large_as_the_data_gives_the_same_bits(run_toy, assert_same_records):
    in_memory, answer = run_toy()
    assert answer.returncode == 0, answer.stderr
    one_pool, answer = run_toy("--config.pool_images=60")
    assert answer.returncode == 0, answer.stderr
    assert_same_records(one_pool, in_memory)
    in_pools, answer = run_toy("--config.pool_images=30")
    assert answer.returncode == 0, answer.stderr
    with pytest.raises(AssertionError):
        assert_same_records(in_pools, in_memory)
    # Before they are trained members are the same.
    for split in ("train", "test"):
        one, other = (load_run(run).predictions(split, 0) for run in (in_pools, in_memory))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--config.pool_images=30", "--config.partitions=2"), "pool_images must be 0"),
        (("--config.pool_images=-1",), "pool_images must be at least 0, got -1"),
        (("--config.workers=2000",), "workers must be at most 1024, got 2000"),
        (("--config.augmentation=crop",), "augmentation must be of crop:PIXELS"),
        (("--config.augmentation=flip,flip",), "augmentation must have flip only once"),
    ],
)
def test_mistakes(run_toy, options, error):
    directory, answer = run_toy(*options)
    assert answer.returncode == 2
    assert error in answer.error
    assert not directory.exists()

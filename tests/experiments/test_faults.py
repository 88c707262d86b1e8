"""What goes wrong on real machines, and what a user sees and keeps."""

import re
import shutil

import pytest

from ensemble_jax import load_run
from ensemble_jax.runs import lock_run

# Sets the clock back by a day at every tenth look.
JUMPING_CLOCK = """
import itertools, time
now, looks = time.time, itertools.count()
time.time = lambda: now() - 86400 * (next(looks) // 10)
"""


def with_extents(toy_job, extents):
    """The job with other extents."""
    kept = [option for option in toy_job if not option.startswith("--config.extents=")]
    return [*kept, f"--config.extents={','.join(map(str, extents))}"]


@pytest.fixture
def unfinished(undisturbed, tmp_path):
    """A run whose last extent is still to come, with one checkpoint before it."""
    directory = tmp_path / "unfinished"
    shutil.copytree(undisturbed, directory)
    (directory / "records" / "extent-000009.npz").unlink()
    shutil.rmtree(directory / "checkpoints" / "9")
    return directory


def test_a_clock_that_jumps_back_changes_nothing_and_more_epochs_are_added(
    binaries, toy_job, undisturbed, assert_same_records, contents, tmp_path
):
    """Two tests in one, because starting a process is what takes the time."""
    directory = tmp_path / "run"
    written = {}
    for last in (4, 9):
        answer = binaries.run(
            "train",
            *with_extents(toy_job, range(last + 1)),
            f"--workdir={directory}",
            before=JUMPING_CLOCK,
        )
        assert answer.returncode == 0, answer.stderr
        run = load_run(directory)
        assert run.finished
        assert run.config["extents"] == list(range(last + 1))
        # What is finished is not written again.
        records = contents(directory / "records")
        assert {name: records[name] for name in written} == written
        written = records
    assert f"continuing {directory} after epoch 4" in answer.stdout
    assert_same_records(directory, undisturbed)
    assert run.config == load_run(undisturbed).config


@pytest.mark.parametrize(
    ("extents", "parts"),
    [
        (range(3), ["hold the finished ones, [0, 1, 2, 3, 4, 5, 6, 7, 8]", "got [0, 1, 2]"]),
        (range(1, 11), ["got [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"]),
    ],
)
def test_extents_that_cannot_be_are_refused(
    binaries, toy_job, unfinished, contents, extents, parts
):
    before = contents(unfinished)
    command = (*with_extents(toy_job, extents), f"--workdir={unfinished}")
    answer = binaries.run("train", *command, jax=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "jax" not in answer.modules
    for part in parts:
        assert part in answer.error
    assert contents(unfinished) == before


def test_extents_between_finished_ones_are_refused(binaries, toy_job, unfinished, contents):
    """They would take a training from the start."""
    (unfinished / "records" / "extent-000003.npz").unlink()
    manifest = unfinished / "run.json"
    manifest.write_text(manifest.read_text().replace("2, 3, 4", "2, 4"))
    before = contents(unfinished)
    answer = binaries.run("train", *toy_job, f"--workdir={unfinished}")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "[0, 1, 2, 4, 5, 6, 7, 8], and new ones after 8, got [0, 1, 2, 3, 4," in answer.error
    assert contents(unfinished) == before


def test_a_second_process_on_the_same_run_is_refused(binaries, toy_job, unfinished, contents):
    with lock_run(unfinished):
        before = contents(unfinished)
        answer = binaries.run("train", *toy_job, f"--workdir={unfinished}", jax=False)
        assert contents(unfinished) == before
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "jax" not in answer.modules
    assert re.match(rf"error: {unfinished} is being written by process \d+ on ", answer.error)


def test_a_finished_run_needs_no_lock(binaries, toy_job, undisturbed, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(undisturbed, directory)
    with lock_run(directory):
        answer = binaries.run("train", *toy_job, f"--workdir={directory}")
    assert (answer.returncode, answer.stderr) == (0, "")


def test_a_read_only_folder_is_told(binaries, toy_job, unfinished, contents, in_namespace):
    # It is read-only just for the process that tries to write.
    prefix = in_namespace(
        f"mount --bind {unfinished} {unfinished} && mount -o remount,ro,bind {unfinished}"
    )
    before = contents(unfinished)
    answer = binaries.run(
        "train",
        *toy_job,
        f"--workdir={unfinished}",
        prefix=prefix,
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.error == f"error: cannot write a run at {unfinished}: Read-only file system"
    assert contents(unfinished) == before
    assert load_run(unfinished).extents == tuple(range(9))


def test_a_truncated_record_is_named_and_the_others_are_read(binaries, toy_job, unfinished):
    record = unfinished / "records" / "extent-000003.npz"
    record.write_bytes(record.read_bytes()[:-100])
    for command in (
        ("train", *toy_job, f"--workdir={unfinished}"),
        ("analyze", f"--run={unfinished}"),
    ):
        answer = binaries.run(*command)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert answer.error.startswith(f"error: {record} is damaged: ")
        assert answer.error.endswith("; without this file the other extents can be read")
    record.unlink()
    run = load_run(unfinished)
    assert run.extents == (0, 1, 2, 4, 5, 6, 7, 8)
    assert run.correct("train").shape == (8, 4, 60)


def test_a_truncated_checkpoint_is_told_and_computed_again(
    binaries, toy_job, unfinished, undisturbed, assert_same_records, contents
):
    (checkpoint,) = (unfinished / "checkpoints").iterdir()
    for path in checkpoint.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    written = contents(unfinished / "records")
    answer = binaries.run("train", *toy_job, f"--workdir={unfinished}")
    assert answer.returncode == 0, answer.stderr
    warned, *bar = [line for line in answer.stderr.splitlines() if line]
    assert warned.startswith(f"warning: the checkpoint of epoch {checkpoint.name} cannot be read")
    assert all(line.startswith("training: ") for line in bar), answer.stderr
    assert f"continuing {unfinished} after epoch 0" in answer.stdout
    assert_same_records(unfinished, undisturbed)
    records = contents(unfinished / "records")
    assert {name: records[name] for name in written} == written

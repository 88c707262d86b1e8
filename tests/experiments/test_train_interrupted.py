"""A training that is interrupted, or has no room, and the same command again."""

import json
import re
import shutil
import signal

import numpy as np
import pytest

from ensemble_jax import load_run


def count_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def continued_after(answer):
    """The epoch after which a process says that it continues."""
    return int(re.search(r"^continuing \S+ after epoch (\d+)$", answer.stdout, re.M)[1])


def test_a_run_that_signals_end_goes_on_where_it_was_and_ends_with_the_same_bits(
    binaries, toy_job, undisturbed, assert_same_records, tmp_path
):
    directory = tmp_path / "run"
    metrics = directory / "metrics.jsonl"
    command = ("train", *toy_job, f"--workdir={directory}")

    # Ctrl-C, and what a scheduler sends that wants its machine back.
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = count_lines(metrics)
        stopped = binaries.start(*command).stop(
            number,
            lambda finished=before: count_lines(metrics) > finished,
        )
        assert stopped.returncode == code
        last_line = stopped.stderr.splitlines()[-1]
        assert "Traceback" not in stopped.stderr
        reached = load_run(directory).extents[-1]
        assert before <= reached < 9
        assert last_line == (
            f"interrupted by {number.name} after epoch {reached}; the same command continues"
        )
        # The epoch in work was ended, and its state saved.
        assert (directory / "checkpoints" / str(reached)).exists()
        assert f"{number.name}: ends after this epoch; a second signal ends at once" in (
            stopped.stderr
        )

    completed = binaries.run(*command)
    assert completed.returncode == 0, completed.stderr
    assert continued_after(completed) == reached
    assert load_run(directory).finished
    assert_same_records(directory, undisturbed)
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    originals = [json.loads(x) for x in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    for line, original in zip(lines, originals, strict=True):
        del line["train_images_per_second"], original["train_images_per_second"]
        assert line == original
    for name in ("scores.csv", "dynamics.csv", "figures/consistency.svg"):
        assert (directory / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.fixture
def unfinished(undisturbed, tmp_path):
    """A run whose last extent is still to come."""
    directory = tmp_path / "unfinished"
    shutil.copytree(undisturbed, directory)
    (directory / "records" / "extent-000009.npz").unlink()
    shutil.rmtree(directory / "checkpoints" / "9")
    return directory


def test_other_examples_are_refused(binaries, toy_job, unfinished, contents):
    with np.load(unfinished / "examples.npz") as file:
        arrays = dict(file)
    arrays["labels_test"] = np.roll(arrays["labels_test"], 1)
    np.savez(unfinished / "examples.npz", **arrays)
    before = contents(unfinished)
    answer = binaries.run("train", *toy_job, f"--workdir={unfinished}")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "was trained on other test examples than npz:" in answer.error
    assert "--workdir" in answer.error
    assert contents(unfinished) == before


def test_a_lost_record_is_not_passed_over(binaries, toy_job, unfinished):
    (unfinished / "records" / "extent-000000.npz").unlink()
    answer = binaries.run("train", *toy_job, f"--workdir={unfinished}")
    assert answer.returncode == 2
    assert "lacks the record of the extent 0" in answer.error
    assert f"remove {unfinished / 'checkpoints'}" in answer.error


def test_a_limit_on_files_ends_in_one_line_and_the_run_continues_without_it(
    binaries, toy_job, undisturbed, assert_same_records, tmp_path
):
    directory = tmp_path / "run"
    command = ("train", *toy_job, f"--workdir={directory}")

    def run_with_files_of(kibibytes):
        limit = ("bash", "-c", 'ulimit -f "$0" && exec "$@"', str(kibibytes))
        return binaries.run(*command, prefix=limit)

    # Not even the description of the run can be written.
    answer = run_with_files_of(1)
    assert answer.returncode == 2
    assert answer.error.endswith("File too large")
    assert list(directory.iterdir()) == []

    # Records can be written, but checkpoints of some megabytes cannot.
    answer = run_with_files_of(1000)
    assert answer.returncode == 2
    *bar, last_line = answer.stderr.splitlines()
    assert all(line.startswith("training: ") for line in bar if line), answer.stderr
    assert last_line.startswith(f"error: cannot write epoch 0 to {directory}, the same command")
    assert "File too large" in last_line
    assert load_run(directory).extents[0] == 0

    answer = binaries.run(*command)
    assert answer.returncode == 0, answer.stderr
    assert_same_records(directory, undisturbed)


def test_a_full_disk_ends_in_one_line_and_the_run_continues_when_there_is_room(
    binaries, toy_job, undisturbed, assert_same_records, in_namespace, tmp_path
):
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    directory = disk / "run"
    # The disk is only there for the process that fills it, so that nothing is left mounted.
    prefix = in_namespace(
        f"mount -t tmpfs -o size=20m none {disk}",
        f'{{ "$@"; code=$?; cp -a {directory} {kept}; exit $code; }}',
    )
    answer = binaries.run(
        "train",
        *toy_job,
        f"--workdir={directory}",
        prefix=prefix,
    )
    assert answer.returncode == 2, answer.stderr
    *bar, last_line = answer.stderr.splitlines()
    assert all(line.startswith("training: ") for line in bar if line), answer.stderr
    assert re.fullmatch(
        rf"error: cannot write epoch \d to {directory}, the same command continues before it: the "
        r"disk is full, a checkpoint takes \d+\.\d MB and \d\.\d MB are free",
        last_line,
    )
    assert load_run(kept).extents[:1] == (0,)

    answer = binaries.run("train", *toy_job, f"--workdir={kept}")
    assert answer.returncode == 0, answer.stderr
    assert continued_after(answer) == 0
    assert_same_records(kept, undisturbed)

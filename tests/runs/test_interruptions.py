"""A run directory after the process, the disk or the machine gave up at any point."""

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ensemble_jax.runs import RunWriter, load_run

# The calls that change the disk for good; before each of them a writer may be stopped.
STEPS_OF_CREATION = 7
STEPS_OF_EXTENT = 4


@contextlib.contextmanager
def giving_up(step, error):
    """Raise at the n-th call that makes something durable, and list these calls."""
    calls = []

    def counted(name, function):
        def call(*arguments):
            calls.append(name)
            if len(calls) == step:
                raise error
            return function(*arguments)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "replace"):
            patch.setattr(os, name, counted(name, getattr(os, name)))
        yield calls


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", range(1, STEPS_OF_CREATION + 1))
def test_a_creation_that_fails_leaves_nothing_and_can_be_repeated(toy, tmp_path, step, error):
    with pytest.raises(type(error)), giving_up(step, error):
        toy.write_run(tmp_path, toy.manifest(), finished=())
    assert list(tmp_path.iterdir()) == []
    toy.write_run(tmp_path, toy.manifest())
    assert load_run(tmp_path).finished


def test_the_steps_are_all_tested(toy, tmp_path):
    with giving_up(None, None) as calls:
        writer = toy.write_run(tmp_path, toy.manifest(), finished=())
    assert len(calls) == STEPS_OF_CREATION
    with giving_up(None, None) as calls:
        writer.write_extent(toy.record(writer.manifest, 0))
    # The record, its name, the folder that has the name, the metrics.
    assert calls == ["fsync", "replace", "fsync", "fsync"]
    assert len(calls) == STEPS_OF_EXTENT


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", range(1, STEPS_OF_EXTENT + 1))
def test_an_extent_that_fails_leaves_the_run_readable_and_can_be_repeated(
    toy, tmp_path, step, error
):
    manifest = toy.manifest()
    toy.write_run(tmp_path / "whole", manifest)
    writer = toy.write_run(tmp_path / "run", manifest, finished=(0,))
    before = files_of(tmp_path / "run")
    with pytest.raises(type(error)), giving_up(step, error):
        writer.write_extent(toy.record(manifest, 1))
    if step <= 2:  # before the rename nothing has changed
        assert files_of(tmp_path / "run") == before
    assert not [name for name in files_of(tmp_path / "run") if name.endswith(".tmp")]
    assert load_run(tmp_path / "run").extents == ((0,) if step <= 2 else (0, 1))
    writer.write_extent(toy.record(manifest, 1))
    writer.write_extent(toy.record(manifest, 5))
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("step", range(1, 3))
def test_replacing_a_record_that_fails_keeps_the_old_one(toy, tmp_path, step):
    manifest = toy.manifest()
    writer = toy.write_run(tmp_path, manifest)
    before = files_of(tmp_path)
    with pytest.raises(OSError, match="full"), giving_up(step, OSError(28, "full")):
        writer.write_extent(toy.record(manifest, 1, diverged=[0]))
    assert files_of(tmp_path) == before


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import make_manifest, make_record, write_run

def killed_at(step, work):
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return
    left = step
    def counted(function):
        def call(*arguments):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments)
        return call
    os.fsync, os.replace = counted(os.fsync), counted(os.replace)
    work()
    os._exit(0)

folder = Path(sys.argv[2])
manifest = make_manifest()
for step in range(1, int(sys.argv[3]) + 1):
    killed_at(step, lambda: write_run(folder / f"creation{step}", manifest))
for step in range(1, int(sys.argv[4]) + 1):
    writer = write_run(folder / f"extent{step}", manifest, finished=(0,))
    killed_at(step, lambda: writer.write_extent(make_record(manifest, 1)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be killed by POSIX")
def test_a_writer_killed_before_any_step(toy, tmp_path):
    here = Path(__file__).parent
    steps = str(STEPS_OF_CREATION), str(STEPS_OF_EXTENT)
    subprocess.run(
        [sys.executable, "-c", KILLED_WRITER, here, tmp_path, *steps],
        check=True,
        cwd=here.parent.parent,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    manifest = toy.manifest()
    whole = files_of(toy.write_run(tmp_path / "whole", manifest).directory)
    for step in range(1, STEPS_OF_CREATION + 1):
        directory = tmp_path / f"creation{step}"
        if step < STEPS_OF_CREATION:
            with pytest.raises(ValueError, match="is not a run"):
                load_run(directory)
            toy.write_run(directory, manifest)
        else:
            assert load_run(directory).extents == ()
            writer = RunWriter.open(directory)
            for extent in manifest.extents:
                writer.write_extent(toy.record(manifest, extent))
        assert without_times(files_of(directory)) == without_times(whole)
    for step in range(1, STEPS_OF_EXTENT + 1):
        directory = tmp_path / f"extent{step}"
        run = load_run(directory)
        assert run.extents == ((0,) if step <= 2 else (0, 1))
        assert run.correct("train").shape == (len(run.extents), 4, 13)
        writer = RunWriter.open(directory)
        assert not list(directory.rglob("*.tmp"))
        for extent in (1, 5):
            writer.write_extent(toy.record(manifest, extent))
        assert without_times(files_of(directory)) == without_times(whole)


def without_times(files):
    return {name: content for name, content in files.items() if name != "run.json"}


@contextlib.contextmanager
def largest_file(size):
    """Let the system stop every write at `size` bytes, in the middle, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_in_the_middle_of_a_record(toy, tmp_path):
    manifest = toy.manifest()
    writer = toy.write_run(tmp_path, manifest, finished=(0,))
    before = files_of(tmp_path)
    with pytest.raises(OSError, match="too large"), largest_file(1000):
        writer.write_extent(toy.record(manifest, 1))
    assert files_of(tmp_path) == before
    writer.write_extent(toy.record(manifest, 1))
    assert load_run(tmp_path).extents == (0, 1)


def test_a_disk_that_fills_up_in_the_middle_of_creation(toy, tmp_path):
    with pytest.raises(OSError, match="too large"), largest_file(1000):
        toy.write_run(tmp_path, toy.manifest())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("finished", [(), (0,)])
def test_a_disk_that_fills_up_in_the_middle_of_the_metrics(toy, tmp_path, finished):
    # Many members of few examples, so that a line of metrics is longer than a record.
    manifest = toy.manifest(range(10**6, 10**6 + 500), sizes={"train": 1, "test": 1})
    toy.write_run(tmp_path / "whole", manifest)
    record_size = (tmp_path / "whole" / "records" / "extent-000000.npz").stat().st_size
    writer = toy.write_run(tmp_path / "run", manifest, finished=finished)
    extent = manifest.extents[len(finished)]
    metrics = tmp_path / "run" / "metrics.jsonl"
    size = metrics.stat().st_size + 100 if finished else 0
    with pytest.raises(OSError, match="too large"), largest_file(max(size, record_size)):
        writer.write_extent(toy.record(manifest, extent))
    assert not metrics.read_bytes().endswith(b"\n")
    run = load_run(tmp_path / "run")
    assert run.extents == (*finished, extent)
    np.testing.assert_array_equal(
        run.predictions("test")[-1], toy.record(manifest, extent).splits["test"].predictions
    )
    for extent in manifest.extents[len(finished) :]:
        writer.write_extent(toy.record(manifest, extent))
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")

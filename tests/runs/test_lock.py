"""One process at a time writes; the others are told which."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys

import pytest

from ensemble_jax.resuming import save_checkpoint
from ensemble_jax.runs import RunWriter, claim_folder, load_run, lock_run, merge_runs
from ensemble_jax.runs.lock import LostLockError, check_lock, locked

HOLDER = """
import sys, time
from pathlib import Path
from ensemble_jax.runs import lock_run
with lock_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path, holder):
    message = rf"^{tmp_path} is being written by process {holder.pid} on \S+: wait for its end"
    with pytest.raises(ValueError, match=message), lock_run(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").exists()
    with lock_run(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_leaves_is_no_content(toy, tmp_path, holder):
    holder.kill()
    holder.wait()
    claim_folder(tmp_path)
    with lock_run(tmp_path):
        toy.write_run(tmp_path, toy.manifest())
    assert load_run(tmp_path).finished


def test_a_run_is_read_while_it_is_written_or_may_not_be_written(toy, tmp_path, monkeypatch):
    toy.write_run(tmp_path, toy.manifest())
    with lock_run(tmp_path):
        assert load_run(tmp_path).finished

    def refuse(*arguments):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("ensemble_jax.runs.lock.os.open", refuse)
    message = rf"^cannot write a run at {tmp_path}: Read-only file system$"
    with pytest.raises(ValueError, match=message), lock_run(tmp_path):
        pass
    monkeypatch.undo()
    assert load_run(tmp_path).finished


def test_an_error_within_is_the_errors_own(tmp_path):
    """It is not taken for one of the lock."""
    with pytest.raises(PermissionError, match="elsewhere"), lock_run(tmp_path):
        raise PermissionError(errno.EACCES, "elsewhere")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_removed_by_its_holder_is_taken_again(tmp_path, monkeypatch):
    """Its last holder ends between the opening of the file and its locking."""
    path = tmp_path / "lock"
    lock = fcntl.flock
    calls = []

    def lock_late(descriptor, operation):
        calls.append(descriptor)
        if len(calls) == 1:
            path.unlink()
        lock(descriptor, operation)

    monkeypatch.setattr("ensemble_jax.runs.lock.fcntl.flock", lock_late)
    with locked(path, tmp_path):
        assert len(calls) == 2
        with pytest.raises(ValueError, match="is being written by"), locked(path, tmp_path):
            pass


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("ensemble_jax.runs.lock.fcntl.flock", refuse)
    with (
        pytest.warns(UserWarning, match=r"has no locks \(No locks available\)"),
        lock_run(tmp_path),
    ):
        assert (tmp_path / ".lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_does_not_keep_a_lock_from_being_held(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ensemble_jax.runs.lock.os.write", refuse)
    with lock_run(tmp_path):
        message = "is being written by another process"
        with pytest.raises(ValueError, match=message), lock_run(tmp_path):
            pass


def test_a_merge_in_work_keeps_another_of_the_same_output_out(toy, tmp_path):
    for name, members in {"one": [0, 1], "two": [2, 3]}.items():
        toy.write_run(tmp_path / name, toy.manifest(members=members))
    sources, output = [tmp_path / "one", tmp_path / "two"], tmp_path / "both"
    with (
        locked(tmp_path / ".both.merging.lock", output),
        pytest.raises(ValueError, match=rf"^{output} is being written by process {os.getpid()}"),
    ):
        merge_runs(sources, output)
    assert merge_runs(sources, output).finished
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both", "one", "two"]


@pytest.mark.parametrize("loss", ["moved", "removed", "lock removed"])
def test_a_folder_that_was_exchanged_is_written_no_further(toy, tmp_path, loss, contents):
    """Another run lies in its place, which another process writes."""
    directory = tmp_path / "run"
    manifest = toy.manifest()
    toy.write_run(tmp_path / "other", toy.manifest(run_id="other"), finished=[0])
    directory.mkdir()
    with lock_run(directory):
        writer = toy.write_run(directory, manifest, finished=[0])
        if loss == "moved":
            directory.rename(tmp_path / "moved")
        elif loss == "removed":
            shutil.rmtree(directory)
        else:
            (directory / ".lock").unlink()
        if loss != "lock removed":
            (tmp_path / "other").rename(directory)
        (directory / ".lock").write_text("process 1 on elsewhere")
        before = contents(directory)
        message = f"^{directory} is no longer the folder that this process has locked"
        for write in (
            lambda: writer.write_extent(toy.record(manifest, 1)),
            lambda: writer.ask_for([0, 1]),
            lambda: RunWriter.open(directory),
            lambda: writer.add_parts([(10, 20)]),
            lambda: save_checkpoint(1, 1, None, directory, None),
        ):
            with pytest.raises(LostLockError, match=message):
                write()
    # The other process's lock is not removed, either.
    assert contents(directory) == before


def test_a_lock_that_nobody_holds_is_not_missed(tmp_path):
    check_lock(tmp_path / ".lock")

"""Waiting for what other processes write into a run directory.

A process is at work as long as it holds its lock. On a file system without locks it is assumed to
be at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ensemble_jax.runs import is_being_written, load_run
from ensemble_jax.runs.layout import MANIFEST
from ensemble_jax.runs.parts import read_part

_PAUSE_SECONDS = 0.2
_NOTICE_SECONDS = 60.0


def await_begun(directory: Path) -> None:
    """Wait until another process has made the run.

    Raises:
        ValueError: if that process has ended before.
    """
    if not _await((directory / MANIFEST).exists, directory, "is begun"):
        raise ValueError(
            f"the process that was to begin {directory} has ended: it has said why, and the same "
            f"command for all processes begins again"
        )


def await_extents(directory: Path, extents: Sequence[int]) -> bool:
    """Wait until another process has finished these extents; False if it has ended before."""

    def finished() -> bool:
        begun = (directory / MANIFEST).exists()
        return begun and list(read_part(directory).extents) == list(extents)

    return _await(finished, directory, "is finished")


def await_whole(directory: Path, members: Sequence[int], extents: Sequence[int]) -> bool:
    """Wait until a run has all these members and extents; False if the first process has ended."""

    def finished() -> bool:
        try:
            run = load_run(directory, include_diverged=True)
        except (ValueError, FileNotFoundError):  # a part of it is not begun yet
            return False
        return set(members) <= set(run.members.tolist()) and set(extents) <= set(run.extents)

    return _await(finished, directory, "is finished")


def _await(condition: Callable[[], bool], directory: Path, what: str) -> bool:
    """Wait for a condition; False once no process writes the directory and it does not hold."""
    started = noticed = time.monotonic()
    while True:
        # The lock comes first: a process writes its last file before it gives up the lock.
        at_work = is_being_written(directory) is not False
        if condition():
            return True
        if not at_work:
            return False
        now = time.monotonic()
        if now - noticed >= _NOTICE_SECONDS:
            noticed = now
            print(f"waiting until {directory} {what}, for {(now - started) / 60:.0f} min so far")
        time.sleep(_PAUSE_SECONDS)

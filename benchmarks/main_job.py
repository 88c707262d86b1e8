"""The main job as a process of its own, and what it leaves."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import ROOT
from benchmarks.memory import Footprint
from ensemble_jax.runs import Run
from ensemble_jax.runs.layout import RECORDS

_MOMENT = 0.02  # seconds between two looks at the job


class MainJob:
    """The main job as a process of its own, and what was seen of it.

    Args:
        fields: of its config, those that are not the defaults.
        directory: the run's; what the job tells goes to a file beside it.

    Attributes:
        command: what Python was started with.
        started: when, by `time.perf_counter`.
        peak_bytes: the most resident memory, of processes that it started as well.
        written_bytes: sent to the disk.
    """

    def __init__(self, fields: Mapping[str, Any], directory: Path) -> None:
        self.command = ["-m", "experiments.train", *_overrides(fields), f"--workdir={directory}"]
        self._records = directory / RECORDS
        self._output = Path(f"{directory}.txt")
        self.peak_bytes = self.written_bytes = 0
        self._already = set(self.record_names())
        self._seen_at: dict[str, float] = {}
        self._continued_at: float | None = None
        # Programs that others have compiled before would change what compiling takes.
        environment = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(Path("cache").absolute())}
        with self._output.open("wb") as output:
            self.started = time.perf_counter()
            self._process = subprocess.Popen(
                [sys.executable, *self.command],
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def watch(self, stop: Callable[[], bool]) -> None:
        """Look at the job until it ends or what is waited for has happened."""
        try:
            while self._process.poll() is None and not stop():
                self._look()
                time.sleep(_MOMENT)
            self._look()
        except BaseException:
            self._process.kill()
            raise

    def _look(self) -> None:
        now = time.perf_counter()
        footprint = Footprint.of(self._process.pid)
        self.peak_bytes = max(
            self.peak_bytes, footprint.resident_bytes, footprint.peak_resident_bytes
        )
        self.written_bytes = max(self.written_bytes, footprint.written_bytes)
        for name in self.record_names():
            self._seen_at.setdefault(name, now)
        if self._continued_at is None and "continuing" in self._told():
            self._continued_at = now

    def kill(self) -> None:
        """SIGKILL; a RuntimeError if the job has ended by itself."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the job ended before it could be killed: {self._told()}")
        self._process.kill()
        self._process.wait()

    def watch_to_end(self) -> None:
        """Look at the job until it ends; a RuntimeError says what it told where it failed."""
        self.watch(lambda: False)
        if self._process.returncode != 0:
            raise RuntimeError(f"the job failed: {self._told()}")

    def resumed_after(self, extent: int) -> dict[str, float]:
        """From which epoch it went on, and how long that took, in seconds since its start."""
        epoch = re.search(r"continuing \S+ after epoch (\d+)", self._told())
        new = [at for name, at in self._seen_at.items() if name not in self._already]
        if epoch is None or self._continued_at is None or not new:
            raise RuntimeError(f"the job did not go on after extent {extent}: {self._told()}")
        return {
            "epoch": int(epoch[1]),
            "seconds_until_training": self._continued_at - self.started,
            "seconds_until_next_record": min(new) - self.started,
        }

    @property
    def seconds_per_extent(self) -> list[float]:
        """Between the records of two epochs."""
        times = sorted(self._seen_at.values())
        return np.diff(times).tolist()

    def record_names(self) -> list[str]:
        """The files of the records that are there now."""
        return [path.name for path in self._records.glob("extent-*.npz")]

    def _told(self) -> str:
        return self._output.read_text(errors="replace")


def _overrides(fields: Mapping[str, Any]) -> list[str]:
    """The options of the main job that set these fields."""

    def written(value):
        if isinstance(value, tuple):
            return ",".join(map(str, value))
        return value.value if isinstance(value, Enum) else value

    return [f"--config.{name}={written(value)}" for name, value in fields.items()]


def record_hashes(directory: Path) -> dict[str, str]:
    """The SHA-256 of every record."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((directory / RECORDS).glob("extent-*.npz"))
    }


def same_bits(run: Run, other: Run) -> bool:
    """Whether the members that two runs have in common do the same in both, at every extent."""
    common = np.intersect1d(run.members, other.members)
    if run.extents != other.extents or not len(common):
        return False
    rows, other_rows = (np.searchsorted(of.members, common) for of in (run, other))

    def equal(array, other_array):
        return np.array_equal(array[:, rows], other_array[:, other_rows])

    return all(
        equal(run.bits(split, extent), other.bits(split, extent))
        and equal(run.predictions(split, extent), other.predictions(split, extent))
        for split in run.splits
        for extent in run.extents
    ) and all(equal(run.metrics[name], other.metrics[name]) for name in run.metrics)


def disk_bytes(directory: Path) -> dict[str, int]:
    """What lies in the run's folder at the end, by the first part of the path."""
    sizes: dict[str, int] = {}
    for path in directory.rglob("*"):
        if path.is_file():
            name = path.relative_to(directory).parts[0]
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return sizes

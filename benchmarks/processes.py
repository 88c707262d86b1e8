"""As many processes of the Python loop as there are cores, each with its share of the members."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

from benchmarks.contender import Prepared
from benchmarks.environment import usable_cores
from benchmarks.memory import Memory, peak_resident_bytes
from benchmarks.remote import RemoteContender
from benchmarks.workloads import Task


class Processes:
    """One process per core, held to that core, so that none has threads that disturb another."""

    def __init__(self, task: Task) -> None:
        cores = usable_cores()[: task.num_members]
        shares = [len(range(i, task.num_members, len(cores))) for i in range(len(cores))]
        self._pool = ThreadPoolExecutor(max_workers=len(cores))
        self._processes = [
            RemoteContender(
                dataclasses.replace(
                    task, contender="python_loop", num_members=share, cores=(core,)
                ),
                limit_seconds=None,
            )
            for core, share in zip(cores, shares, strict=True)
        ]

    def prepare(self, steps: int) -> Prepared:
        """Let every process compile, all at once."""
        answers = self._pool.map(lambda process: process.prepare(steps), self._processes)
        parts = [prepared for prepared, _ in answers]
        return Prepared(
            sum(part.amount for part in parts),
            sum(part.num_members for part in parts),
            f"{len(parts)} processes",
            max(part.compile_seconds or 0 for part in parts),
        )

    def train(self) -> float:
        """All processes at once; the slowest decides."""
        self._runs = list(self._pool.map(lambda process: process.train(1), self._processes))
        return sum(run.loss for run in self._runs) / len(self._runs)

    def memory(self) -> Memory:
        """The sum of the peaks of all processes."""
        device = [run.memory.device_bytes for run in self._runs]
        return Memory(
            peak_resident_bytes() + sum(run.memory.resident_bytes for run in self._runs),
            None if None in device else sum(size or 0 for size in device),
        )

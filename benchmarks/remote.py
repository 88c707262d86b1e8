"""A contender in a process of its own, so that neither threads nor memory of two ever mix."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks.contender import Prepared, UnavailableError
from benchmarks.environment import ROOT
from benchmarks.memory import Memory
from benchmarks.workloads import Task

_ENVIRONMENT = {
    # Several workers share an accelerator, and the first must not take all of its memory.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    # Compilation is timed, so it has to happen.
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}
_PATIENCE_SECONDS = 10


class ContenderError(Exception):
    """A contender ended in an error; `details` is the traceback of its process, if there is one."""

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(reason)
        self.details = details


class Training(NamedTuple):
    """Calls of a contender's `train`, timed.

    Attributes:
        seconds: wall time of the calls together.
        loss: the members' mean loss as the last call saw it.
        memory: the most that was held meanwhile.
        idle_cpu_seconds: what the process computed while it should have waited for this request.
    """

    seconds: float
    loss: float
    memory: Memory
    idle_cpu_seconds: float


class RemoteContender:
    """A contender that a worker process runs.

    Args:
        task: what it trains.
        limit_seconds: after which a request counts as failed and the process is ended.

    Raises:
        UnavailableError: if it cannot take part.
        ContenderError: like every method, if it fails.
    """

    def __init__(self, task: Task, limit_seconds: float | None) -> None:
        self._limit_seconds = limit_seconds
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=_ENVIRONMENT | os.environ,
            text=True,
            # An interrupt is for the process that started this one, which then ends it.
            start_new_session=True,
        )
        try:
            self._ask(do="make", task=dataclasses.asdict(task))
        except BaseException:
            self.close()
            raise

    def prepare(self, steps: int) -> tuple[Prepared, float]:
        """What it is ready to do, and how long the preparation took."""
        result, _ = self._ask(do="prepare", steps=steps)
        return Prepared(**result["prepared"]), result["seconds"]

    def train(self, calls: int) -> Training:
        """Let it train."""
        result, idle_cpu_seconds = self._ask(do="train", calls=calls)
        memory = Memory(**result["memory"])
        return Training(result["seconds"], result["loss"], memory, idle_cpu_seconds)

    def describe(self, workload_names: list[str]) -> dict[str, Any]:
        """JAX's device, and the operations to train on one image of each workload."""
        return self._ask(do="describe", workload_names=workload_names)[0]

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                # What could not be written to a process that has ended is tried again here.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:  # It may be in the middle of something long.
            self._process.kill()
        self.close()

    def _ask(self, **request: Any) -> tuple[Any, float]:
        """The result of a request and the CPU seconds that the process used before it."""
        line = self._exchange(json.dumps(request))
        answer = json.loads(line)
        if "unavailable" in answer:
            raise UnavailableError(answer["unavailable"])
        if "failed" in answer:
            raise ContenderError(answer["failed"], answer["traceback"])
        return answer["result"], answer["idle_cpu_seconds"]

    def _exchange(self, line):
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Event()

        def end():
            late.set()
            self._process.kill()

        timer = threading.Timer(self._limit_seconds or threading.TIMEOUT_MAX, end)
        timer.daemon = True
        timer.start()
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if late.is_set():
            raise ContenderError(f"took longer than {self._limit_seconds:g} s")
        if not answer:
            code = self._process.wait()
            raise ContenderError(
                f"its process ended with signal {-code}{' (out of memory?)' if code == -9 else ''}"
                if code < 0
                else f"its process ended with exit code {code}"
            )
        return answer

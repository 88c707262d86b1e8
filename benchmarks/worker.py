"""The process of one contender: it does what the lines of its input say, and answers in lines.

Between two lines it waits in a read, so that nothing of it runs while another contender is timed.
Started by `benchmarks.remote`; a line is a JSON object, and so is each answer.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
import traceback
from typing import Any

from benchmarks.contender import Contender, UnavailableError
from benchmarks.contenders import make_contender
from benchmarks.memory import forget_peak, release_unused
from benchmarks.workloads import WORKLOADS, Task


def main() -> None:
    """Answer until the input ends."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    session = _Session()
    idle_since = time.process_time()
    for line in sys.stdin:
        idle_seconds = time.process_time() - idle_since
        answer = _answer(session, json.loads(line))
        print(json.dumps(answer | {"idle_cpu_seconds": idle_seconds}), file=answers, flush=True)
        idle_since = time.process_time()


class _Session:
    """The contender and what can be asked of it, one method for each request."""

    contender: Contender

    def make(self, task: dict[str, Any]) -> dict[str, Any]:
        """Take a task on."""
        made = Task(**task)
        if made.cores is not None and hasattr(os, "sched_setaffinity"):
            # Before any framework counts the cores for its threads.
            os.sched_setaffinity(0, made.cores)
        self.contender = make_contender(made)
        return {}

    def prepare(self, steps: int) -> dict[str, Any]:
        """Compile."""
        started = time.perf_counter()
        prepared = self.contender.prepare(steps)
        seconds = time.perf_counter() - started
        # Here and not before each timing, which would then pay for getting memory again.
        release_unused()
        return {"prepared": dataclasses.asdict(prepared), "seconds": seconds}

    def train(self, calls: int) -> dict[str, Any]:
        """Train, and tell the time of it."""
        forget_peak()
        started = time.perf_counter()
        for _ in range(calls):
            loss = self.contender.train()
        seconds = time.perf_counter() - started
        memory = dataclasses.asdict(self.contender.memory())
        return {"seconds": seconds, "loss": loss, "memory": memory}

    def describe(self, workload_names: list[str]) -> dict[str, Any]:
        """What only JAX knows: its device, and the operations in each workload."""
        import jax

        from benchmarks.operations import training_operations

        device = jax.local_devices()[0]
        return {
            "platform": device.platform,
            "device": device.device_kind,
            "operations": {name: training_operations(WORKLOADS[name]) for name in workload_names},
        }


def _answer(session, request):
    """The result of a request, or why there is none; the process goes on either way."""
    try:
        return {"result": getattr(session, request.pop("do"))(**request)}
    except UnavailableError as error:
        return {"unavailable": str(error)}
    except Exception as error:  # Any framework, any failure: the one who asked reports all of it.
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return {"failed": reason, "traceback": traceback.format_exc()}


if __name__ == "__main__":
    main()

"""Where the time of an epoch goes: a trace of the compiled epoch that this project trains with.

Run: python -m benchmarks.profile --workload=st_vgg --output=profile

The trace is for TensorBoard's profiler or Perfetto; the compiled program lies beside it, to look up
the names in the trace. A CPU's operations are in it only where the environment has
XLA_FLAGS=--xla_cpu_enable_xprof_traceme=true.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
from absl import app, flags

from benchmarks.collection import Collection
from benchmarks.contenders import PROJECT
from benchmarks.workloads import WORKLOADS, Task

_WORKLOAD = flags.DEFINE_enum("workload", "small_cnn_digits", list(WORKLOADS), "What to train.")
_MEMBERS = flags.DEFINE_integer("members", None, "N, by default the workload's.", lower_bound=1)
_PLAN = flags.DEFINE_string("plan", "default", "As --config.plan of the main job.")
_STEPS = flags.DEFINE_integer("steps", 2, "Of the epoch that is traced.", lower_bound=2)
_OUTPUT = flags.DEFINE_string("output", "profile", "Where to write.")


def main(_: Sequence[str]) -> None:
    """Compile, warm up, trace one epoch."""
    workload = WORKLOADS[_WORKLOAD.value]
    members = _MEMBERS.value or workload.num_members
    task = Task(PROJECT, _WORKLOAD.value, members, workload.batch_size, _PLAN.value)
    collection = Collection(task, members)
    prepared = collection.prepare(min(_STEPS.value, workload.most_steps))
    collection.train()
    output = Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    (output / "program.txt").write_text(collection.program)
    with jax.profiler.trace(str(output)):
        collection.train()
    print(f"{output}: {prepared.choice}, {prepared.amount} images in one epoch")


if __name__ == "__main__":
    app.run(main)

r"""Training N networks at once costs less than N trainings by any other means at hand.

Run: python -m benchmarks.training_speed
Takes about 25 minutes on two cores that do nothing else (an estimate), most of it for the naive
vmap of st-VGG and for the choice of plans.
For one workload and without the sweep, in about 5 minutes:
`--workloads=small_cnn_digits --sweep=`.

What is compared: this project's compiled epoch with N members and with one; a Python loop over one
jitted step; the same in a process per core; `lax.map` and `vmap` of a plain epoch; PyTorch's loop
in both memory formats and its `torch.func`. All train the same architecture with the same dropout
on batches of the same size drawn anew from the same images, which lie in memory as bytes and are
normalised in every step; SGD without momentum, float32. Nothing is evaluated or written. The
digits are those of scikit-learn; st-VGG is given random images of the shape of small_mammals, 400
of them. Of C-score's MLP every member has images of its own, half of all; the small ResNet takes
statistics of batches. All have all cores or one accelerator. This project measures its plans while
it warms up, as the main job does. The loops in JAX have the layers of Flax, the project's random
numbers, with which dropout is faster than with JAX's, and a step without what the project's does
for diverged members and hyperparameters of each member. (Results stored before `plain_layers` was
there are of loops that had the project's pooling as well, which made that of small st-VGG 1.3 times
as fast.) `lax.map` trains two of the st-VGG, since its speed does not depend on N.

How: each contender is a process that lives for the whole workload and waits while another works.
First each compiles, warms up and chooses as many steps as take `--seconds`. Then come rounds: every
contender once, in an order that turns from round to round. A contender that needs more than
`--slow_seconds` for the fewest steps that keep its loop a loop (two) is measured in the first
`--slow_rounds` only. The matrix product is one of the contenders, so that the peak is that of the
same minutes.

What the numbers mean: images/s are images times members over wall time, median (least-largest) of
the rounds. 'ensemble_jax is faster by' is the ratio within a round. Useful GFLOP/s count
2 * 3 * the multiply-adds of the forward pass, whatever a contender computes instead (Winograd
makes fewer), so that a fraction of the matrix peak may exceed 1. 'Compile' is the time of the
program in use, not in images/s. 'Resident' is the most main memory that the contender's processes
held while they were timed, libraries, data and compiled programs included; beside it that of an
accelerator, since the process began. 'Temporaries' are what the compiled program needs beyond its
arguments and results, by XLA's own account.

What is promised of all this is held against it in the first table (`benchmarks/acceptance.py`).
The sweep has one plan for every N, so that its memory can be compared.

Results: `results.json` with every measurement, `table.md`, `speed.png` and `sweep.png` (and .svg)
in `--output`. A contender that cannot run is in the table with its reason; one that fails makes the
exit code 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

from benchmarks.contenders import CONTENDERS, MATRIX_PRODUCT, PROJECT
from benchmarks.environment import define_output, describe_environment
from benchmarks.remote import RemoteContender
from benchmarks.results import write_results
from benchmarks.rounds import Protocol, measure
from benchmarks.summary import Benchmark
from benchmarks.workloads import LEAST_STEPS, WORKLOADS, Task
from ensemble_jax.plan import parse_plan_request

_WORKLOADS = flags.DEFINE_list(
    "workloads",
    ["st_vgg", "small_cnn_digits", "mlp_digits"],
    f"What to train, of {', '.join(WORKLOADS)}; empty for the sweep alone.",
)
_CONTENDERS = flags.DEFINE_list(
    "contenders", list(CONTENDERS), f"Who takes part, of {', '.join(CONTENDERS)}."
)
_SWEEP = flags.DEFINE_list(
    "sweep", ["small_cnn_digits"], "Workloads to train with every N of --sweep_members."
)
_SWEEP_CONTENDERS = flags.DEFINE_list("sweep_contenders", [PROJECT], "Who takes part in the sweep.")
_SWEEP_MEMBERS = flags.DEFINE_list(
    "sweep_members", [str(2**i) for i in range(8)], "The numbers of members of the sweep."
)
_MEMBERS = flags.DEFINE_integer(
    "members", None, "N, in place of each workload's own.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "In place of each workload's own.", lower_bound=1
)
_PLAN = flags.DEFINE_string(
    "plan", "auto", "Of this project, as --config.plan of the main job; auto tries them all."
)
_SWEEP_PLAN = flags.DEFINE_string(
    "sweep_plan", "default", "The plan in the sweep, the same for every N where it is not auto."
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Measurements of each contender.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 2.0, "Of one measurement.", lower_bound=0.0)
_SLOW_SECONDS = flags.DEFINE_float(
    "slow_seconds", 10.0, "What takes longer has --slow_rounds only.", lower_bound=0.0
)
_SLOW_ROUNDS = flags.DEFINE_integer("slow_rounds", 1, "See --slow_seconds.", lower_bound=1)
_LIMIT_SECONDS = flags.DEFINE_float(
    "limit_seconds", 1200.0, "What takes longer has failed.", lower_bound=1.0
)
_OUTPUT = define_output("training_speed")


def _check_names(flag: str, known: Sequence[str]) -> None:
    flags.register_validator(
        flag,
        lambda names: all(name in known for name in names),
        message=f"must be names of {', '.join(known)}, separated by commas",
    )


_check_names("workloads", list(WORKLOADS))
_check_names("sweep", list(WORKLOADS))
_check_names("contenders", list(CONTENDERS))
_check_names("sweep_contenders", list(CONTENDERS))
flags.register_validator(
    "sweep_members",
    lambda members: members and all(member.isdecimal() and int(member) for member in members),
    message="must be numbers of at least 1, separated by commas",
)
flags.register_multi_flags_validator(
    ["workloads", "sweep"],
    lambda values: values["workloads"] or values["sweep"],
    message="there must be a workload or a sweep",
)
for _flag in ("plan", "sweep_plan"):
    flags.register_validator(
        _flag,
        lambda text: parse_plan_request(text) is not None,  # raises what is wrong
    )
_LARGEST_BATCH = min(w.images_per_member for w in WORKLOADS.values()) // LEAST_STEPS
flags.register_validator(
    "batch_size",
    lambda size: size is None or size <= _LARGEST_BATCH,
    message=f"must be at most {_LARGEST_BATCH}, so that an epoch has {LEAST_STEPS} steps",
)


def main(_: Sequence[str]) -> None:
    """Measure all workloads, then the sweeps; what is done is written after each of them."""
    output = Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(_WORKLOADS.value + _SWEEP.value))
    environment = describe_environment()
    with RemoteContender(_peak_task(names[0]), _LIMIT_SECONDS.value) as remote:
        described = remote.describe(names)
    operations = described.pop("operations")
    environment |= described
    protocol = Protocol(
        rounds=_ROUNDS.value,
        seconds=_SECONDS.value,
        slow_seconds=_SLOW_SECONDS.value,
        slow_rounds=_SLOW_ROUNDS.value,
        limit_seconds=_LIMIT_SECONDS.value,
    )
    benchmarks: list[Benchmark] = []
    sweeps: list[Benchmark] = []
    for name in _WORKLOADS.value:
        members = _MEMBERS.value or WORKLOADS[name].num_members
        tasks = [_task(contender, name, members, _PLAN.value) for contender in _CONTENDERS.value]
        title = tasks[0].workload.full_title
        benchmarks.append(_measure(title, operations[name], name, tasks, protocol))
        write_results(output, environment, protocol, benchmarks, sweeps)
    for name in _SWEEP.value:
        tasks = [
            _task(contender, name, int(members), _SWEEP_PLAN.value)
            for contender in _SWEEP_CONTENDERS.value
            for members in _SWEEP_MEMBERS.value
        ]
        title = tasks[0].workload.full_title.rpartition(", N = ")[0]
        sweeps.append(_measure(title, operations[name], name, tasks, protocol))
        write_results(output, environment, protocol, benchmarks, sweeps)
    failed = [o for b in benchmarks + sweeps for o in b.outcomes if o.state == "failed"]
    if failed:
        print(f"{len(failed)} of the contenders failed, see {output / 'table.md'}", file=sys.stderr)
        sys.exit(1)


def _task(contender: str, workload_name: str, num_members: int, plan: str) -> Task:
    return Task(
        contender,
        workload_name,
        num_members,
        _BATCH_SIZE.value or WORKLOADS[workload_name].batch_size,
        plan,
    )


def _peak_task(workload_name: str) -> Task:
    return _task(MATRIX_PRODUCT, workload_name, 1, _PLAN.value)


def _measure(
    title: str, operations: int, name: str, tasks: Sequence[Task], protocol: Protocol
) -> Benchmark:
    print(f"{title}:", flush=True)
    outcomes = measure(
        [_peak_task(name), *tasks], protocol, lambda line: print(f"  {line}", flush=True)
    )
    return Benchmark(title, operations, outcomes)


if __name__ == "__main__":
    app.run(main)

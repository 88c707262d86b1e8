r"""Networks written in plain Flax layers train as fast as those that come with this project.

Run: python -m benchmarks.plain_layers
Takes about 5 minutes on two cores (an estimate).

What is compared: st-VGG and a small ResNet with batch statistics from `ensemble_jax.zoo`, and the
same networks as anybody writes them (`benchmarks/plain_networks.py`): `nn.Conv`, `nn.elu`,
`nn.max_pool`, `nn.Dropout`, `nn.BatchNorm` and `nn.Dense` of flax.linen, and st-VGG in flax.nnx.
All are trained by the same compiled epoch under the same plan, on the same random images.

How: in rounds, as `benchmarks.training_speed` does; nothing else differs between contenders. The
ratio is that of images/s within a round, median (least-largest) of the rounds.

Results: `results.json` with every measurement and `table.md` in `--output`. The exit code is 1
where a plain network is slower than promised.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

from absl import app, flags

from benchmarks.acceptance import LEAST_PLAIN_RATIO, plain_rows
from benchmarks.contenders import PROJECT
from benchmarks.environment import define_output, describe_environment, write_page
from benchmarks.rounds import Protocol, measure
from benchmarks.summary import markdown
from benchmarks.workloads import Task
from ensemble_jax.plan import parse_plan_request

COMPARED = {
    "st_vgg": (PROJECT, "plain_linen", "plain_nnx"),
    "small_resnet": (PROJECT, "plain_linen"),
}

_WORKLOADS = flags.DEFINE_multi_enum(
    "workload", list(COMPARED), list(COMPARED), "What to train; may be given twice."
)
_MEMBERS = flags.DEFINE_integer("members", 4, "N.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 100, "Images of a member's step.", lower_bound=1, upper_bound=200
)
_PLAN = flags.DEFINE_string("plan", "default", "As --config.plan of the main job.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Measurements of each.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 2.0, "Of one measurement.", lower_bound=0.0)
_OUTPUT = define_output("plain_layers")
flags.register_validator("plan", lambda text: parse_plan_request(text) is not None)


def main(_: Sequence[str]) -> None:
    """Measure, write, and fail where a network is slower than promised."""
    environment = describe_environment()
    protocol = Protocol(_ROUNDS.value, _SECONDS.value, 60.0, 1, 1200.0)
    outcomes = []
    for name in _WORKLOADS.value:
        tasks = [
            Task(contender, name, _MEMBERS.value, _BATCH_SIZE.value, _PLAN.value)
            for contender in COMPARED[name]
        ]
        outcomes += measure(tasks, protocol, lambda line: print(f"  {line}", flush=True))
    content = {
        "kind": "ensemble_jax plain layers",
        "environment": environment,
        "protocol": dataclasses.asdict(protocol),
        "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    rows = list(plain_rows(outcomes))
    header = ("workload", "layers", "images/s", "of the zoo's", f">= {LEAST_PLAIN_RATIO}")
    conditions = (
        f"N = {_MEMBERS.value}, batches of {_BATCH_SIZE.value}, plan {_PLAN.value}; "
        f"{_ROUNDS.value} rounds."
    )
    write_page(_OUTPUT.value, content, "Plain layers", conditions, markdown(header, rows))
    if any(row[-1] not in ("", "PASS") for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)

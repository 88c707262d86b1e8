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
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks.acceptance import LEAST_PLAIN_RATIO, plain_rows
from benchmarks.contenders import PROJECT
from benchmarks.environment import ROOT, describe_environment, provenance
from benchmarks.rounds import Protocol, measure
from benchmarks.summary import markdown
from benchmarks.workloads import Task
from ensemble_jax.plan import parse_plan_request
from ensemble_jax.runs.files import replace_file

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
_OUTPUT = flags.DEFINE_string(
    "output", str(ROOT / "benchmarks" / "results" / "plain_layers"), "Where to write."
)
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
    output = Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    content = {
        "kind": "ensemble_jax plain layers",
        "environment": environment,
        "protocol": dataclasses.asdict(protocol),
        "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    replace_file(output / "results.json", f"{json.dumps(content, indent=1)}\n".encode())
    rows = list(plain_rows(outcomes))
    table = make_table(environment, rows)
    replace_file(output / "table.md", table.encode())
    print(table)
    if any(row[-1] not in ("", "PASS") for row in rows):
        sys.exit(1)


def make_table(environment: Mapping[str, Any], rows: Sequence[tuple[str, ...]]) -> str:
    """The results in Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    return "\n".join(
        [
            "# Plain layers",
            "",
            provenance(environment),
            "",
            f"{environment['processor']}, {environment['cores']} cores; load average before the "
            f"start {environment['load_average'][0]:.2f}. {versions}. N = {_MEMBERS.value}, "
            f"batches of {_BATCH_SIZE.value}, plan {_PLAN.value}; {_ROUNDS.value} rounds.",
            "",
            *markdown(
                ("workload", "layers", "images/s", "of the zoo's", f">= {LEAST_PLAIN_RATIO}"), rows
            ),
            "",
        ]
    )


if __name__ == "__main__":
    app.run(main)

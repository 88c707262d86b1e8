r"""The main job takes the same time with every Python that it supports, and the JAX of each.

Run: python -m benchmarks.interpreters --pythons=.venv/bin/python,/PATH/TO/ANOTHER/bin/python
Takes about 5 minutes for two of them on two cores that do nothing else.

What is done: every interpreter, each of an environment with this project installed, runs the main
job as on a fresh machine, with an empty cache of compiled programs; one after the other, in rounds
that begin with another one in turn.

What the numbers mean: wall time and processor time of the whole command, from its start to its end,
the import of all libraries, compilation, records and figures included. Ratios are those of a round,
to the first interpreter. Medians (least-largest) of the rounds.

Results: `results.json` with every measurement and `table.md` in `--output`. The exit code is 1
where the median of the ratios of wall time is more than 5 % from 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import app, flags

from benchmarks.environment import ROOT, define_output, describe_environment, write_page
from benchmarks.rounds import rotated
from benchmarks.summary import Spread, markdown

_PYTHONS = flags.DEFINE_list("pythons", None, "The interpreters, two at least.", required=True)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Measurements of each.", lower_bound=1)
_OUTPUT = define_output("interpreters")

MOST_APART = 0.05
_VERSIONS = """
import json, platform
from ensemble_jax.runs.manifest import library_versions
print(json.dumps({"python": platform.python_version()} | library_versions()))
"""


class Seconds(NamedTuple):
    """Of one run of the main job."""

    wall: float
    processor: float


def main(_: Sequence[str]) -> int:
    """Measure in rounds, then write."""
    pythons = [str(Path(python).absolute()) for python in _PYTHONS.value]
    if len(pythons) < 2:
        raise app.UsageError(f"--pythons must be two at least, got {_PYTHONS.value}")
    environment = describe_environment()
    versions = [json.loads(_output_of(python, "-c", _VERSIONS)) for python in pythons]
    seconds: list[list[Seconds]] = [[] for _ in pythons]
    for number in range(_ROUNDS.value):
        for index in rotated(len(pythons), number):
            seconds[index].append(time_main_job(pythons[index]))
            print(f"round {number + 1}, {_name(versions[index])}: {seconds[index][-1]}")
    content = {
        "kind": "ensemble_jax interpreters",
        "environment": environment,
        "interpreters": [
            {"versions": of_one, "rounds": [run._asdict() for run in runs]}
            for of_one, runs in zip(versions, seconds, strict=True)
        ],
    }
    write_results(_OUTPUT.value, content)
    apart = [abs(ratio.median - 1) for ratio in wall_ratios(content)]
    return 0 if max(apart) <= MOST_APART else 1


def time_main_job(python: str) -> Seconds:
    """Run the main job with this interpreter in a folder of its own.

    Raises:
        RuntimeError: if it fails, with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_CACHE_HOME": f"{folder}/cache"}
        command = [python, "-m", "experiments.train", f"--workdir={folder}/run"]
        with Path(folder, "output.txt").open("wb") as output:
            started = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{python}: {Path(folder, 'output.txt').read_text()}")
    return Seconds(wall, usage.ru_utime + usage.ru_stime)


def wall_ratios(content: Mapping[str, Any]) -> list[Spread]:
    """The wall time of every interpreter but the first over that of the first, round by round."""
    first, *others = ([run["wall"] for run in of["rounds"]] for of in content["interpreters"])
    return [Spread.of(b / a for a, b in zip(first, other, strict=True)) for other in others]


def write_results(folder: str, content: Mapping[str, Any]) -> None:
    """Write the results, and a page with a row for each interpreter."""
    ratios = ["", *(ratio.written("{:.3f}") for ratio in wall_ratios(content))]
    rows = [
        (
            _name(interpreter["versions"]),
            Spread.of(run["wall"] for run in interpreter["rounds"]).written("{:.1f}"),
            Spread.of(run["processor"] for run in interpreter["rounds"]).written("{:.1f}"),
            ratio,
        )
        for interpreter, ratio in zip(content["interpreters"], ratios, strict=True)
    ]
    write_page(
        folder,
        content,
        "The main job with every Python",
        f"{len(content['interpreters'][0]['rounds'])} rounds.",
        markdown(("with", "wall, s", "processor, s", "wall over the first"), rows),
    )


def _name(versions):
    return f"Python {versions['python']}, JAX {versions['jax']}, NumPy {versions['numpy']}"


def _output_of(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    app.run(main)

"""The files of a benchmark: every measurement, the tables and the figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.acceptance import judge, make_acceptance_table
from benchmarks.contenders import PROJECT, contender_title
from benchmarks.displays import SpeedDisplay, SweepDisplay
from benchmarks.environment import provenance
from benchmarks.rounds import Outcome, Protocol
from benchmarks.summary import (
    Benchmark,
    Spread,
    make_sweep_table,
    make_table,
    paired,
    peak_memory,
    speed,
)
from ensemble_jax.runs.files import replace_file

_FORMAT = 1


def write_results(
    folder: Path,
    environment: Mapping[str, Any],
    protocol: Protocol,
    benchmarks: Sequence[Benchmark],
    sweeps: Sequence[Benchmark],
) -> None:
    """Write `results.json`, `table.md`, and `speed` and `sweep` as PNG and SVG, each as a whole.

    A figure is written where there is something to draw.
    """
    verdicts = judge(benchmarks, sweeps)
    content = {
        "kind": "ensemble_jax training speed",
        "format": _FORMAT,
        "environment": environment,
        "protocol": dataclasses.asdict(protocol),
        "verdicts": [verdict._asdict() for verdict in verdicts],
        "benchmarks": [dataclasses.asdict(benchmark) for benchmark in benchmarks],
        "sweeps": [dataclasses.asdict(sweep) for sweep in sweeps],
    }
    replace_file(folder / "results.json", f"{json.dumps(content, indent=1)}\n".encode())
    tables = [make_table(b) for b in benchmarks] + [make_sweep_table(s) for s in sweeps]
    head = [_heading(environment), make_acceptance_table(verdicts)]
    replace_file(folder / "table.md", "\n".join([*head, *tables]).encode())
    speeds = {b.title: relative for b in benchmarks if (relative := _relative_speeds(b))}
    if speeds:
        SpeedDisplay(speeds).save(folder / "speed")
    measured = {s.title: s.measured for s in sweeps if s.measured}
    if measured:
        SweepDisplay(
            {title: _by_members(outcomes, speed) for title, outcomes in measured.items()},
            {title: _by_members(outcomes, peak_memory) for title, outcomes in measured.items()},
        ).save(folder / "sweep")


def _heading(environment: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    load = environment["load_average"][0]
    return "\n".join(
        [
            "# Training speed",
            "",
            provenance(environment),
            "",
            f"{environment['processor']}, {environment['cores']} cores; JAX on "
            f"{environment['device']}; load average before the start {load:.2f}. {versions}.",
            "",
            "Medians (least-largest) of the rounds. What is compared, how, and what the numbers "
            "mean is told by `benchmarks/training_speed.py`.",
            "",
        ]
    )


def _relative_speeds(benchmark: Benchmark) -> dict[str, Spread | None]:
    """The speed of every contender over the project's; empty where the project has none."""
    project = benchmark.find(PROJECT)
    if project is None:
        return {}
    return {
        contender_title(outcome.task.contender): paired(outcome, project, lambda own, of: own / of)
        for outcome in benchmark.contenders
        if outcome is not project
    }


def _by_members(outcomes: Sequence[Outcome], quantity: Any) -> dict[str, dict[int, Any]]:
    """A quantity of every outcome, by the contender's title and its number of members."""
    values: dict[str, dict[int, Any]] = {}
    for outcome in outcomes:
        of_contender = values.setdefault(contender_title(outcome.task.contender), {})
        of_contender[outcome.task.num_members] = quantity(outcome)
    return values

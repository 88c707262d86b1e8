"""What the project promises of its speed and memory, held against what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.contenders import PROJECT, contender_title
from benchmarks.rounds import Outcome
from benchmarks.summary import (
    LOOPS,
    TORCH_LOOPS,
    Benchmark,
    fastest,
    markdown,
    paired,
    speed,
    speedup,
)
from benchmarks.workloads import WORKLOADS


class Promise(NamedTuple):
    """At least so many times as fast as the fastest of some contenders, by the median of rounds.

    Attributes:
        workload: a name of `WORKLOADS`.
        against: names of contenders.
        title: what they are together.
        at_least: the ratio of speeds that must hold.
        aim: the ratio that is hoped for.
    """

    workload: str
    against: Sequence[str]
    title: str
    at_least: float
    aim: float


PROMISES = (
    Promise("st_vgg", TORCH_LOOPS, "the better PyTorch loop", 1.1, 1.5),
    Promise("st_vgg", ("python_loop",), "a Python loop over a jitted step", 2.0, 3.0),
    Promise("small_cnn_digits", LOOPS, "the best loop of any kind", 1.2, 2.0),
    Promise("small_cnn_digits", ("vmap_of_scan",), "naive jit(vmap(scan))", 20.0, 40.0),
    Promise("mlp_digits", LOOPS, "the best loop of any kind", 1.0, 2.0),
)

# Of the speed of a network of the zoo, that of the same network in plain layers.
LEAST_PLAIN_RATIO = 0.95

_FEW, _MANY = 8, 64
_LEAST_SHARE = 0.9  # of the speed with few members, that is a cost within about 10 %
_MIB = 2**20


class Verdict(NamedTuple):
    """What became of a promise; `held` is None where it was not measured."""

    what: str
    promised: str
    measured: str
    held: bool | None


def judge(benchmarks: Sequence[Benchmark], sweeps: Sequence[Benchmark]) -> list[Verdict]:
    """All promises, in order; of the sweeps, cost per member and memory as N grows."""
    by_name = {benchmark.workload_name: benchmark for benchmark in benchmarks}
    return [
        *(_judge(promise, by_name.get(promise.workload)) for promise in PROMISES),
        *(verdict for sweep in sweeps for verdict in _judge_sweep(sweep)),
    ]


def make_acceptance_table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts in Markdown, each with PASS, SHORT or 'not measured'."""
    words = {True: "PASS", False: "SHORT", None: "not measured"}
    rows = [(v.what, v.promised, v.measured, words[v.held]) for v in verdicts]
    header = ("what", "promised", "measured", "verdict")
    return "\n".join(["## What is promised", "", *markdown(header, rows), ""])


def plain_rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, ...]]:
    """Of each outcome: workload, network, images/s, ratio to the project's own, verdict."""
    built_in = {o.task.workload_name: o for o in outcomes if o.task.contender == PROJECT}
    for outcome in outcomes:
        name, contender = outcome.task.workload_name, outcome.task.contender
        title = "zoo" if contender == PROJECT else contender_title(contender).split()[-1]
        heading = (WORKLOADS[name].title.split(",")[0], title)
        if not outcome.measurements:
            yield *heading, "", "", f"{outcome.state}: {outcome.reason}"
            continue
        images = speed(outcome).written("{:.4g}")
        ratio = paired(outcome, built_in[name], lambda own, of: own / of)
        if contender == PROJECT or ratio is None:
            yield *heading, images, "", ""
        else:
            verdict = "PASS" if ratio.median >= LEAST_PLAIN_RATIO else "SHORT"
            yield *heading, images, ratio.written("{:.3f}"), verdict


def _judge(promise: Promise, benchmark: Benchmark | None) -> Verdict:
    what = f"{promise.workload}: speed over {promise.title}"
    promised = f"at least {promise.at_least:g}, aim {promise.aim:g}"
    project = benchmark and benchmark.find(PROJECT)
    best = benchmark and fastest(benchmark, promise.against)
    ratio = project and best and speedup(project, best)
    if not best or not ratio:
        return Verdict(what, promised, "", None)
    measured = f"{ratio.written('{:.2f}')} over {contender_title(best.task.contender)}"
    return Verdict(what, promised, measured, ratio.median >= promise.at_least)


def _judge_sweep(sweep: Benchmark) -> Iterator[Verdict]:
    by_members = {o.task.num_members: o for o in sweep.measured if o.task.contender == PROJECT}
    yield _judge_speed(sweep.workload_name, by_members)
    yield _judge_memory(sweep.workload_name, by_members)


def _judge_speed(name: str, by_members: Mapping[int, Outcome]) -> Verdict:
    what = f"{name}: images/s with N = {_MANY} over those with N = {_FEW}"
    promised = f"at least {_LEAST_SHARE}"
    if not {_FEW, _MANY} <= by_members.keys():
        return Verdict(what, promised, "", None)
    ratio = speed(by_members[_MANY]).median / speed(by_members[_FEW]).median
    return Verdict(what, promised, f"{ratio:.2f}", ratio >= _LEAST_SHARE)


def _judge_memory(name: str, by_members: Mapping[int, Outcome]) -> Verdict:
    what = f"{name}: temporary memory that N = {_MANY} needs beyond that of N = {_FEW}, one plan"
    promised = "no more than one copy of the members added"
    ready = [by_members[n].prepared for n in (_FEW, _MANY) if n in by_members]
    few, many = ready if len(ready) == len((_FEW, _MANY)) else (None, None)
    if few is None or many is None:
        return Verdict(what, promised, "", None)
    if few.choice != many.choice:
        return Verdict(what, promised, f"plans differ: {few.choice}; {many.choice}", None)
    temporary = (many.temporary_bytes or 0) - (few.temporary_bytes or 0)
    state = (many.state_bytes or 0) - (few.state_bytes or 0)
    measured = f"{temporary / _MIB:.1f} MiB, the members {state / _MIB:.1f} MiB"
    return Verdict(what, promised, measured, temporary <= state)

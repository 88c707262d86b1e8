"""What a TPU's compiler estimates of a program that it has compiled, read from its HLO text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) ")
_OPERATION = re.compile(r"\s+(?:ROOT )?%([\w.\-]+) = (.*?) ([a-z][\w\-]*)\(")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_SOURCE = re.compile(r'op_name="([^"]*)"')
_CALLED = re.compile(r"(?:to_apply|branch_computations)=\{?%([\w.\-]+)")
_WHILE = re.compile(r"condition=%([\w.\-]+), body=%([\w.\-]+)")
_NUMBER = re.compile(r"constant\((\d+)\)")
_COLLECTIVES = re.compile(
    r" (?:all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(?:-start)?\("
)
# What takes time and has no estimate.
_WITHOUT_ESTIMATE = ("sort", "gather", "scatter", "select-and-scatter", "custom-call")


class Operation(NamedTuple):
    """An operation of a program, with all times that it runs.

    Attributes:
        name: in the HLO.
        kind: of HLO, such as `fusion`.
        times: that it runs.
        cycles: estimated, of all times; None where there is no estimate.
        source: the path of JAX's operations that it comes from.
    """

    name: str
    kind: str
    times: int
    cycles: int | None
    source: str


class Estimate(NamedTuple):
    """What a compiler estimates of a program.

    Attributes:
        cycles: of all operations that have an estimate, loops multiplied out.
        without: how often operations run that take time and have none, by kind.
        collectives: operations in which devices exchange anything.
        costliest: operations, the most expensive first.
    """

    cycles: int
    without: Mapping[str, int]
    collectives: int
    costliest: Sequence[Operation]


def estimate(hlo: str, calls: int) -> Estimate:
    """The estimate of an epoch.

    A loop whose condition compares with one constant runs as often as that says. The outermost
    loop of others goes over the calls of a device's members, and those in it repeat an epoch only
    where a step failed, so they run once.

    Args:
        hlo: the optimised program as text.
        calls: of the fullest device, see `Placement.calls_per_device`.
    """
    computations, entry = _computations(hlo)
    operations = list(_operations(computations, entry, 1, calls))
    without: dict[str, int] = {}
    for operation in operations:
        if operation.cycles is None and operation.kind in _WITHOUT_ESTIMATE:
            without[operation.kind] = without.get(operation.kind, 0) + operation.times
    return Estimate(
        sum(operation.cycles or 0 for operation in operations),
        without,
        len(_COLLECTIVES.findall(hlo)),
        sorted(operations, key=lambda operation: -(operation.cycles or 0)),
    )


def _computations(hlo: str) -> tuple[dict[str, list[str]], str]:
    """The lines of each computation by its name, and the name of the first to run."""
    computations: dict[str, list[str]] = {}
    name, entry = "", ""
    for line in hlo.splitlines():
        if line[:1] in ("%", "E") and line.endswith("{") and (head := _HEAD.match(line)):
            name = head[2]
            computations[name] = []
            entry = name if head[1] else entry
        elif name and " = " in line:
            computations[name].append(line)
    return computations, entry


def _operations(computations, name, times, calls) -> Iterator[Operation]:
    for line in computations[name]:
        if (found := _OPERATION.match(line)) is None:
            continue
        operation, _, kind = found.groups()
        if kind == "while" and (parts := _WHILE.search(line)):
            condition, body = parts.groups()
            rounds = _rounds(computations[condition])
            inner = times * (calls if rounds is None else rounds)
            yield from _operations(computations, body, inner, calls if rounds else 1)
        elif kind in ("call", "conditional"):
            for called in _CALLED.findall(line):
                yield from _operations(computations, called, times, calls)
        else:
            cycles, source = _CYCLES.search(line), _SOURCE.search(line)
            yield Operation(
                operation,
                kind,
                times,
                times * int(cycles[1]) if cycles else None,
                source[1] if source else "",
            )


def _rounds(condition: Sequence[str]) -> int | None:
    """How often a loop runs, where its condition compares with one constant."""
    numbers = [int(found[1]) for line in condition if (found := _NUMBER.search(line))]
    compares = any("direction=LT" in line for line in condition)
    return numbers[0] if compares and len(numbers) == 1 else None

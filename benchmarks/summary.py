"""From the measurements of all rounds to medians with their spread, and the table of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from benchmarks.contenders import MATRIX_PRODUCT, PROJECT, contender_title
from benchmarks.rounds import Outcome

_MIB = 2**20
_GIGA = 1e9
# What a reader asks about several contenders at once: the fastest of them stands for all.
TORCH_LOOPS = ("torch_loop", "torch_loop_channels_last")
LOOPS = ("python_loop", "lax_map", "processes", *TORCH_LOOPS)
_GROUPS = {"the better PyTorch loop": TORCH_LOOPS, "the best loop of any kind": LOOPS}
_HEADER = (
    "contender",
    "images/s",
    "ensemble_jax is faster by",
    "useful GFLOP/s",
    "of matrix peak",
    "compile",
    "resident",
    "temporaries",
    "rounds",
    "remarks",
)


class Spread(NamedTuple):
    """The median, the least and the largest of some measurements."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Of at least one value.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, least=1.0, largest=3.0)
        """
        listed = list(values)
        return cls(statistics.median(listed), min(listed), max(listed))

    def written(self, template: str) -> str:
        """The median, and the least and the largest in parentheses.

        >>> Spread(2.0, 1.0, 3.0).written("{:.1f}")
        '2.0 (1.0-3.0)'
        """
        median, least, largest = (template.format(value) for value in self)
        return f"{median} ({least}-{largest})"


@dataclass(frozen=True)
class Benchmark:
    """The outcomes of one workload.

    Attributes:
        title: of the workload with its numbers.
        operations: useful floating-point operations to train on one image.
        outcomes: of every contender and of the matrix product.
    """

    title: str
    operations: int
    outcomes: Sequence[Outcome]

    @property
    def workload_name(self) -> str:
        """What all were asked to train, by its name in `WORKLOADS`."""
        return self.outcomes[0].task.workload_name

    @property
    def contenders(self) -> list[Outcome]:
        """The outcomes without the matrix product."""
        return [o for o in self.outcomes if o.task.contender != MATRIX_PRODUCT]

    @property
    def measured(self) -> list[Outcome]:
        """The contenders that have measurements."""
        return [outcome for outcome in self.contenders if outcome.measurements]

    def find(self, contender: str) -> Outcome | None:
        """The outcome of a contender, if it has measurements."""
        found = [o for o in self.outcomes if o.task.contender == contender and o.measurements]
        return found[0] if found else None

    def peak_fraction(self, outcome: Outcome) -> Spread | None:
        """Useful operations per second over those of the matrix product in the same round."""
        peak = self.find(MATRIX_PRODUCT)
        return peak and paired(outcome, peak, lambda own, of: own * self.operations / of)


def paired(
    first: Outcome, second: Outcome, quantity: Callable[[float, float], float]
) -> Spread | None:
    """A quantity of two contenders' speeds, in each round that has both; None if none has."""
    others = second.by_round()
    values = [
        quantity(measurement.speed, others[number].speed)
        for number, measurement in first.by_round().items()
        if number in others
    ]
    return Spread.of(values) if values else None


def speedup(project: Outcome, contender: Outcome) -> Spread | None:
    """How many times as fast as a contender the project is: the ratios of the rounds."""
    return paired(project, contender, lambda own, other: own / other)


def speed(outcome: Outcome) -> Spread:
    """Images per second."""
    return Spread.of(measurement.speed for measurement in outcome.measurements)


def peak_memory(outcome: Outcome) -> int:
    """The most bytes of the accelerator, or where there is none of main memory."""
    memories = [measurement.memory for measurement in outcome.measurements]
    on_device = [m.device_bytes for m in memories if m.device_bytes is not None]
    return max(on_device or [m.resident_bytes for m in memories])


def fastest(benchmark: Benchmark, names: Sequence[str]) -> Outcome | None:
    """The contender of highest median speed among some, None if none was measured."""
    found = [outcome for name in names if (outcome := benchmark.find(name)) is not None]
    return max(found, key=lambda outcome: speed(outcome).median, default=None)


def make_table(benchmark: Benchmark) -> str:
    """A workload's results in Markdown: a row for each contender, then the groups' fastest."""
    project = benchmark.find(PROJECT)
    lines = [
        f"## {benchmark.title}",
        "",
        f"{benchmark.operations / 1e6:.4g} MFLOP to train on an image. {_describe_peak(benchmark)}",
        "",
        *markdown(_HEADER, [_row(benchmark, project, o) for o in benchmark.contenders]),
        "",
    ]
    if project is not None:
        rows = [
            row
            for group, names in _GROUPS.items()
            if (row := _group_row(benchmark, project, group, names)) is not None
        ]
        if rows:
            header = ("against", "which is", "ensemble_jax is faster by")
            lines += [*markdown(header, rows), ""]
    return "\n".join(lines)


def make_sweep_table(benchmark: Benchmark) -> str:
    """Speed and memory against the number of members, in Markdown."""
    rows = [
        (
            contender_title(outcome.task.contender),
            str(outcome.task.num_members),
            *_row(benchmark, None, outcome)[1:2],
            *_row(benchmark, None, outcome)[3:],
        )
        for outcome in benchmark.contenders
    ]
    header = ("contender", "N", _HEADER[1], *_HEADER[3:])
    return "\n".join([f"## {benchmark.title}, against N", "", *markdown(header, rows), ""])


def _row(benchmark, project, outcome):
    name = contender_title(outcome.task.contender)
    if not outcome.measurements:
        return (name, *[""] * (len(_HEADER) - 2), f"{outcome.state}: {outcome.reason}")
    prepared = outcome.prepared
    ratio = None if project in (None, outcome) else speedup(project, outcome)
    fraction = benchmark.peak_fraction(outcome)
    throughput = speed(outcome)
    compiled = prepared.compile_seconds
    return (
        name,
        throughput.written("{:.4g}"),
        "" if ratio is None else ratio.written("{:.2f}"),
        f"{throughput.median * benchmark.operations / _GIGA:.3g}",
        "" if fraction is None else fraction.written("{:.0%}"),
        "" if compiled is None else f"{compiled:.1f} s",
        _describe_memory(outcome),
        _mebibytes(prepared.temporary_bytes),
        str(len(outcome.measurements)),
        "; ".join(_remarks(outcome)),
    )


def _remarks(outcome):
    prepared = outcome.prepared
    if prepared.choice:
        yield prepared.choice
    if prepared.num_members != outcome.task.num_members:
        yield f"trains {prepared.num_members} of the members"
    if outcome.state != "measured":
        yield f"then {outcome.state}: {outcome.reason}"


def _describe_memory(outcome):
    memories = [measurement.memory for measurement in outcome.measurements]
    resident = _mebibytes(max(memory.resident_bytes for memory in memories))
    if memories[0].device_bytes is None:
        return resident
    return f"{resident}, device {_mebibytes(peak_memory(outcome))}"


def _mebibytes(size):
    return "" if size is None else f"{size / _MIB:.0f} MiB"


def _group_row(benchmark, project, group, names):
    best = fastest(benchmark, names)
    ratio = best and speedup(project, best)
    if best is None or ratio is None:
        return None
    return group, contender_title(best.task.contender), ratio.written("{:.2f}")


def _describe_peak(benchmark):
    peak = benchmark.find(MATRIX_PRODUCT)
    if peak is None:
        return "The matrix product was not measured."
    gflops = Spread.of(measurement.speed / _GIGA for measurement in peak.measurements)
    return f"Matrix products reach {gflops.written('{:.4g}')} GFLOP/s ({peak.prepared.choice})."


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *[f"| {' | '.join(row)} |" for row in cells],
    ]

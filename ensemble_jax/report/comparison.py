"""Two runs on the same examples: what they know together, in which order, and what each finds easy.

Figures 6, 7b, 21 and 23 to 25 of Hacohen & Weinshall, 'All Neural Networks Are Created Equal'
(2019).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ensemble_jax.analysis import (
    compare_easy_sets,
    cross_consistency,
    member_accessibility_from_bits,
)
from ensemble_jax.cli.dataset import check_same_data
from ensemble_jax.data import Dataset
from ensemble_jax.figures import (
    AccessibilityDisplay,
    CrossConsistencyDisplay,
    EasySetsDisplay,
    ResultDisplay,
)
from ensemble_jax.report.exhibits import find_material
from ensemble_jax.report.explorer import Shown, explore_runs
from ensemble_jax.report.history import read_histories
from ensemble_jax.report.page import (
    Figure,
    Highlight,
    Page,
    Paragraph,
    Section,
    file_uri,
    render_page,
)
from ensemble_jax.report.run_report import (
    check_scorable,
    consistency_history,
    open_run,
    save_result,
    write_table,
)
from ensemble_jax.runs import Run
from ensemble_jax.runs.files import make_folder, replace_file

SUMMARY = "comparison.csv"
PAGE = "comparison.html"

_SEED = 0
# A float holds hardly less, and SciPy then says 0.
_LEAST_P_VALUE = 1e-300


class Finding(NamedTuple):
    """One comparison of two runs on one set of examples.

    Attributes:
        text: a line for people.
        numbers: by name of the column of `comparison.csv`.
        display: the figure; None where there is nothing to draw.
    """

    text: str
    numbers: dict[str, Any]
    display: ResultDisplay | None


class Pair(NamedTuple):
    """Two runs on the same examples, of which one set is compared.

    Attributes:
        first: a run.
        second: another.
        names: of the two, for figures and lines.
        split: the set of examples.
        title: of figures; by default the data set and the split.
    """

    first: Run
    second: Run
    names: tuple[str, str]
    split: str
    title: str = ""

    def scores(self) -> tuple[Float[np.ndarray, "E1 M"], Float[np.ndarray, "E2 M"]]:
        """The consistency scores of both."""
        first, second = (consistency_history(run, self.split) for run in (self.first, self.second))
        return first, second

    @property
    def heading(self) -> str:
        """The title, or what it is by default."""
        return self.title or f"{self.first.manifest.data.name}, {self.split}"


def check_comparable(first: Run, second: Run) -> None:
    """See that two runs can be compared.

    Raises:
        ValueError: the examples are not the same, or a run has nothing to be scored.
    """
    for run in (first, second):
        check_scorable(run)
    pair = f"{first.directory} and {second.directory} are not on the same examples"
    if first.splits != second.splits:
        raise ValueError(f"{pair}: {_listed(first.splits)} and {_listed(second.splits)}")
    if first.class_names != second.class_names:
        raise ValueError(
            f"{pair}: their classes are {_shortened(first.class_names)} "
            f"and {_shortened(second.class_names)}"
        )
    for split in first.splits:
        ids = first.ids[split], second.ids[split]
        if len(ids[0]) != len(ids[1]):
            raise ValueError(f"{pair}: {split} has {len(ids[0])} and {len(ids[1])} of them")
        for what, one, other in (
            ("are others", *ids),
            ("have other labels", first.labels[split], second.labels[split]),
        ):
            different = np.flatnonzero(one != other)
            if len(different):
                at = different[0]
                raise ValueError(
                    f"{pair}: {len(different)} of {len(one)} {split} examples {what}, "
                    f"the first {one[at]} and {other[at]}, at position {at}"
                )


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What two runs on the same examples have in common; as text, a line for each finding.

    Attributes:
        runs: both.
        names: of the two, in figures and lines.
        findings: by split and by what was compared: `cross_consistency`, `accessibility` and
            `easy_sets`; each has its numbers by name and a display, whose `plot()` draws it.
        paths: the files written: `comparison.csv`, of each figure the PNG file and its table, then
            `comparison.html`; empty if nothing was to be written.
    """

    runs: tuple[Run, Run]
    names: tuple[str, str]
    findings: Mapping[str, Mapping[str, Finding]]
    paths: tuple[Path, ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """A row for each split: its size and all numbers that were found."""
        return [
            {
                "split": split,
                "examples": len(self.runs[0].labels[split]),
                **{k: v for finding in of.values() for k, v in finding.numbers.items()},
            }
            for split, of in self.findings.items()
        ]

    def __str__(self) -> str:
        lines = [
            f"{name}: {len(run.members)} members of {run.model}, epochs {_listed(run.extents)}, "
            f"in {run.directory}"
            for name, run in zip(self.names, self.runs, strict=True)
        ]
        for split, findings in self.findings.items():
            lines.append(f"{split}, {len(self.runs[0].labels[split])} examples:")
            lines += [f"  {finding.text}" for finding in findings.values()]
        return "\n".join(lines)

    __repr__ = __str__


def compare(
    first: Run | str | os.PathLike,
    second: Run | str | os.PathLike,
    directory: str | os.PathLike | None = None,
    *,
    data: Dataset | None = None,
    data_dir: str = "",
) -> Comparison:
    """Compare two runs on the same examples, whatever their networks.

    Where they are equally accurate, the consistency of both together; how far they learn the
    examples in the same order; and which examples are easy for both or for one alone.

    Args:
        first: a run, or its directory.
        second: another on the same examples.
        directory: where to write `comparison.csv`, for each split the figures with their numbers as
            CSV, and `comparison.html` with all of it and an explorer that shows both runs beside
            each other; None to write nothing.
        data: what the runs are on, for the pictures of examples; by default it is loaded, where the
            first run knows it by a name.
        data_dir: where tensorflow-datasets has prepared its sets; empty means its own default.

    Raises:
        ValueError: if the examples are not the same, or a run has nothing to be scored.
        FileNotFoundError: if there is no such run.
    """
    first, second = open_run(first), open_run(second)
    check_comparable(first, second)
    if data is not None:
        check_same_data(data, first)
    if directory is not None:
        directory = make_folder("directory", Path(directory))
    names = _choose_names(first, second)
    findings = {split: _findings(Pair(first, second, names, split)) for split in first.splits}
    comparison = Comparison((first, second), names, findings)
    if directory is None:
        return comparison
    paths = list(_write(comparison, directory))
    page = _make_page(comparison, paths, data, data_dir)
    replace_file(directory / PAGE, render_page(page).encode())
    return dataclasses.replace(comparison, paths=(*paths, directory / PAGE))


def _findings(pair: Pair) -> dict[str, Finding]:
    """What there is to be told of one split."""
    scores = pair.scores()
    return {
        "cross_consistency": find_cross_consistency(pair, scores),
        "accessibility": find_correlation(pair),
        "easy_sets": find_easy_sets(pair, scores),
    }


def _write(comparison: Comparison, directory: Path) -> Iterator[Path]:
    """Write the table and the figures."""
    rows = comparison.table()
    write_table(directory / SUMMARY, [[*rows[0]], *([*map(_written, r.values())] for r in rows)])
    yield directory / SUMMARY
    for split, findings in comparison.findings.items():
        for name, finding in findings.items():
            if finding.display is not None:
                yield from save_result(finding.display, directory / f"{name}_{split}")


def _make_page(
    comparison: Comparison, paths: Sequence[Path], data: Dataset | None, data_dir: str
) -> Page:
    """What was found, and both runs in one explorer."""
    first, second = comparison.runs
    drawn = {path.stem: path for path in paths if path.suffix == ".png"}
    sections = []
    for split in reversed(first.splits):
        blocks = []
        for name, finding in comparison.findings[split].items():
            blocks.append(Paragraph(f"{finding.text[0].upper()}{finding.text[1:]}."))
            if path := drawn.get(f"{name}_{split}"):
                blocks.append(Figure(file_uri(path), finding.text))
        title = f"What both know of the {len(first.labels[split]):,} {split} examples"
        sections.append(Section(split, title, blocks))
    highlights = []
    for name, run in zip(comparison.names, comparison.runs, strict=True):
        for split in reversed(run.splits):
            accuracy = run.metrics[f"{split}_accuracy"][-1].mean()
            detail = f"{len(run.members)} members, epoch {run.extents[-1]}"
            highlights.append(Highlight(f"{split}, {name}", f"{100 * accuracy:.1f} %", detail))
    shown = [
        Shown(
            run, {split: of for split, of in read_histories(run).items() if split in run.splits}, n
        )
        for n, run in zip(comparison.names, comparison.runs, strict=True)
    ]
    return Page(
        f"{comparison.names[0]} and {comparison.names[1]} on {first.manifest.data.name}",
        f"{first.directory} and {second.directory}",
        [],
        highlights,
        sections,
        explore_runs(shown, find_material(first, data, data_dir)),
    )


def _choose_names(first: Run, second: Run) -> tuple[str, str]:
    """Models, where they differ, else folders."""
    for names in (
        (first.model, second.model),
        (first.directory.resolve().name, second.directory.resolve().name),
    ):
        if names[0] != names[1]:
            return names
    return "first", "second"


def find_cross_consistency(pair: Pair, scores: tuple) -> Finding:
    """What both know together where they are equally accurate.

    Args:
        pair: the runs.
        scores: `[E1, M]` and `[E2, M]`, of `Pair.scores`.
    """
    first, second, names, split, _ = pair
    num_members = len(first.members), len(second.members)
    result = cross_consistency(*scores, weights=num_members)
    number, mean = len(result.positions), result.mean_bimodality
    numbers = {"matched_pairs": number, "cross_consistency_bimodality": mean}
    if not number:
        ranges = [
            f"{name} {of.mean(axis=1).min():.3f} to {of.mean(axis=1).max():.3f}"
            for name, of in zip(names, scores, strict=True)
        ]
        text = "no extents of equal accuracy, hence no cross-consistency (mean accuracies: "
        return Finding(f"{text}{', '.join(ranges)})", numbers, None)
    extents = first.extents, second.extents
    display = CrossConsistencyDisplay(
        result, names, extents, num_members, split, title=pair.heading
    )
    pairs = "1 matched pair" if number == 1 else f"{number} matched pairs"
    text = f"cross-consistency at {pairs} of extents: "
    defined = result.bimodalities[~np.isnan(result.bimodalities)]
    if len(defined):
        text += f"mean bimodality {mean:.3f} ({defined.min():.3f} to {defined.max():.3f})"
    else:
        text += "no bimodality, all examples have one score"
    return Finding(text, numbers, display)


def accessibility_display(pair: Pair) -> AccessibilityDisplay:
    """The accessibility of every example in one run against that in the other."""
    members = {
        name: member_accessibility_from_bits(run.bits(pair.split), len(run.labels[pair.split]))
        for name, run in zip(pair.names, (pair.first, pair.second), strict=True)
    }
    return AccessibilityDisplay.from_members(members, _SEED, pair.heading)


def find_correlation(pair: Pair) -> Finding:
    """Whether both learn the examples in the same order."""
    names, display = pair.names, accessibility_display(pair)
    (found,) = display.pairs
    result = found.correlation
    numbers = result._asdict() | {
        f"halves_{place}": ceiling
        for place, ceiling in zip(("first", "second"), found.ceilings, strict=True)
    }
    if np.isnan(result.pearson):
        text = "accessibility: no correlation is defined, one run knows all examples equally well"
        return Finding(text, numbers, display)
    p_value = (
        f"p < {_LEAST_P_VALUE:g}"
        if result.p_value < _LEAST_P_VALUE
        else f"p = {result.p_value:.2g}"
    )
    halves = [
        f"{name} {ceiling:.3f}"
        for name, ceiling in zip(names, found.ceilings, strict=True)
        if not np.isnan(ceiling)
    ]
    text = (
        f"accessibility: r = {result.pearson:.3f} (95 % interval {result.low:.3f} to "
        f"{result.high:.3f}), {p_value}, Spearman {result.spearman:.3f}"
    )
    ceilings = f"; r of halves of one run: {', '.join(halves)}" if halves else ""
    return Finding(text + ceilings, numbers, display)


def find_easy_sets(pair: Pair, scores: tuple) -> Finding:
    """What is easy for both or for one alone, where both were measured; scores of `Pair.scores`."""
    first, second, names, split, _ = pair
    extents = [extent for extent in first.extents if extent in second.extents]
    columns = ("easy_shared", "easy_only_first", "easy_only_second")
    if not extents:
        text = "easy sets: the runs were never measured after the same number of epochs"
        return Finding(text, {"easy_extent": "", **dict.fromkeys(columns, "")}, None)
    common = [
        of[[run.extents.index(extent) for extent in extents]]
        for run, of in zip((first, second), scores, strict=True)
    ]
    sizes = compare_easy_sets(*common)
    last = [int(size[-1]) for size in sizes]
    display = EasySetsDisplay(sizes, extents, len(first.labels[split]), names, pair.heading)
    text = (
        f"easy examples at epoch {extents[-1]}: {last[0]} of both, {last[1]} of {names[0]} alone, "
        f"{last[2]} of {names[1]} alone"
    )
    numbers = {"easy_extent": extents[-1], **dict(zip(columns, last, strict=True))}
    return Finding(text, numbers, display)


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def _shortened(names: Sequence[str]) -> str:
    """The first few of many."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{_listed(names[:5])}{more}"


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)

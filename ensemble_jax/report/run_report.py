"""Tables and figures of one run: written when it ends, and again whenever asked for."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ensemble_jax.analysis import (
    bimodality,
    choose_extents,
    choose_typical_examples,
    consistency_from_bits,
    consistency_score,
    independent_baseline,
    member_accuracy,
    size_dependence,
)
from ensemble_jax.cli.dataset import check_same_data
from ensemble_jax.data import Dataset
from ensemble_jax.figures import (
    ClassHistogramDisplay,
    ConsensusDisplay,
    ConsistencyDisplay,
    Display,
    DynamicsDisplay,
    ExampleCurvesDisplay,
    ProbeDisplay,
    ResultDisplay,
    SizeDisplay,
)
from ensemble_jax.report.exhibits import find_material
from ensemble_jax.report.explorer import make_explorer
from ensemble_jax.report.history import read_histories
from ensemble_jax.report.page import render_page
from ensemble_jax.report.run_page import SplitScores, make_page
from ensemble_jax.runs import Run, load_run
from ensemble_jax.runs.files import check_own_folders, make_folder, replace_file
from ensemble_jax.runs.layout import FIGURES

REPORT = "report.html"
SCORES = "scores.csv"
DYNAMICS = "dynamics.csv"

_DYNAMICS_COLUMNS = (
    "extent",
    "split",
    "accuracy_mean",
    "accuracy_std",
    "accuracy_min",
    "accuracy_max",
    "consistency_bimodality",
    "consensus_mean",
)
_BASELINE = "independent"
_SEED = 0
# With fewer, examples have hardly a most frequent class or a score, and halves are single members.
_FEWEST_MEMBERS = 4
# Columns of the figure of classes.
_MOST_COLUMNS = 4
# Bytes of a figure in the page.
_LARGEST_SVG = 250_000
# Of which typical curves can be told.
_FEWEST_EXTENTS = 3


@dataclass(frozen=True)
class Analysis:
    """What `analyze` has computed of a run, and where it has written it.

    Attributes:
        run: the run.
        extents: E, those that are finished.
        accuracy: `[E, N]` by split.
        consistency: `[E, M]` by split, the share of members that are right.
        consensus: `[E, M]` by split and probe, the share that agrees on the most frequent class.
        paths: the files: `report.html`, the tables, then of each figure the PNG file and its table.
    """

    run: Run
    extents: tuple[int, ...]
    accuracy: Mapping[str, Float[np.ndarray, "E N"]]
    consistency: Mapping[str, Float[np.ndarray, "E M"]]
    consensus: Mapping[str, Float[np.ndarray, "E M"]]
    paths: tuple[Path, ...]

    @property
    def accessibility(self) -> dict[str, Float[np.ndarray, " M"]]:
        """`[M]` by split, the mean consistency over the extents."""
        return {split: of.mean(axis=0) for split, of in self.consistency.items()}

    @property
    def bimodality(self) -> dict[str, Float[np.ndarray, " E"]]:
        """`[E]` by split, of the consistency scores; NaN where all examples have one score."""
        return {split: bimodality(of) for split, of in self.consistency.items()}


def analyze(
    run: Run | str | os.PathLike,
    directory: str | os.PathLike | None = None,
    *,
    data: Dataset | None = None,
    data_dir: str = "",
) -> Analysis:
    """Write `report.html`, `scores.csv`, `dynamics.csv` and the figures of a run.

    Figures whose numbers are not in the two tables have their own beside them. Those of single
    examples, classes and sizes need a few members, those of single examples some extents, too.
    `report.html` has all of it in one file.

    Extents are read one at a time, so that memory does not grow with their number.

    Args:
        run: with at least one extent and one member, or its directory.
        directory: where to write; by default the run directory.
        data: what the run is on, for the pictures of examples; by default it is loaded, where the
            run knows it by a name.
        data_dir: where tensorflow-datasets has prepared its sets; empty means its own default.

    Raises:
        ValueError: if there is nothing to score, or nothing can be written there.
        FileNotFoundError: if there is no such run.
    """
    run = open_run(run)
    check_scorable(run)
    if data is not None:
        check_same_data(data, run)
    directory = make_folder("directory", Path(run.directory if directory is None else directory))
    check_own_folders(directory)
    histories = read_histories(run)
    consensus = {name: history.consensus for name, history in histories.items()}
    scores = {
        split: SplitScores(histories[split].consistency, of_labels.accuracies)
        for split, of_labels in ((name, histories[name].of_labels) for name in run.splits)
        if of_labels is not None
    }
    write_table(directory / SCORES, _score_rows(run, scores, consensus))
    write_table(directory / DYNAMICS, _dynamics_rows(run, scores, consensus))
    (directory / FIGURES).mkdir(exist_ok=True)
    figures, tables = _draw(run, scores, directory / FIGURES)
    mean_consensus = {name: of.mean(axis=1) for name, of in consensus.items()}
    material = find_material(run, data, data_dir)
    explorer = make_explorer(run, histories, material)
    page = make_page(run, scores, mean_consensus, figures, material, explorer)
    replace_file(directory / REPORT, render_page(page).encode())
    return Analysis(
        run,
        run.extents,
        {split: of.accuracies for split, of in scores.items()},
        {split: of.consistency for split, of in scores.items()},
        consensus,
        (
            directory / REPORT,
            directory / SCORES,
            directory / DYNAMICS,
            *(path.with_suffix(".png") for path in figures.values()),
            *tables,
        ),
    )


def open_run(run: Run | str | os.PathLike) -> Run:
    """A run, or the one that lies in a directory.

    Raises:
        ValueError: if it is neither.
        FileNotFoundError: if there is no such directory.
    """
    if isinstance(run, Run):
        return run
    if not isinstance(run, str | os.PathLike):
        raise ValueError(f"run must be a Run or its directory, got {type(run).__name__}")
    return load_run(run)


def check_scorable(run: Run) -> None:
    """Raises ValueError if a run has no extent or no member yet."""
    if not run.extents:
        raise ValueError(f"{run.directory}: no extent is finished yet, nothing can be scored")
    if not len(run.members):
        raise ValueError(f"{run.directory}: all members have diverged, there is nothing to score")


def consistency_history(run: Run, split: str) -> Float[np.ndarray, "E M"]:
    """Consistency scores, an extent at a time, so that memory does not grow with their number."""
    num_examples = len(run.labels[split])
    return np.stack(
        [
            consistency_from_bits(run.bits(split, extents=extent)[0], num_examples)
            for extent in run.extents
        ]
    )


def save_result(display: ResultDisplay, path: Path) -> list[Path]:
    """Write `path`.png, `path`.svg and `path`.csv; returns the first and the last."""
    png, _ = display.plot().save(path)
    return [png, display.save_table(path)]


def _dynamics_rows(run, scores, consensus) -> Iterator[Sequence[Any]]:
    """A row for each extent and split or probe; of probes there is consensus only."""
    yield _DYNAMICS_COLUMNS
    for row, extent in enumerate(run.extents):
        for name, agreement in consensus.items():
            of_labels = [""] * 5
            if name in scores:
                accuracies, consistency = (
                    scores[name].accuracies[row],
                    scores[name].consistency[row],
                )
                of_labels = _texts(_label_columns(accuracies, consistency))
            yield extent, name, *of_labels, *_texts([agreement[row].mean()])


def _label_columns(accuracy, scores):
    """What the table of extents has between the split and the consensus."""
    shape = float(bimodality(scores))
    return [accuracy.mean(), accuracy.std(), accuracy.min(), accuracy.max(), shape]


def _texts(values):
    return [f"{value:.6g}" for value in values]


def _score_rows(run, of_splits, consensus) -> Iterator[Sequence[Any]]:
    """A row for each example: accessibility, then consistency and consensus at every extent.

    What needs labels is empty for the examples of probes.
    """
    names = [f"{name}_{extent}" for name in ("consistency", "consensus") for extent in run.extents]
    yield ["split", "id", "label", "class", "accessibility", *names]
    for split in run.splits:
        consistency = of_splits[split].consistency
        accessibility = consistency.mean(axis=0)
        scores = np.concatenate([accessibility[None], consistency, consensus[split]]).T
        for example, label, row in zip(run.ids[split], run.labels[split], scores, strict=True):
            yield [split, example, label, run.class_names[label], *_texts(row)]
    without_labels = [""] * (3 + len(run.extents))
    for probe in run.probes:
        for example, row in zip(run.ids[probe], consensus[probe].T, strict=True):
            yield [probe, example, *without_labels, *_texts(row)]


def _draw(run, scores, directory) -> tuple[dict[str, Path], list[Path]]:
    """Save the figures; returns a file of each by its name, and the tables."""
    title = f"{run.model} on {run.manifest.data.name}"
    consistency = {split: of.consistency for split, of in scores.items()}
    details = _details(run, consistency, title)
    displays = {**_overviews(run, consistency, title), **details}
    saved = {name: display.plot().save(directory / name) for name, display in displays.items()}
    figures = {name: _drawing(*files) for name, files in saved.items()}
    return figures, [of.save_table(directory / name) for name, of in details.items()]


def _drawing(png: Path, svg: Path) -> Path:
    """The SVG, which is sharp at any size, unless it is too large to be part of a page."""
    return svg if svg.stat().st_size <= _LARGEST_SVG else png


def _overviews(run, consistency, title) -> dict[str, Display]:
    """The figures of every run, whose numbers are those of the tables."""
    shown = choose_extents(run.extents, 7)
    positions = [run.extents.index(extent) for extent in shown]
    num_members = len(run.members)
    predictions = run.predictions("test", extents=shown)
    probes = {probe: run.predictions(probe, extents=shown) for probe in run.probes}
    labels = run.labels["test"]
    accuracies = member_accuracy(predictions == labels)
    baseline = independent_baseline(accuracies, labels, run.num_classes, _SEED)
    return {
        "consistency": ConsistencyDisplay(
            {split: scores[positions] for split, scores in consistency.items()}
            | {_BASELINE: consistency_score(baseline == labels)},
            shown,
            num_members,
            title,
        ),
        "consensus": ConsensusDisplay.from_predictions(
            {"test": predictions, **probes, _BASELINE: baseline}, run.num_classes, shown, title
        ),
        "dynamics": DynamicsDisplay(
            {split: run.metrics[f"{split}_accuracy"] for split in run.splits},
            {split: bimodality(scores) for split, scores in consistency.items()},
            run.extents,
            title,
        ),
    }


def _details(run, consistency, title) -> dict[str, ResultDisplay]:
    """The figures that need enough members, extents or probes, and have numbers of their own."""
    last = run.extents[-1]
    num_members = len(run.members)
    details: dict[str, ResultDisplay] = {}
    if num_members >= _FEWEST_MEMBERS:
        shown = choose_extents(run.extents, _MOST_COLUMNS)
        details["classes"] = ClassHistogramDisplay.from_predictions(
            run.predictions("test", extents=shown),
            run.labels["test"],
            run.class_names,
            shown,
            f"{title}, test",
        )
        sizes = _halved(num_members)
        details["size"] = SizeDisplay(
            {
                split: size_dependence(run.correct(split, extents=last)[0], sizes, _SEED)
                for split in run.splits
            },
            f"{title}, epoch {last}",
        )
        if len(run.extents) >= _FEWEST_EXTENTS:
            curves = _typical_curves(consistency["test"], run.ids["test"])
            if curves:
                details["examples"] = ExampleCurvesDisplay(
                    curves, run.extents, images={}, title=f"{title}, test, N = {num_members}"
                )
    if run.probes:
        details["probes"] = ProbeDisplay.from_predictions(
            {name: run.predictions(name, extents=last)[0] for name in (*run.probes, "test")},
            run.num_classes,
            _SEED,
            f"{title}, epoch {last}",
        )
    return details


def _typical_curves(scores, ids):
    """The consistency of typical examples by extent, by their pattern and id."""
    return {
        f"{pattern.value}: {ids[example]}": scores[:, example]
        for pattern, example in choose_typical_examples(scores).items()
    }


def _halved(num_members: int) -> list[int]:
    """N, a half of it, a quarter and so on down to 2, ascending."""
    sizes = [num_members]
    while sizes[-1] // 2 >= 2:
        sizes.append(sizes[-1] // 2)
    return sizes[::-1]


def write_table(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file as a whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    replace_file(path, text.getvalue().encode())

"""Tables and figures of one run: written when it ends, and again whenever asked for."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ensemble_jax.analysis import (
    accuracy_from_bits,
    bimodality,
    choose_extents,
    choose_typical_examples,
    consensus_score,
    consistency_from_bits,
    consistency_score,
    independent_baseline,
    member_accuracy,
    size_dependence,
)
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
from ensemble_jax.runs import Run

FIGURES = "figures"
SCORES = "scores.csv"
DYNAMICS = "dynamics.csv"

_DYNAMICS_COLUMNS = (
    "extent",
    "split",
    "accuracy_mean",
    "accuracy_deviation",
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
# Of which typical curves can be told.
_FEWEST_EXTENTS = 3


def write_report(run: Run, directory: Path) -> list[Path]:
    """Write `scores.csv`, `dynamics.csv` and the figures; returns the files, figures as PNG.

    Figures whose numbers are not in these two tables have their own beside them. Those of single
    examples, classes and sizes need a few members, those of single examples some extents, too.

    Extents are read one at a time, so that memory does not grow with their number.
    """
    check_scorable(run)
    consistency, consensus, dynamics = _scores_of_extents(run)
    write_table(directory / SCORES, _score_rows(run, consistency, consensus))
    write_table(directory / DYNAMICS, dynamics)
    (directory / FIGURES).mkdir(exist_ok=True)
    figures = _draw(run, consistency, directory / FIGURES)
    return [directory / SCORES, directory / DYNAMICS, *figures]


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


def _scores_of_extents(run):
    """Consistency and consensus `[E, M]` by split, and the rows of the table of extents.

    Probes have consensus only.
    """
    consistency = {split: [] for split in run.splits}
    consensus = {name: [] for name in (*run.splits, *run.probes)}
    dynamics: list[Sequence[Any]] = [_DYNAMICS_COLUMNS]
    for extent in run.extents:
        for name in consensus:
            agreement = consensus_score(run.predictions(name, extents=extent)[0], run.num_classes)
            consensus[name].append(agreement)
            of_labels = [""] * 5
            if name in consistency:
                bits, num_examples = run.bits(name, extents=extent)[0], len(run.labels[name])
                scores = consistency_from_bits(bits, num_examples)
                consistency[name].append(scores)
                of_labels = _texts(_label_columns(accuracy_from_bits(bits, num_examples), scores))
            dynamics.append((extent, name, *of_labels, *_texts([agreement.mean()])))
    return (
        {split: np.stack(rows) for split, rows in consistency.items()},
        {name: np.stack(rows) for name, rows in consensus.items()},
        dynamics,
    )


def _label_columns(accuracy, scores):
    """What the table of extents has between the split and the consensus."""
    shape = float(bimodality(scores))
    return [accuracy.mean(), accuracy.std(), accuracy.min(), accuracy.max(), shape]


def _texts(values):
    return [f"{value:.6g}" for value in values]


def _score_rows(run, consistency, consensus) -> Iterator[Sequence[Any]]:
    """A row for each example: accessibility, then consistency and consensus at every extent.

    What needs labels is empty for the examples of probes.
    """
    names = [f"{name}_{extent}" for name in ("consistency", "consensus") for extent in run.extents]
    yield ["split", "id", "label", "class", "accessibility", *names]
    for split in run.splits:
        accessibility = consistency[split].mean(axis=0)
        scores = np.concatenate([accessibility[None], consistency[split], consensus[split]]).T
        for example, label, row in zip(run.ids[split], run.labels[split], scores, strict=True):
            yield [split, example, label, run.class_names[label], *_texts(row)]
    without_labels = [""] * (3 + len(run.extents))
    for probe in run.probes:
        for example, row in zip(run.ids[probe], consensus[probe].T, strict=True):
            yield [probe, example, *without_labels, *_texts(row)]


def _draw(run, consistency, directory):
    title = f"{run.config['model']} on {run.manifest.data.name}"
    overviews = _overviews(run, consistency, title)
    for name, display in overviews.items():
        display.plot().save(directory / name)
    details = _details(run, consistency, title)
    tables = [save_result(display, directory / name)[1] for name, display in details.items()]
    return [*(directory / f"{name}.png" for name in (*overviews, *details)), *tables]


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
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text.getvalue(), encoding="utf-8")
    os.replace(temporary, path)

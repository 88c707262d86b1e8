"""Tables and figures of one run: written when it ends, and again whenever asked for."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_jax.analysis import (
    accuracy_from_bits,
    bimodality,
    choose_extents,
    consensus_score,
    consistency_from_bits,
    consistency_score,
    independent_baseline,
    member_accuracy,
)
from ensemble_jax.figures import ConsensusDisplay, ConsistencyDisplay, DynamicsDisplay
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
_BASELINE_SEED = 0


def write_report(run: Run, directory: Path) -> list[Path]:
    """Write `scores.csv`, `dynamics.csv` and the figures; returns the files, figures as PNG.

    Extents are read one at a time, so that memory does not grow with their number.
    """
    if not run.extents:
        raise ValueError(f"{run.directory}: no extent is finished yet, nothing can be scored")
    if not len(run.members):
        raise ValueError(f"{run.directory}: all members have diverged, there is nothing to score")
    consistency, consensus, dynamics = _scores_of_extents(run)
    write_table(directory / SCORES, _score_rows(run, consistency, consensus))
    write_table(directory / DYNAMICS, dynamics)
    (directory / FIGURES).mkdir(exist_ok=True)
    figures = _draw(run, consistency, directory / FIGURES)
    return [directory / SCORES, directory / DYNAMICS, *figures]


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
    shown = choose_extents(run.extents, 7)
    positions = [run.extents.index(extent) for extent in shown]
    num_members = len(run.members)
    title = f"{run.config['model']} on {run.manifest.data.name}"
    predictions = run.predictions("test", extents=shown)
    probes = {probe: run.predictions(probe, extents=shown) for probe in run.probes}
    labels = run.labels["test"]
    accuracies = member_accuracy(predictions == labels)
    baseline = independent_baseline(accuracies, labels, run.num_classes, _BASELINE_SEED)
    displays = {
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
    for name, display in displays.items():
        display.plot().save(directory / name)
    return [directory / f"{name}.png" for name in displays]


def write_table(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file as a whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text.getvalue(), encoding="utf-8")
    os.replace(temporary, path)

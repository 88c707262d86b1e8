"""What a sweep shows: accuracy and bimodality of every setting, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_jax.analysis import bimodality, consistency_score, member_accuracy
from ensemble_jax.runs import Run
from experiments.report import write_table
from experiments.sweep_config import SweepConfig, plain_text

SUMMARY = "sweep.csv"

_COLUMNS = (
    "members",
    "diverged",
    "extent",
    "split",
    "accuracy_mean",
    "accuracy_deviation",
    "consistency_bimodality",
)


def write_sweep_report(
    config: SweepConfig, runs: Sequence[tuple[Run, Sequence[int]]], directory: Path
) -> list[Path]:
    """Write `sweep.csv` and the figure of the last extent; returns the files, the figure as PNG.

    Args:
        config: the sweep.
        runs: each finished run and the positions in `config.settings` that its members have.
        directory: where to write.
    """
    rows = [row for run, positions in runs for row in _rows(config, run, positions)]
    order = sorted(range(len(rows)), key=lambda i: rows[i]["position"])
    table = [
        [*config.vary, *_COLUMNS],
        *(
            [*map(plain_text, config.settings[rows[i]["position"]].values())]
            + [_written(rows[i][column]) for column in _COLUMNS]
            for i in order
        ),
    ]
    write_table(directory / SUMMARY, table)
    return [directory / SUMMARY]


def _rows(config: SweepConfig, run: Run, positions: Sequence[int]) -> list[dict[str, Any]]:
    """One row for each setting, extent and split."""
    of_setting = run.settings.get("setting", np.zeros(len(run.members), int))
    num_members = run.manifest.num_members // len(positions)
    rows = []
    for extent in run.extents:
        for split in run.splits:
            correct = run.correct(split, extents=extent)[0]
            for index, position in enumerate(positions):
                own = correct[of_setting == index]
                row = {
                    "position": position,
                    "members": len(own),
                    "diverged": num_members - len(own),
                    "extent": extent,
                    "split": split,
                }
                rows.append(row | _scores(own))
    return rows


def _scores(correct: np.ndarray) -> dict[str, float]:
    """Of the members of one setting; NaN where all have diverged."""
    if not len(correct):
        return dict.fromkeys(_COLUMNS[-3:], float("nan"))
    accuracy = member_accuracy(correct)
    score = float(bimodality(consistency_score(correct)))
    return dict(zip(_COLUMNS[-3:], (accuracy.mean(), accuracy.std(), score), strict=True))


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)

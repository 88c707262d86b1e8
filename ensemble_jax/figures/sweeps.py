"""Accuracy and bimodality of many settings at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import FigureBase

from ensemble_jax.figures.display import NewFigure, ResultDisplay

_COLOUR = "#0072B2"
_ROW_HEIGHT, _WIDTH, _MARGIN_HEIGHT = 0.22, 6.0, 0.9
# Rows left free between options.
_GAP = 0.6


class SettingResult(NamedTuple):
    """What a collection with one setting did.

    Attributes:
        accuracies: `[N]`, of its members in the end.
        bimodalities: `[E]`, of its consistency scores at the extents to be summed up, in their
            order; NaN where undefined.
    """

    accuracies: Float[np.ndarray, " N"]
    bimodalities: Float[np.ndarray, " E"]


@dataclass(eq=False)
class SettingsDisplay(ResultDisplay):
    """The robustness of Hacohen & Weinshall (2019), appendix E: a row for each setting.

    Left the accuracy of the members in the end, mean and range. Right the bimodality of their
    consistency: the dot at the last extent, the line over all extents given.

    Attributes:
        results: by option and by value of the option, for example `{'dropout': {'0.25': ...}}`.
        title: what was trained on what.
        reference: a bimodality to compare with, drawn as a line, for example that of independent
            members; None for no line.
    """

    results: Mapping[str, Mapping[str, SettingResult]]
    title: str = ""
    reference: float | None = None

    def __post_init__(self) -> None:
        if not self.results or not all(self.results.values()):
            raise ValueError("results must be of at least one option, each with a value")
        for option, values in self.results.items():
            for value, result in values.items():
                if not len(result.accuracies) or not len(result.bimodalities):
                    raise ValueError(
                        f"results must have a member and an extent, got none for {option} {value}"
                    )

    def table(self) -> list[dict[str, Any]]:
        """A row for each setting."""
        rows = []
        for option, values in self.results.items():
            for value, (accuracies, bimodalities) in values.items():
                least, last, largest = _least_last_largest(bimodalities)
                rows.append(
                    {
                        "option": option,
                        "value": value,
                        "members": len(accuracies),
                        "accuracy_mean": float(np.mean(accuracies)),
                        "accuracy_min": float(np.min(accuracies)),
                        "accuracy_max": float(np.max(accuracies)),
                        "bimodality_last": last,
                        "bimodality_min": least,
                        "bimodality_max": largest,
                    }
                )
        return rows

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        rows = self.table()
        places, place, before = [], 0.0, rows[0]["option"]
        for row in rows:
            place += _GAP if row["option"] != before else 0.0
            before = row["option"]
            places.append(place)
            place += 1
        figure = new_figure(_WIDTH, _MARGIN_HEIGHT + _ROW_HEIGHT * (place + 1))
        axes = figure.subplots(1, 2, sharey=True)
        for panel, dot, low, high in (
            (axes[0], "accuracy_mean", "accuracy_min", "accuracy_max"),
            (axes[1], "bimodality_last", "bimodality_min", "bimodality_max"),
        ):
            panel.hlines(
                places, [row[low] for row in rows], [row[high] for row in rows], color=_COLOUR
            )
            panel.plot([row[dot] for row in rows], places, "o", color=_COLOUR)
            panel.grid(axis="x", linewidth=0.3, color="#BBBBBB")
        axes[0].set_xlabel("accuracy in the end\n(mean, range of members)")
        axes[1].set_xlabel("bimodality of consistency\n(in the end, range of extents)")
        if self.reference is not None:
            axes[1].axvline(self.reference, color="#009E73", linestyle="--", label="independent")
            figure.legend(loc="outside lower right")
        axes[1].set_xlim(0, max(1, axes[1].get_xlim()[1]))
        axes[0].set_yticks(places, [f"{row['option']} {row['value']}" for row in rows])
        axes[0].set_ylim(place - 0.3, -0.7)
        size = ", ".join(map(str, sorted({row["members"] for row in rows})))
        figure.suptitle(f"{self.title}, N = {size}" if self.title else f"N = {size}")
        return figure, axes


def _least_last_largest(values: Float[np.ndarray, " E"]) -> tuple[float, float, float]:
    """NaN only where there is nothing else."""
    given = np.asarray(values, np.float64)
    defined = given[~np.isnan(given)]
    if not len(defined):
        return float("nan"), float("nan"), float("nan")
    return float(defined.min()), float(given[-1]), float(defined.max())

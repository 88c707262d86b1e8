"""How far rankings of examples can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, NullLocator

from ensemble_jax.analysis import Reliability, members_needed
from ensemble_jax.figures.display import NewFigure, ResultDisplay

_SIZE = (7.0, 3.4)
_MARGIN = 0.03
# Of Okabe & Ito (2008), told apart by lines as well where there are more scores than colours.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", ":")


@dataclass(eq=False)
class ReliabilityDisplay(ResultDisplay):
    """How alike two collections of some size rank the examples, by every score.

    Left against the number of members of each, with all extents; right against the number of
    extents, with the most members. Lines are medians of Spearman's correlation over random pairs,
    bands the middle half of them.

    Attributes:
        results: of `reliability`, by name of the score.
        title: what was trained on what, and which examples are ranked.
    """

    results: Mapping[str, Reliability]
    title: str = ""

    def __post_init__(self) -> None:
        if not self.results:
            raise ValueError("results must be of at least one score, got none")

    def table(self) -> list[dict[str, Any]]:
        """A row for each score, number of members and number of extents.

        `needed` is how many members it would take for a correlation of 0.9 (`members_needed`).
        """
        return [
            {
                "score": name,
                "members": int(members),
                "extents": int(extents),
                "median": middle,
                "quarter": low,
                "three_quarters": high,
                "needed": members_needed(result),
            }
            for name, result in self.results.items()
            for members, of_members in zip(result.members, result.correlations, strict=True)
            for extents, correlations in zip(result.extents, of_members, strict=True)
            for low, middle, high in [_quartiles(correlations)]
        ]

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        figure = new_figure(*_SIZE)
        axes = figure.subplots(1, 2, sharey=True)
        rows = self.table()
        for (name, result), (colour, line) in zip(self.results.items(), _styles(), strict=False):
            for panel, counted, fixed, largest in (
                (axes[0], "members", "extents", result.extents.max()),
                (axes[1], "extents", "members", result.members.max()),
            ):
                shown = sorted(
                    (row for row in rows if row["score"] == name and row[fixed] == largest),
                    key=lambda row: row[counted],
                )
                places, middle, low, high = (
                    [row[column] for row in shown]
                    for column in (counted, "median", "quarter", "three_quarters")
                )
                panel.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
                panel.plot(places, middle, "o", linestyle=line, color=colour, label=name)
        axes[0].set_ylim(None, 1 + _MARGIN)
        axes[0].set_ylabel("rank correlation of\ntwo collections")
        for panel, label, counts in (
            (axes[0], "members of each", [result.members for result in self.results.values()]),
            (axes[1], "extents", [result.extents for result in self.results.values()]),
        ):
            panel.set_xscale("log")
            panel.set_xticks(sorted({int(count) for of in counts for count in of}))
            panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xlabel(label)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
        figure.suptitle(self.title)
        return figure, axes


def _styles():
    """A colour and a line for each score, none twice."""
    return cycle((colour, line) for line in _LINES for colour in _COLOURS)


def _quartiles(correlations) -> tuple[float, float, float]:
    known = correlations[~np.isnan(correlations)]
    if not len(known):
        return float("nan"), float("nan"), float("nan")
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]).tolist()
    return low, middle, high

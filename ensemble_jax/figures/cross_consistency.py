"""Two collections merged where they are equally accurate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from matplotlib.figure import FigureBase

from ensemble_jax.analysis import CrossConsistency, choose_extents, score_histogram
from ensemble_jax.figures.display import NewFigure, ResultDisplay, choose_colours
from ensemble_jax.figures.panels import (
    describe_moments,
    label_square_root_panels,
    make_panels,
    set_score_axis,
    set_square_root_axis,
    write_above,
)


@dataclass(eq=False)
class CrossConsistencyDisplay(ResultDisplay):
    """Figures 6a, 6b and 23 of Hacohen & Weinshall (2019): a histogram for each matched pair.

    Pairs go from the least accurate to the most, thinned out evenly where they are many.

    Attributes:
        result: of `cross_consistency`, with at least one pair.
        names: of the two collections.
        extents: `[E1]` and `[E2]` of the two collections.
        num_members: of the two collections.
        split: the set of examples, for example 'test'.
        at_most: the largest number of panels.
        title: the set of examples, for example 'small_mammals, test'.
    """

    result: CrossConsistency
    names: tuple[str, str]
    extents: tuple[Sequence[int] | Int[np.ndarray, " E"], Sequence[int] | Int[np.ndarray, " E"]]
    num_members: tuple[int, int]
    split: str = "test"
    at_most: int = 7
    title: str = ""

    def __post_init__(self) -> None:
        if not len(self.result.positions):
            raise ValueError(
                f"{self.names[0]} and {self.names[1]} have no matched extents: they are never "
                f"equally accurate within the tolerance"
            )

    def table(self) -> list[dict[str, Any]]:
        """A row for each pair and bin: all pairs, not only those that are drawn."""
        rows = []
        edges, fractions = score_histogram(self.result.scores, sum(self.num_members))
        for pair in self._pairs_by_accuracy():
            first, second = self._extents_of(pair)
            rows += [
                {
                    "first_extent": first,
                    "second_extent": second,
                    "first_accuracy": self.result.accuracies[pair, 0],
                    "second_accuracy": self.result.accuracies[pair, 1],
                    "bimodality": self.result.bimodalities[pair],
                    "from": low,
                    "to": high,
                    "fraction": fraction,
                }
                for low, high, fraction in zip(edges, edges[1:], fractions[pair], strict=False)
            ]
        return rows

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        order = self._pairs_by_accuracy()
        shown = order[choose_extents(np.arange(len(order)), self.at_most)]
        heading = f"{self.title}\n" if self.title else ""
        # So many lines of titles need more than one of them has.
        extra = (0, 0.6 if heading else 0.4)
        figure, axes = make_panels(new_figure, 1, len(shown), extra, least_width=4)
        colour = choose_colours([self.split])[self.split]
        for panel, pair in zip(axes[0], shown, strict=True):
            scores = self.result.scores[pair]
            edges, fractions = score_histogram(scores, sum(self.num_members))
            panel.stairs(fractions, edges, fill=True, color=colour)
            write_above(panel, describe_moments(scores))
            first, second = self._extents_of(pair)
            accuracy = self.result.accuracies[pair].mean()
            panel.set_title(f"accuracy {accuracy:.2f}\nepochs {first} | {second}")
        axes[0, 0].set_ylabel(self.split)
        set_score_axis(axes[0, 0], sum(self.num_members))
        set_square_root_axis(axes[0, 0])
        sizes = " | ".join(
            f"{name}, N = {number}"
            for name, number in zip(self.names, self.num_members, strict=True)
        )
        label_square_root_panels(
            figure,
            "cross-consistency score",
            f"{heading}{sizes}\n"
            f"mean bimodality of {len(order)} pairs: {self.result.mean_bimodality:.2f}",
        )
        return figure, axes

    def _pairs_by_accuracy(self) -> Int[np.ndarray, " P"]:
        return np.argsort(self.result.accuracies.mean(axis=1), kind="stable")

    def _extents_of(self, pair: int) -> tuple[int, int]:
        first, second = self.result.positions[pair]
        return int(self.extents[0][first]), int(self.extents[1][second])

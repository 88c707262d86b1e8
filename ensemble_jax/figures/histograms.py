"""How a score is distributed over the examples, and how that changes while members learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ensemble_jax.analysis import (
    bimodality,
    choose_extents,
    consensus_score,
    consistency_score,
    score_histogram,
)
from ensemble_jax.figures.display import Display, choose_colours

_PANEL_WIDTH = 1.25
_PANEL_HEIGHT = 1.3
# Inches for the labels left of, and the titles above and below, the panels.
_MARGIN_WIDTH = 0.8
_MARGIN_HEIGHT = 0.9
# The share of a panel's height that is kept free for its numbers.
_HEADROOM = 0.28
# Room beside the bars at 0 and 1, in units of the score.
_SIDE_MARGIN = 0.03


@dataclass(eq=False)
class HistogramGrid(Display):
    """Histograms of a score over the examples: a row for each set of examples, extents in columns.

    All panels share one vertical axis. It grows with the square root, since the peaks at 0 and 1
    hold most examples and would flatten the rest to nothing on a linear one. Each panel gives the
    mean and the bimodality of its scores.

    Attributes:
        scores: by row name, `[E, M]` in [0, 1]; M may differ between rows.
        extents: `[E]`, rising.
        num_members: N, of which the scores are multiples of 1/N.
        title: what was trained on what, for example 'st-VGG, small_mammals'; N is added to it.
        at_most: the largest number of columns; more extents are thinned out evenly.
    """

    scores: Mapping[str, Float[np.ndarray, "E M"]]
    extents: Sequence[int] | Int[np.ndarray, " E"]
    num_members: int
    title: str = ""
    at_most: int = 7

    quantity: ClassVar[str] = "score"

    def __post_init__(self) -> None:
        if not self.scores:
            raise ValueError("scores must have at least one row, got none")
        for name, scores in self.scores.items():
            if np.ndim(scores) != 2 or len(scores) != len(self.extents):
                raise ValueError(
                    f"scores of {name} must be [E, M] with E = {len(self.extents)} extents, "
                    f"got the shape {np.shape(scores)}"
                )

    def _draw(self) -> tuple[Figure, np.ndarray]:
        chosen = choose_extents(self.extents, self.at_most)
        positions = np.searchsorted(self.extents, chosen)
        num_rows, num_columns = len(self.scores), len(chosen)
        figure = Figure(
            figsize=(
                _MARGIN_WIDTH + _PANEL_WIDTH * num_columns,
                _MARGIN_HEIGHT + _PANEL_HEIGHT * num_rows,
            ),
            layout="constrained",
        )
        axes = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
        colours = choose_colours(self.scores)
        for row, (name, scores) in zip(axes, self.scores.items(), strict=True):
            shown = np.asarray(scores)[positions]
            edges, fractions = score_histogram(shown, self.num_members)
            for panel, panel_scores, heights in zip(row, shown, fractions, strict=True):
                panel.stairs(heights, edges, fill=True, color=colours[name])
                _write_moments(panel, panel_scores)
            row[0].set_ylabel(name)
        for panel, extent in zip(axes[0], chosen, strict=True):
            panel.set_title(f"epoch {extent}")
        corner = axes[0, 0]
        corner.set_xlim(edges[0] - _SIDE_MARGIN, edges[-1] + _SIDE_MARGIN)
        corner.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        corner.set_yscale("function", functions=(np.sqrt, np.square))
        corner.set_ylim(0, 1 / (1 - _HEADROOM) ** 2)
        corner.set_yticks([0, 0.1, 0.5, 1], ["0", "0.1", "0.5", "1"])
        figure.supxlabel(self.quantity, fontsize=9)
        figure.supylabel(
            "fraction of examples\n(square-root scale)", fontsize=9, multialignment="center"
        )
        size = f"N = {self.num_members}"
        figure.suptitle(f"{self.title}, {size}" if self.title else size)
        return figure, axes


class ConsistencyDisplay(HistogramGrid):
    """Figure 1 of Hacohen & Weinshall (2019): consistency scores while the members learn.

    Rows are usually train, test and the independent baseline of the test set.
    """

    quantity = "consistency score"

    @classmethod
    def from_correct(
        cls,
        correct: Mapping[str, Shaped[Any, "E N M"]],
        extents: Sequence[int] | Int[np.ndarray, " E"],
        title: str = "",
        at_most: int = 7,
    ) -> Self:
        """The display of correctness bitmaps.

        Args:
            correct: by row name, `[E, N, M]`, all with the same N. A baseline is one of them:
                `independent_baseline(accuracies, labels, num_classes, seed) == labels`.
            extents: `[E]`, rising.
            title: what was trained on what.
            at_most: the largest number of columns.

        Raises:
            ValueError: rows differ in N or do not have E extents, or no bitmap.
        """
        scores = {name: consistency_score(bitmap) for name, bitmap in correct.items()}
        return cls(scores, extents, _shared_num_members(correct), title, at_most)


class ConsensusDisplay(HistogramGrid):
    """Figure 3 of Hacohen & Weinshall (2019): consensus scores while the members learn.

    Rows are usually the test set and its independent baseline, or probes, which have no labels.
    """

    quantity = "consensus score"

    @classmethod
    def from_predictions(
        cls,
        predictions: Mapping[str, Shaped[Any, "E N M"]],
        num_classes: int,
        extents: Sequence[int] | Int[np.ndarray, " E"],
        title: str = "",
        at_most: int = 7,
    ) -> Self:
        """The display of predicted classes.

        Args:
            predictions: by row name, `[E, N, M]` in 0..K-1, all with the same N. A baseline is one
                of them: `independent_baseline(accuracies, labels, num_classes, seed)`.
            num_classes: K.
            extents: `[E]`, rising.
            title: what was trained on what.
            at_most: the largest number of columns.

        Raises:
            ValueError: rows differ in N or do not have E extents, or classes outside 0..K-1.
        """
        scores = {name: consensus_score(row, num_classes) for name, row in predictions.items()}
        return cls(scores, extents, _shared_num_members(predictions), title, at_most)


def _shared_num_members(rows: Mapping[str, Shaped[Any, "E N M"]]) -> int:
    """N, which all rows must share since their scores share one axis."""
    num_members = {name: np.shape(row)[-2] for name, row in rows.items()}
    if len(set(num_members.values())) != 1:
        raise ValueError(f"rows must have the same number of members, got {num_members}")
    return next(iter(num_members.values()))


def _write_moments(panel: Axes, scores: Float[np.ndarray, " M"]) -> None:
    """Writes mean and bimodality into the room above the histogram."""
    value = bimodality(scores)
    written = "n/a" if np.isnan(value) else f"{value:.2f}"
    panel.text(
        0.5,
        1.0,
        f"mean {scores.mean():.2f}\nbimodality {written}",
        transform=panel.transAxes,
        horizontalalignment="center",
        verticalalignment="top",
        fontsize=8,
    )

"""How a score is distributed over the examples, and how that changes while members learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.figure import FigureBase

from ensemble_jax.analysis import (
    choose_extents,
    consensus_score,
    consistency_score,
    score_histogram,
)
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
class HistogramGrid(ResultDisplay):
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

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        chosen = choose_extents(self.extents, self.at_most)
        positions = np.searchsorted(self.extents, chosen)
        num_rows, num_columns = len(self.scores), len(chosen)
        figure, axes = make_panels(new_figure, num_rows, num_columns)
        colours = choose_colours(self.scores)
        for row, (name, scores) in zip(axes, self.scores.items(), strict=True):
            shown = np.asarray(scores)[positions]
            edges, fractions = score_histogram(shown, self.num_members)
            for panel, panel_scores, heights in zip(row, shown, fractions, strict=True):
                panel.stairs(heights, edges, fill=True, color=colours[name])
                write_above(panel, describe_moments(panel_scores))
            row[0].set_ylabel(name)
        for panel, extent in zip(axes[0], chosen, strict=True):
            panel.set_title(f"epoch {extent}")
        set_score_axis(axes[0, 0], self.num_members)
        set_square_root_axis(axes[0, 0])
        size = f"N = {self.num_members}"
        title = f"{self.title}, {size}" if self.title else size
        label_square_root_panels(figure, self.quantity, title)
        return figure, axes

    def table(self) -> list[dict[str, Any]]:
        """A row for each set, extent and bin: all extents, not only those that are drawn."""
        rows = []
        for name, scores in self.scores.items():
            edges, fractions = score_histogram(scores, self.num_members)
            for extent, of_extent in zip(self.extents, fractions, strict=True):
                rows += [
                    {"set": name, "extent": extent, "from": low, "to": high, "fraction": fraction}
                    for low, high, fraction in zip(edges, edges[1:], of_extent, strict=False)
                ]
        return rows


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

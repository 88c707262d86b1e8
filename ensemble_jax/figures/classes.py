"""Which classes a collection uses for the examples that it knows, and for those it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.figure import FigureBase

from ensemble_jax.analysis import (
    choose_extents,
    consistency_score,
    most_frequent_class,
    score_histogram_by_class,
)
from ensemble_jax.figures.display import NewFigure, ResultDisplay
from ensemble_jax.figures.panels import make_panels, set_score_axis

# Okabe & Ito (2008) without yellow, which is hard to see on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_OTHERS = "#BBBBBB"


@dataclass(eq=False)
class ClassHistogramDisplay(ResultDisplay):
    """Figure 27 of Hacohen & Weinshall (2019): consistency, coloured by the most frequent class.

    A column for each extent. The examples of a bin are divided by the class that most members give
    to them, right or wrong; where there are more than seven classes, all but the six that are most
    used together are grey.

    Attributes:
        scores: `[E, M]`, consistency scores.
        classes: `[E, M]`, the most frequent classes.
        class_names: `[K]`.
        extents: `[E]`, rising.
        num_members: N.
        title: what was trained on what.
        at_most: the largest number of columns.
    """

    scores: Float[np.ndarray, "E M"]
    classes: Int[np.ndarray, "E M"]
    class_names: Sequence[str]
    extents: Sequence[int] | Int[np.ndarray, " E"]
    num_members: int
    title: str = ""
    at_most: int = 4

    def __post_init__(self) -> None:
        shapes = np.shape(self.scores), np.shape(self.classes)
        if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][0] != len(self.extents):
            raise ValueError(
                f"scores and classes must be [E, M] with E = {len(self.extents)} extents, "
                f"got the shapes {shapes[0]} and {shapes[1]}"
            )

    @classmethod
    def from_predictions(
        cls,
        predictions: Shaped[Any, "E N M"],
        labels: Shaped[Any, " M"],
        class_names: Sequence[str],
        extents: Sequence[int] | Int[np.ndarray, " E"],
        title: str = "",
        at_most: int = 4,
    ) -> Self:
        """The display of predicted classes `[E, N, M]` in 0..K-1, and labels `[M]`.

        Raises:
            ValueError: predictions do not have E extents, or classes outside 0..K-1.
        """
        given = np.asarray(predictions)
        return cls(
            consistency_score(given == np.asarray(labels)),
            most_frequent_class(given, len(class_names)).classes,
            class_names,
            extents,
            given.shape[-2],
            title,
            at_most,
        )

    def table(self) -> list[dict[str, Any]]:
        """A row for each extent, class and bin: all extents, not only those that are drawn."""
        edges, fractions = self._fractions(np.asarray(self.scores), np.asarray(self.classes))
        return [
            {"extent": extent, "class": name, "from": low, "to": high, "fraction": fraction}
            for extent, of_extent in zip(self.extents, fractions, strict=True)
            for name, of_class in zip(self.class_names, of_extent, strict=True)
            for low, high, fraction in zip(edges, edges[1:], of_class, strict=False)
        ]

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        chosen = choose_extents(self.extents, self.at_most)
        positions = np.searchsorted(self.extents, chosen)
        edges, fractions = self._fractions(
            np.asarray(self.scores)[positions], np.asarray(self.classes)[positions]
        )
        figure, axes = make_panels(new_figure, 1, len(chosen), extra=(1.6, 0.8))
        shown, others = self._shown_classes(fractions)
        names = [
            *(self.class_names[int(label)] for label in shown),
            *["other classes"] * bool(len(others)),
        ]
        colours = [*_COLOURS[: len(shown)], _OTHERS]
        for panel, extent, of_extent in zip(axes[0], chosen, fractions, strict=True):
            layers = [*of_extent[shown], *([of_extent[others].sum(axis=0)] if len(others) else [])]
            tops = np.cumsum(layers, axis=0)
            bottoms = np.vstack([np.zeros_like(tops[:1]), tops[:-1]])
            handles = [
                panel.stairs(top, edges, baseline=bottom, fill=True, color=colour)
                for bottom, top, colour in zip(bottoms, tops, colours, strict=False)
            ]
            panel.set_title(f"epoch {extent}")
        set_score_axis(axes[0, 0], self.num_members)
        axes[0, 0].set_ylim(0, None)
        axes[0, 0].set_ylabel("fraction of examples")
        figure.supxlabel("consistency score", fontsize=9)
        # In the order in which they lie on each other.
        figure.legend(
            handles[::-1], names[::-1], loc="outside right center", title="most frequent class"
        )
        size = f"N = {self.num_members}"
        figure.suptitle(f"{self.title}, {size}" if self.title else size)
        return figure, axes

    def _fractions(self, scores, classes):
        return score_histogram_by_class(scores, classes, len(self.class_names), self.num_members)

    def _shown_classes(self, fractions: Float[np.ndarray, "E K bins"]):
        """The classes with a colour of their own, and the others."""
        used = np.argsort(-fractions.sum(axis=(0, 2)), kind="stable")
        if len(used) <= len(_COLOURS):
            return np.arange(len(used)), used[:0]
        most = len(_COLOURS) - 1
        return np.sort(used[:most]), used[most:]

"""Which examples are easy for two collections, or for one alone, while they learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from ensemble_jax.analysis import EasySetSizes
from ensemble_jax.figures.display import NewFigure, ResultDisplay

_SHARED, _ONLY_FIRST, _ONLY_SECOND = "#D55E00", "#0072B2", "#000000"
_SIZE = (5.6, 3.0)
# More are hardly told apart, and look better without gaps.
_MOST_BARS = 40
_MOST_TICKS = 12


@dataclass(eq=False)
class EasySetsDisplay(ResultDisplay):
    """Figures 7b and 21 of Hacohen & Weinshall (2019): easy sets of two collections by extent.

    Examples that are easy for both, and on top those for the first alone; those for the second
    alone hang below zero. Fractions of all examples. Extents are a bar each, evenly spaced.

    Attributes:
        sizes: of `compare_easy_sets`, `[E]`.
        extents: `[E]`.
        num_examples: M.
        names: of the first and the second collection.
        title: the set of examples, for example 'small_mammals, test'.
    """

    sizes: EasySetSizes
    extents: Sequence[int] | Int[np.ndarray, " E"]
    num_examples: int
    names: tuple[str, str]
    title: str = ""

    def __post_init__(self) -> None:
        if len(self.sizes.shared) != len(self.extents) or not len(self.extents):
            raise ValueError(
                f"sizes must be [E] with E = {len(self.extents)} extents, at least one, "
                f"got the shape {np.shape(self.sizes.shared)}"
            )

    def table(self) -> list[dict[str, Any]]:
        """A row for each extent, in numbers of examples."""
        return [
            {
                "extent": extent,
                "shared": int(shared),
                f"only {self.names[0]}": int(first),
                f"only {self.names[1]}": int(second),
                "examples": self.num_examples,
            }
            for extent, shared, first, second in zip(self.extents, *self.sizes, strict=True)
        ]

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        figure = new_figure(*_SIZE)
        panel = figure.subplots()
        places = np.arange(len(self.extents))
        shared, first, second = (np.asarray(size) / self.num_examples for size in self.sizes)
        only_first, only_second = (f"only {name}" for name in self.names)
        width = 0.8 if len(places) <= _MOST_BARS else 1.0
        panel.bar(places, first, width, shared, color=_ONLY_FIRST, label=only_first)
        panel.bar(places, shared, width, color=_SHARED, label="both")
        panel.bar(places, -second, width, color=_ONLY_SECOND, label=only_second)
        panel.axhline(0, color="black", linewidth=0.6)
        ticks = self._choose_ticks()
        panel.set_xticks(ticks, [str(self.extents[place]) for place in ticks])
        panel.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        panel.set_xlabel("epoch")
        panel.set_ylabel("fraction of examples that are easy")
        figure.legend(loc="outside right center")
        figure.suptitle(self.title)
        return figure, np.array([panel])

    def _choose_ticks(self) -> list[int]:
        """Positions of all extents, or, of many, of those that are round numbers."""
        extents = np.asarray(self.extents)
        if len(extents) <= _MOST_TICKS:
            return list(range(len(extents)))
        locator = MaxNLocator(_MOST_TICKS, integer=True, steps=[1, 2, 5, 10])
        round_numbers = locator.tick_values(extents.min(), extents.max())
        return np.flatnonzero(np.isin(extents, round_numbers)).tolist()

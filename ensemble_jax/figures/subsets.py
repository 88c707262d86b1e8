"""How many members are enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, NullLocator

from ensemble_jax.analysis import SizeDependence
from ensemble_jax.figures.display import NewFigure, ResultDisplay, choose_colours

_SIZE = (5.0, 4.4)
_MARGIN = 0.03


@dataclass(eq=False)
class SizeDisplay(ResultDisplay):
    """Bimodality of random subsets of the members, and below it the agreement of two of one size.

    Lines are medians over the subsets and bands their range, on a logarithmic axis of sizes.

    Attributes:
        dependences: of `size_dependence`, by name, for example of the set of examples.
        title: what was trained on what, and the extent.
    """

    dependences: Mapping[str, SizeDependence]
    title: str = ""

    def __post_init__(self) -> None:
        if not self.dependences:
            raise ValueError("dependences must hold at least one, got none")

    def table(self) -> list[dict[str, Any]]:
        """A row for each name, size and subset."""
        return [
            {
                "set": name,
                "members": int(size),
                "subset": subset,
                "bimodality": float(bimodality),
                "correlation": float(correlation),
            }
            for name, of in self.dependences.items()
            for size, bimodalities, correlations in zip(*of, strict=True)
            for subset, (bimodality, correlation) in enumerate(
                zip(bimodalities, correlations, strict=True)
            )
        ]

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        figure = new_figure(*_SIZE)
        axes = figure.subplots(2, 1, sharex=True)
        sizes = sorted({int(size) for of in self.dependences.values() for size in of.sizes})
        colours = choose_colours(self.dependences)
        for name, of in self.dependences.items():
            for panel, values in zip(axes, (of.bimodalities, of.correlations), strict=True):
                # More than half of the members leave no second subset to agree with.
                defined = ~np.isnan(values).all(axis=1)
                shown, places = values[defined], of.sizes[defined]
                # Nothing is, where all examples have one score.
                low, middle, high = (
                    np.nanquantile(shown, [0, 0.5, 1], axis=1) if len(shown) else np.empty((3, 0))
                )
                panel.fill_between(places, low, high, color=colours[name], alpha=0.25, linewidth=0)
                panel.plot(places, middle, "o-", color=colours[name], label=name)
        axes[0].set_ylim(-_MARGIN, None)
        axes[0].set_ylabel("bimodality of consistency\n(0: two values only)")
        axes[0].legend(loc="best")
        axes[1].set_ylim(None, 1 + _MARGIN)
        axes[1].set_ylabel("correlation of\ntwo subsets")
        axes[1].set_xscale("log")
        axes[1].set_xticks(sizes)
        axes[1].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes[1].xaxis.set_minor_locator(NullLocator())
        axes[1].set_xlabel("members in the subset (median and range of subsets)")
        figure.suptitle(self.title)
        return figure, axes

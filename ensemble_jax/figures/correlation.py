"""Two measures of every example against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ensemble_jax.analysis import (
    AccessibilityCorrelation,
    correlate_accessibility,
    split_half_correlations,
)
from ensemble_jax.figures.display import NewFigure, ResultDisplay

_COLOUR = "#0072B2"
_PANEL_SIZE = 2.5
# From so many examples on dots hide each other, and their density is drawn instead.
_MOST_DOTS = 5000
_MARGIN = 0.03
# Of the names of two collections in the title of a panel.
_MOST_LETTERS = 24


class AccessibilityPair(NamedTuple):
    """Two collections on the same examples.

    Attributes:
        names: of the two collections.
        scores: `[M]` each, their accessibility scores.
        correlation: of these scores.
        ceilings: of each collection the mean correlation of its halves; NaN for one member.
    """

    names: tuple[str, str]
    scores: tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]]
    correlation: AccessibilityCorrelation
    ceilings: tuple[float, float]


@dataclass(eq=False)
class AccessibilityDisplay(ResultDisplay):
    """Figures 6c-e, 24 and 25 of Hacohen & Weinshall (2019): accessibility in two collections.

    A panel for each pair, with r, its bootstrap interval, and the mean r of halves of each
    collection, above which no other collection can be expected.

    Attributes:
        pairs: at least one.
        title: the set of examples, for example 'small_mammals, test'.
    """

    pairs: list[AccessibilityPair]
    title: str = ""

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ValueError("pairs must hold at least one, got none")

    @classmethod
    def from_members(
        cls, members: Mapping[str, Shaped[Any, "N M"]], seed: int, title: str = ""
    ) -> Self:
        """The display of all pairs of collections.

        Args:
            members: by name of the collection, `[N, M]` of the same examples, from
                `member_accessibility`; at least two collections.
            seed: of the bootstrap and the halves.
            title: the set of examples.

        Raises:
            ValueError: fewer than two collections, or of different examples.
        """
        names = list(members)
        pairs = [
            AccessibilityPair(
                (one, other),
                (np.mean(members[one], axis=0), np.mean(members[other], axis=0)),
                correlate_accessibility(members[one], members[other], seed),
                (_mean_of_halves(members[one], seed), _mean_of_halves(members[other], seed)),
            )
            for position, one in enumerate(names)
            for other in names[position + 1 :]
        ]
        if not pairs:
            raise ValueError(f"members must be of at least two collections, got {names}")
        return cls(pairs, title)

    def table(self) -> list[dict[str, Any]]:
        """A row for each pair and example, by position."""
        return [
            {
                "first": pair.names[0],
                "second": pair.names[1],
                "example": example,
                "first_accessibility": first,
                "second_accessibility": second,
            }
            for pair in self.pairs
            for example, (first, second) in enumerate(
                zip(*map(_as_floats, pair.scores), strict=True)
            )
        ]

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        columns = len(self.pairs)
        figure = new_figure(0.4 + _PANEL_SIZE * columns, _PANEL_SIZE + 1.0)
        axes = figure.subplots(1, columns, sharex=True, sharey=True, squeeze=False)
        for panel, pair in zip(axes[0], self.pairs, strict=True):
            scatter_examples(panel, *pair.scores)
            panel.set_xlim(-_MARGIN, 1 + _MARGIN)
            panel.set_ylim(-_MARGIN, 1 + _MARGIN)
            panel.set_aspect("equal")
            panel.axline((0, 0), slope=1, color="black", linewidth=0.6, linestyle=":")
            panel.set_xlabel(f"accessibility, {pair.names[0]}")
            panel.set_ylabel(f"accessibility, {pair.names[1]}")
            panel.set_title(_describe(pair))
        figure.suptitle(self.title)
        return figure, axes


def scatter_examples(
    panel: Axes, horizontal: Shaped[Any, " M"], vertical: Shaped[Any, " M"]
) -> None:
    """Draws a dot for each example, or, of very many, how densely they lie."""
    if len(horizontal) > _MOST_DOTS:
        # Counts from 1 on, on a logarithmic scale, so that single examples remain visible.
        panel.hexbin(
            horizontal, vertical, gridsize=50, bins="log", mincnt=1, cmap="Blues", linewidths=0.1
        )
        return
    panel.scatter(
        horizontal, vertical, s=5, color=_COLOUR, alpha=0.35, linewidths=0, rasterized=True
    )


def _describe(pair: AccessibilityPair) -> str:
    correlation = pair.correlation
    if np.isnan(correlation.pearson):
        return "r undefined"
    lines = [f"r = {correlation.pearson:.2f} ({correlation.low:.2f} to {correlation.high:.2f})"]
    halves = [
        f"{name} {ceiling:.2f}"
        for name, ceiling in zip(pair.names, pair.ceilings, strict=True)
        if not np.isnan(ceiling)
    ]
    if halves:
        between = ", " if len("".join(halves)) <= _MOST_LETTERS else ",\n"
        lines.append(f"halves: {between.join(halves)}")
    return "\n".join(lines)


def _mean_of_halves(members: Shaped[Any, "N M"], seed: int) -> float:
    if len(members) < 2:
        return float("nan")
    return float(split_half_correlations(members, seed).mean())


def _as_floats(scores):
    return np.asarray(scores, np.float64).tolist()

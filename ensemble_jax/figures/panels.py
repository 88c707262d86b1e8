"""Histograms of scores between 0 and 1: what all figures that show them have in common."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ensemble_jax.analysis import bimodality
from ensemble_jax.figures.display import NewFigure

_PANEL_WIDTH = 1.25
_PANEL_HEIGHT = 1.3
# Inches for the labels left of, and the titles above and below, the panels.
_MARGIN_WIDTH = 0.8
_MARGIN_HEIGHT = 0.9
# The share of a panel's height that is kept free for its numbers.
_HEADROOM = 0.28
# Room beside the bars at 0 and 1, in units of the score.
_SIDE_MARGIN = 0.03


def make_panels(
    new_figure: NewFigure,
    num_rows: int,
    num_columns: int,
    extra: tuple[float, float] = (0, 0),
    least_width: float = 0,
) -> tuple[FigureBase, np.ndarray]:
    """A figure of equal panels that share both axes, with so many inches more for titles."""
    figure = new_figure(
        max(_MARGIN_WIDTH + _PANEL_WIDTH * num_columns + extra[0], least_width),
        _MARGIN_HEIGHT + _PANEL_HEIGHT * num_rows + extra[1],
    )
    return figure, figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)


def set_score_axis(panel: Axes, num_members: int) -> None:
    """The horizontal axis, from 0 to 1 with room for the half bins beyond."""
    side = 0.5 / num_members + _SIDE_MARGIN
    panel.set_xlim(-side, 1 + side)
    panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def set_square_root_axis(panel: Axes) -> None:
    """The vertical axis from 0 to 1, growing with the square root, and room for numbers above.

    The peaks at 0 and 1 hold most examples and would flatten the rest on a linear one.
    """
    panel.set_yscale("function", functions=(np.sqrt, np.square))
    panel.set_ylim(0, 1 / (1 - _HEADROOM) ** 2)
    panel.set_yticks([0, 0.1, 0.5, 1], ["0", "0.1", "0.5", "1"])


def write_above(panel: Axes, text: str) -> None:
    """Writes into the room above the histogram."""
    panel.text(
        0.5,
        1.0,
        text,
        transform=panel.transAxes,
        horizontalalignment="center",
        verticalalignment="top",
        fontsize=8,
    )


def describe_moments(scores: Float[np.ndarray, " M"]) -> str:
    """Mean and bimodality, in two lines."""
    value = bimodality(scores)
    # Where all is learned it is large, and its decimals are those of a few examples.
    written = "n/a" if np.isnan(value) else f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return f"mean {scores.mean():.2f}\nbimodality {written}"


def label_square_root_panels(figure: FigureBase, quantity: str, title: str) -> None:
    """What the axes are and what the figure is of."""
    figure.supxlabel(quantity, fontsize=9)
    figure.supylabel(
        "fraction of examples\n(square-root scale)", fontsize=9, multialignment="center"
    )
    figure.suptitle(title)

"""What every figure has in common: it is drawn once and saved whole."""

from __future__ import annotations

import csv
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path
from typing import Any, BinaryIO, Self

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

# From the colour-blind safe palette of Okabe & Ito (2008). Usual names keep their colour in every
# figure, others take what is left.
_NAMED_COLOURS = {"train": "#0072B2", "test": "#D55E00", "independent": "#009E73"}
_OTHER_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000")

_STYLE: dict[Any, Any] = {
    "figure.dpi": 200,
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.titlesize": 10,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.usetex": False,
    # Names are shown as they are: `a_b $x$` is no formula.
    "text.parse_math": False,
    # Names in an SVG are random without it.
    "svg.hashsalt": "ensemble_jax",
    "svg.fonttype": "path",
}
# No date, so that equal figures are equal files.
_METADATA = {"png": {}, "svg": {"Date": None}}


def choose_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each set of examples; usual sets have the same one in every figure.

    What a name has before a comma says whose examples they are, and does not count.

    >>> choose_colours(["test", "noise", "st-VGG, test"])
    {'test': '#D55E00', 'noise': '#CC79A7', 'st-VGG, test': '#D55E00'}
    """
    others = cycle(_OTHER_COLOURS)
    return {
        name: _NAMED_COLOURS.get(name.rpartition(",")[2].strip()) or next(others) for name in names
    }


NewFigure = Callable[[float, float], FigureBase]
"""Gives the figure to draw in: one of that width and height in inches, or a part of another."""


class Display(ABC):
    """A figure of analysis results: constructed with the data, drawn by `plot`.

    As in scikit-learn, `plot` returns the display, with the Matplotlib objects as `figure_` and
    `axes_` (an array of panels, rows first). Without `ax` they belong to no window and need not be
    closed.
    """

    figure_: Figure
    axes_: np.ndarray

    def plot(self, ax: Axes | None = None) -> Self:
        """Draws the figure anew and returns the display.

        Args:
            ax: panels of `plt.subplots`, whose place is taken by those of the display; best in a
                figure with `layout="constrained"`. A figure of its own by default.

        Raises:
            ValueError: `ax` has no place in a grid.
        """
        with matplotlib.rc_context(_STYLE):
            if ax is not None:
                part, self.axes_ = self._draw(lambda *_: _take_place(ax))
                self.figure_ = part.figure
                return self
            self.figure_, self.axes_ = self._draw(
                lambda width, height: Figure(figsize=(width, height), layout="constrained")
            )
            # Constrained layout moves the panels a little at each drawing; the first is kept, so
            # that both files show the same and saving again writes the same bytes.
            self.figure_.draw_without_rendering()
            self.figure_.set_layout_engine("none")
        return self

    def save(self, path: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Writes `path`.png and `path`.svg, and returns their paths.

        Draws first if nothing has. Missing folders are made. Each file appears whole or not at all;
        the same data give the same bytes.

        Raises:
            ValueError: the path already ends in .png or .svg.
        """
        target = Path(path)
        if target.suffix in {".png", ".svg"}:
            raise ValueError(f"path must be without .png or .svg, since both are written: {target}")
        if not hasattr(self, "figure_"):
            self.plot()
        target.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(_STYLE):
            # Names may hold dots (`lr_0.05`), so the suffix is added and not replaced.
            return (
                self._save_one(target.with_name(f"{target.name}.png")),
                self._save_one(target.with_name(f"{target.name}.svg")),
            )

    @abstractmethod
    def _draw(self, new_figure: NewFigure) -> tuple[Any, np.ndarray]:
        """Draws under the house style in a new figure, and returns it with its panels."""

    def _save_one(self, path: Path) -> Path:
        """Writes one file through a temporary one beside it."""
        file_format = path.suffix[1:]
        return _write_whole(
            path,
            lambda file: self.figure_.savefig(
                file, format=file_format, dpi="figure", metadata=_METADATA[file_format]
            ),
        )


class ResultDisplay(Display):
    """A display that also gives the numbers behind the figure."""

    @abstractmethod
    def table(self) -> list[dict[str, Any]]:
        """The numbers, a row for each that is drawn, with the same columns in every row."""

    def save_table(self, path: str | os.PathLike[str]) -> Path:
        """Writes `path`.csv, numbers to six digits, and returns its path.

        Missing folders are made. The file appears whole or not at all.

        Raises:
            ValueError: the path already ends in .csv.
        """
        target = Path(path)
        if target.suffix == ".csv":
            raise ValueError(f"path must be without .csv: {target}")
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = self.table()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows(
            [f"{value:.6g}" if isinstance(value, float) else value for value in row.values()]
            for row in rows
        )
        return _write_whole(
            target.with_name(f"{target.name}.csv"),
            lambda file: file.write(text.getvalue().encode()),
        )


def _take_place(ax: Axes) -> FigureBase:
    """A part of the figure where the panel was."""
    place, figure = ax.get_subplotspec(), ax.get_figure()
    if place is None or figure is None:
        raise ValueError("ax must have a place in a grid, as those of plt.subplots have")
    ax.remove()
    return figure.add_subfigure(place)


def _write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> Path:
    """Writes a file through a new one beside it, never through a link that lies there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            write(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path

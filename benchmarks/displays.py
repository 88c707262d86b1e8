"""The figures of the benchmarks."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmarks.summary import Spread
from ensemble_jax.figures.display import Display, NewFigure, choose_colours

_COLOUR = "#0072B2"
_PROJECT_COLOUR = "#D55E00"
_ROW_HEIGHT, _WIDTH, _MARGIN_HEIGHT = 0.22, 6.2, 0.75
_ROOM = 2.0
_HEADROOM = 1.06
# Of a title, in characters.
_LONGEST_LINE = 56


@dataclass(eq=False)
class SpeedDisplay(Display):
    """The speed of every contender relative to the project, on a logarithmic axis.

    Bars start at 1, the project's own speed: to the left is slower. Whiskers span the rounds.

    Attributes:
        relative_speeds: by title of the workload and of the contender; None where a contender was
            not measured.
    """

    relative_speeds: Mapping[str, Mapping[str, Spread | None]]

    def __post_init__(self) -> None:
        if not self.relative_speeds or not all(self.relative_speeds.values()):
            raise ValueError("relative_speeds must have workloads, each with a contender")

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        sizes = [len(speeds) for speeds in self.relative_speeds.values()]
        height = _ROW_HEIGHT * sum(sizes) + _MARGIN_HEIGHT * len(sizes)
        figure = new_figure(_WIDTH, height)
        axes = figure.subplots(
            len(sizes), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": sizes}
        )[:, 0]
        for panel, (title, speeds) in zip(axes, self.relative_speeds.items(), strict=True):
            _draw_bars(panel, speeds)
            panel.set_title(textwrap.fill(title, _LONGEST_LINE))
        axes[0].set_xscale("log")
        measured = [s for speeds in self.relative_speeds.values() for s in speeds.values() if s]
        least = min((speed.least for speed in measured), default=1)
        largest = max((speed.largest for speed in measured), default=1)
        # Room for the numbers beside the bars.
        axes[0].set_xlim(least / _ROOM, max(largest, 1) * _ROOM)
        axes[-1].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes[-1].xaxis.set_minor_formatter(NullFormatter())
        axes[-1].set_xlabel("images/s relative to ensemble_jax\n(median and range of the rounds)")
        return figure, axes


def _draw_bars(panel, speeds):
    """One bar for each contender, from 1 to its speed."""
    for row, speed in enumerate(speeds.values()):
        if speed is None:
            panel.text(1, row, "not measured ", ha="right", va="center", fontsize=7)
            continue
        panel.barh(row, speed.median - 1, left=1, height=0.7, color=_COLOUR)
        below, above = speed.median - speed.least, speed.largest - speed.median
        panel.errorbar(speed.median, row, xerr=[[below], [above]], color="black", lw=0.8, capsize=2)
        slower = speed.median < 1
        end = speed.least if slower else speed.largest
        panel.annotate(
            f"{speed.median:.2g}",
            (end, row),
            xytext=(-3 if slower else 3, 0),
            textcoords="offset points",
            ha="right" if slower else "left",
            va="center",
            fontsize=7,
        )
    panel.axvline(1, color=_PROJECT_COLOUR)
    panel.set_yticks(range(len(speeds)), list(speeds))
    panel.invert_yaxis()


@dataclass(eq=False)
class SweepDisplay(Display):
    """Speed, and below it memory, against the number of members; a column for each workload.

    Attributes:
        speeds: images per second by title of the workload, of the contender, and N.
        memory: bytes, likewise.
    """

    speeds: Mapping[str, Mapping[str, Mapping[int, Spread]]]
    memory: Mapping[str, Mapping[str, Mapping[int, float]]]

    def __post_init__(self) -> None:
        if not self.speeds or list(self.speeds) != list(self.memory):
            raise ValueError(
                f"speeds and memory must be of the same workloads, at least one, "
                f"got {list(self.speeds)} and {list(self.memory)}"
            )

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        columns = len(self.speeds)
        figure = new_figure(0.8 + 3.4 * columns, 4.8)
        axes = figure.subplots(2, columns, sharex="col", squeeze=False)
        for column, (title, lines) in zip(axes.T, self.speeds.items(), strict=True):
            colours = choose_colours(lines)
            for contender, spreads in lines.items():
                members = sorted(spreads)
                medians, least, largest = zip(*(spreads[n] for n in members), strict=True)
                colour = colours[contender]
                column[0].plot(members, medians, "o-", color=colour, label=contender)
                column[0].fill_between(
                    members, least, largest, color=colour, alpha=0.25, linewidth=0
                )
                sizes = [self.memory[title][contender][n] / 2**20 for n in members]
                column[1].plot(members, sizes, "o-", color=colour)
            column[0].set_title(title)
            for panel in column:
                panel.set_ylim(0, _HEADROOM * panel.dataLim.y1)
            column[1].set_xscale("log", base=2)
            column[1].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            column[1].xaxis.set_minor_locator(NullLocator())
            column[1].set_xlabel("N")
        axes[0, 0].set_ylabel("images/s")
        axes[1, 0].set_ylabel("peak memory (MiB)")
        # Below: lines may run anywhere in the panels.
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=1 if columns == 1 else 2)
        return figure, axes

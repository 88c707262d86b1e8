"""How accuracy and bimodality move while members learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from ensemble_jax.analysis import bimodality, consistency_score, member_accuracy
from ensemble_jax.figures.display import NewFigure, ResultDisplay, choose_colours

_SIZE = (5.0, 4.6)
# Room for the markers of values at the ends of an axis.
_MARGIN = 0.03


@dataclass(eq=False)
class DynamicsDisplay(ResultDisplay):
    """Accuracy of the members, and below it the bimodality of their consistency, by extent.

    The band spans the least and the most accurate member, the line is their mean. Where bimodality
    is undefined (NaN: all examples have one score) its line has a gap.

    Attributes:
        accuracies: by name of the set, `[E, N]` in [0, 1].
        bimodalities: by name of the set, `[E]`; the same names.
        extents: `[E]`, rising.
        title: what was trained on what, for example 'st-VGG, small_mammals'; N is added to it.
    """

    accuracies: Mapping[str, Float[np.ndarray, "E N"]]
    bimodalities: Mapping[str, Float[np.ndarray, " E"]]
    extents: Sequence[int] | Int[np.ndarray, " E"]
    title: str = ""

    def __post_init__(self) -> None:
        if not self.accuracies or list(self.accuracies) != list(self.bimodalities):
            raise ValueError(
                f"accuracies and bimodalities must be of the same sets, at least one, "
                f"got {list(self.accuracies)} and {list(self.bimodalities)}"
            )
        num_extents = len(self.extents)
        for name, accuracies in self.accuracies.items():
            shapes = np.shape(accuracies), np.shape(self.bimodalities[name])
            if len(shapes[0]) != 2 or (shapes[0][:1], shapes[1]) != ((num_extents,),) * 2:
                raise ValueError(
                    f"accuracies and bimodalities of {name} must be [E, N] and [E] with "
                    f"E = {num_extents} extents, got the shapes {shapes[0]} and {shapes[1]}"
                )

    @classmethod
    def from_correct(
        cls,
        correct: Mapping[str, Shaped[Any, "E N M"]],
        extents: Sequence[int] | Int[np.ndarray, " E"],
        title: str = "",
    ) -> Self:
        """The display of correctness bitmaps, by name of the set `[E, N, M]`.

        Raises:
            ValueError: a bitmap does not have E extents, or none is given.
        """
        return cls(
            {name: member_accuracy(bitmap) for name, bitmap in correct.items()},
            {name: bimodality(consistency_score(bitmap)) for name, bitmap in correct.items()},
            extents,
            title,
        )

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        figure = new_figure(*_SIZE)
        axes = figure.subplots(2, 1, sharex=True)
        colours = choose_colours(self.accuracies)
        for name, accuracies in self.accuracies.items():
            members = np.asarray(accuracies)
            colour = colours[name]
            axes[0].fill_between(
                self.extents,
                members.min(axis=1),
                members.max(axis=1),
                color=colour,
                alpha=0.25,
                linewidth=0,
            )
            axes[0].plot(self.extents, members.mean(axis=1), "o-", color=colour, label=name)
            # Markers keep a value visible that has gaps on both sides.
            axes[1].plot(self.extents, self.bimodalities[name], "o-", color=colour, label=name)
        axes[0].set_ylim(-_MARGIN, 1 + _MARGIN)
        axes[0].set_ylabel("accuracy\n(mean, range of members)")
        axes[0].legend(loc="best")
        # Where all is bi-modal the axis must not zoom into rounding.
        axes[1].set_ylim(-_MARGIN, max(1 + _MARGIN, axes[1].get_ylim()[1]))
        axes[1].xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes[1].set_ylabel("bimodality of consistency\n(0: two values only)")
        axes[1].set_xlabel("epoch")
        num_members = {np.shape(accuracies)[1] for accuracies in self.accuracies.values()}
        size = "N = " + ", ".join(map(str, sorted(num_members)))
        figure.suptitle(f"{self.title}, {size}" if self.title else size)
        return figure, axes

    def table(self) -> list[dict[str, Any]]:
        """A row for each set and extent."""
        rows = []
        for name, accuracies in self.accuracies.items():
            members = np.asarray(accuracies)
            for position, extent in enumerate(self.extents):
                of_extent = members[position]
                rows.append(
                    {
                        "set": name,
                        "extent": extent,
                        "accuracy_mean": of_extent.mean(),
                        "accuracy_min": of_extent.min(),
                        "accuracy_max": of_extent.max(),
                        "bimodality": self.bimodalities[name][position],
                    }
                )
        return rows

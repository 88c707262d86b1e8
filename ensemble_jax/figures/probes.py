"""How far members agree on examples of other kinds than they were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.figure import FigureBase

from ensemble_jax.analysis import (
    consensus_score,
    random_consensus_distribution,
    score_histogram,
    shuffle_members,
)
from ensemble_jax.figures.display import NewFigure, ResultDisplay
from ensemble_jax.figures.panels import (
    label_square_root_panels,
    make_panels,
    set_score_axis,
    set_square_root_axis,
    write_above,
)

_COLOUR = "#D55E00"
_REFERENCE_COLOUR = "#009E73"


@dataclass(eq=False)
class ProbeDisplay(ResultDisplay):
    """Figure 5 of Hacohen & Weinshall (2019): consensus on probes, random classification first.

    A panel for each probe. The outline is what independent members give that use the classes as
    often as these do (`shuffle_members`): the further the histogram is to its right, the more the
    members agree beyond that.

    Attributes:
        scores: by name of the probe, `[M]` consensus scores; M may differ.
        references: by the same names, `[M]`, of the independent members.
        num_members: N.
        num_classes: K.
        title: what was trained on what, and the extent.
    """

    scores: Mapping[str, Float[np.ndarray, " M"]]
    references: Mapping[str, Float[np.ndarray, " M"]]
    num_members: int
    num_classes: int
    title: str = ""

    def __post_init__(self) -> None:
        if not self.scores or list(self.scores) != list(self.references):
            raise ValueError(
                f"scores and references must be of the same probes, at least one, "
                f"got {list(self.scores)} and {list(self.references)}"
            )

    @classmethod
    def from_predictions(
        cls,
        predictions: Mapping[str, Shaped[Any, "N M"]],
        num_classes: int,
        seed: int,
        title: str = "",
    ) -> Self:
        """The display of predicted classes, by name of the probe `[N, M]` in 0..K-1.

        Raises:
            ValueError: probes of different N, none, or classes outside 0..K-1.
        """
        num_members = {name: np.shape(of_probe)[0] for name, of_probe in predictions.items()}
        if len(set(num_members.values())) != 1:
            raise ValueError(f"probes must have the same number of members, got {num_members}")
        return cls(
            {name: consensus_score(of, num_classes) for name, of in predictions.items()},
            {
                name: consensus_score(shuffle_members(of, seed), num_classes)
                for name, of in predictions.items()
            },
            next(iter(num_members.values())),
            num_classes,
            title,
        )

    def table(self) -> list[dict[str, Any]]:
        """A row for each probe: its mean consensus, and that of both references."""
        values = np.arange(1, self.num_members + 1) / self.num_members
        chance = float(random_consensus_distribution(self.num_members, self.num_classes) @ values)
        return [
            {
                "probe": name,
                "examples": len(scores),
                "consensus": float(np.mean(scores)),
                "independent": float(np.mean(self.references[name])),
                "random": chance,
            }
            for name, scores in self.scores.items()
        ]

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        figure, axes = make_panels(new_figure, 1, len(self.scores) + 1, extra=(1.1, 0))
        chances = random_consensus_distribution(self.num_members, self.num_classes)
        values = np.arange(1, self.num_members + 1) / self.num_members
        edges, _ = score_histogram(values, self.num_members)
        # The histogram of each possible score, weighted by its probability.
        fractions = score_histogram(values[:, np.newaxis], self.num_members)[1].T @ chances
        axes[0, 0].stairs(fractions, edges, fill=True, color=_REFERENCE_COLOUR)
        axes[0, 0].set_title("random classes")
        write_above(axes[0, 0], f"mean {chances @ values:.2f}")
        for panel, (name, scores) in zip(axes[0, 1:], self.scores.items(), strict=True):
            reference = self.references[name]
            heights = score_histogram(scores, self.num_members)[1]
            panel.stairs(heights, edges, fill=True, color=_COLOUR, label="members")
            heights = score_histogram(reference, self.num_members)[1]
            panel.stairs(heights, edges, color=_REFERENCE_COLOUR, label="independent")
            panel.set_title(name)
            write_above(panel, f"mean {scores.mean():.2f}\nindependent {reference.mean():.2f}")
        set_score_axis(axes[0, 0], self.num_members)
        set_square_root_axis(axes[0, 0])
        size = f"N = {self.num_members}"
        title = f"{self.title}, {size}" if self.title else size
        label_square_root_panels(figure, "consensus score", title)
        handles, labels = axes[0, 1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
        return figure, axes

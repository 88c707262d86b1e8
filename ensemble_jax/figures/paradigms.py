"""Other classifiers beside networks: which examples they get right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.figure import FigureBase

from ensemble_jax.analysis import (
    Accordance,
    Difficulty,
    accordance,
    accuracy_by_difficulty,
    consistency_score,
    group_by_difficulty,
    member_accuracy,
)
from ensemble_jax.figures.correlation import scatter_examples
from ensemble_jax.figures.display import NewFigure, ResultDisplay

_GROUP_STYLES = {
    Difficulty.EASY: ("#0072B2", "-"),
    Difficulty.INTERMEDIATE: ("#E69F00", "--"),
    Difficulty.HARD: ("#D55E00", ":"),
}
_RIGHT, _WRONG = "#0072B2", "#D55E00"
_BOOSTING_SIZE = (6.4, 3.2)
_BAR_PANEL = (2.9, 3.6)
_MARGIN = 0.03


@dataclass(eq=False)
class BoostingDisplay(ResultDisplay):
    """Figure 30 of Hacohen & Weinshall (2019): boosting beside networks.

    Left the accuracy of the boosted learners by their number, for all examples and for those that
    are easy, intermediate and hard for the networks. Right the difficulty of each example for
    boosting, `1 - mean_k correct`, against that for the networks, `1 - accessibility`, with
    Pearson's r over the examples. The paper's r of 0.83 comes with p <= 1e-10, which some forty
    points would have and not hundreds of examples; so it may be of groups of examples, whose r is
    higher.

    Attributes:
        accuracies: `[k]` by difficulty for the networks; NaN for a group without examples.
        overall: `[k]`, the accuracy on all examples.
        group_sizes: number of examples by difficulty.
        boosting_difficulty: `[M]` in [0, 1].
        network_difficulty: `[M]` in [0, 1].
        title: the set of examples, for example 'small_mammals, test'.
    """

    accuracies: Mapping[Difficulty, Float[np.ndarray, " k"]]
    overall: Float[np.ndarray, " k"]
    group_sizes: Mapping[Difficulty, int]
    boosting_difficulty: Float[np.ndarray, " M"]
    network_difficulty: Float[np.ndarray, " M"]
    title: str = ""

    @classmethod
    def from_correct(
        cls,
        correct: Shaped[Any, "k N M"],
        network_scores: Shaped[Any, " M"],
        network_accessibility: Shaped[Any, " M"],
        title: str = "",
    ) -> Self:
        """The display of boosted classifiers and networks on the same examples.

        Args:
            correct: `[k, N, M]`, whether 1..k boosted learners are right; the mean over N is shown.
            network_scores: `[M]`, consistency scores that group the examples, usually at the last
                extent.
            network_accessibility: `[M]`.
            title: the set of examples.

        Raises:
            ValueError: different examples, or values that are no correctness or scores.
        """
        groups = group_by_difficulty(network_scores)
        accuracies = accuracy_by_difficulty(correct, groups)
        difficulty = 1 - consistency_score(correct).mean(axis=0)
        if np.shape(network_accessibility) != difficulty.shape:
            raise ValueError(
                f"network_accessibility must be of the {len(difficulty)} examples that were "
                f"boosted, got the shape {np.shape(network_accessibility)}"
            )
        return cls(
            {group: accuracy.mean(axis=-1) for group, accuracy in accuracies.items()},
            member_accuracy(correct).mean(axis=-1),
            {group: int(np.sum(members)) for group, members in groups.items()},
            difficulty,
            1 - np.asarray(network_accessibility),
            title,
        )

    @property
    def pearson(self) -> float:
        """Pearson's r of the two difficulties; NaN where one is the same for all examples."""
        if np.ptp(self.boosting_difficulty) == 0 or np.ptp(self.network_difficulty) == 0:
            return float("nan")
        return float(np.corrcoef(self.boosting_difficulty, self.network_difficulty)[0, 1])

    def table(self) -> list[dict[str, Any]]:
        """A row for each number of learners: the left panel."""
        return [
            {"learners": number + 1, "all": float(overall)}
            | {group.value: float(of[number]) for group, of in self.accuracies.items()}
            for number, overall in enumerate(self.overall)
        ]

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        figure = new_figure(*_BOOSTING_SIZE)
        axes = figure.subplots(1, 2, width_ratios=[1.2, 1])
        learners = np.arange(1, len(self.overall) + 1)
        for group, accuracy in self.accuracies.items():
            colour, line = _GROUP_STYLES[group]
            label = f"{group.value} ({self.group_sizes[group]})"
            axes[0].plot(learners, accuracy, color=colour, linestyle=line, label=label)
        label = f"all ({sum(self.group_sizes.values())})"
        axes[0].plot(learners, self.overall, color="black", linewidth=0.8, label=label)
        axes[0].set_ylim(0, 1)
        axes[0].set_xlabel("boosted learners")
        axes[0].set_ylabel("accuracy of boosting")
        scatter_examples(axes[1], self.boosting_difficulty, self.network_difficulty)
        axes[1].set_xlim(-_MARGIN, 1 + _MARGIN)
        axes[1].set_ylim(-_MARGIN, 1 + _MARGIN)
        axes[1].set_xlabel("difficulty for boosting\n(share of stages that are wrong)")
        axes[1].set_ylabel("difficulty for networks\n(1 - accessibility)")
        written = "undefined" if np.isnan(self.pearson) else f"= {self.pearson:.2f}"
        axes[1].set_title(f"r {written}")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=4,
            title="for the networks (number of examples)",
        )
        figure.suptitle(self.title)
        return figure, axes


@dataclass(eq=False)
class ClassifierDisplay(ResultDisplay):
    """Figure 31 of Hacohen & Weinshall (2019): what classifiers get right, by what networks do.

    A panel for each extent of the networks. The line is the accuracy of the classifier, at which
    both bars would end if it did not matter what the networks know.

    Attributes:
        accordances: by extent and by name of the classifier, the same names at every extent.
        accuracies: by name of the classifier.
        title: the set of examples, for example 'small_mammals, test'.
    """

    accordances: Mapping[int, Mapping[str, Accordance]]
    accuracies: Mapping[str, float]
    title: str = ""

    def __post_init__(self) -> None:
        if not self.accordances or not self.accuracies:
            raise ValueError("accordances must be of at least one extent and classifier")
        for extent, classifiers in self.accordances.items():
            if list(classifiers) != list(self.accuracies):
                raise ValueError(
                    f"accordances must be of the classifiers {list(self.accuracies)}, "
                    f"got {list(classifiers)} at epoch {extent}"
                )

    @classmethod
    def from_correct(
        cls,
        correct: Mapping[str, Shaped[Any, "N M"]],
        network_scores: Mapping[int, Shaped[Any, " M"]],
        title: str = "",
    ) -> Self:
        """The display of classifiers and networks on the same examples.

        Args:
            correct: `[N, M]` by name of the classifier; the mean over N is shown.
            network_scores: `[M]`, consistency scores by extent.
            title: the set of examples.

        Raises:
            ValueError: different examples, or values that are no correctness or scores.
        """
        return cls(
            {
                extent: {
                    name: Accordance(
                        *np.mean(
                            [accordance(member, scores) for member in members], axis=0
                        ).tolist()
                    )
                    for name, members in correct.items()
                }
                for extent, scores in network_scores.items()
            },
            {name: float(member_accuracy(members).mean()) for name, members in correct.items()},
            title,
        )

    def table(self) -> list[dict[str, Any]]:
        """A row for each extent and classifier."""
        return [
            {
                "extent": extent,
                "classifier": name,
                "accuracy": self.accuracies[name],
                "where_networks_right": of.where_right,
                "where_networks_wrong": of.where_wrong,
            }
            for extent, classifiers in self.accordances.items()
            for name, of in classifiers.items()
        ]

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        columns = len(self.accordances)
        figure = new_figure(_BAR_PANEL[0] * columns + 0.6, _BAR_PANEL[1])
        axes = figure.subplots(1, columns, sharey=True, squeeze=False)
        places = np.arange(len(self.accuracies))
        for panel, (extent, classifiers) in zip(axes[0], self.accordances.items(), strict=True):
            right, wrong = zip(*classifiers.values(), strict=True)
            panel.bar(places - 0.2, right, 0.4, color=_RIGHT, label="networks right")
            panel.bar(places + 0.2, wrong, 0.4, color=_WRONG, label="networks wrong")
            panel.hlines(
                list(self.accuracies.values()),
                places - 0.45,
                places + 0.45,
                color="black",
                linewidth=1,
                label="all examples",
            )
            panel.set_xticks(
                places, list(self.accuracies), rotation=45, ha="right", rotation_mode="anchor"
            )
            panel.set_title(f"networks at epoch {extent}")
        axes[0, 0].set_ylim(0, 1)
        axes[0, 0].set_ylabel("fraction right\nby the classifier")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(self.title)
        return figure, axes

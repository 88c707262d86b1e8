"""What the figures are drawn from, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ensemble_jax.reproduction.recipes import Scale
from ensemble_jax.reproduction.trainings import MODEL_NAMES, Training
from ensemble_jax.runs import Run

if TYPE_CHECKING:
    from ensemble_jax.figures import ResultDisplay
    from ensemble_jax.report.sweep_report import Sweep

# Of a title in one line; a figure of four panels has room for so many.
_LONGEST_LINE = 60


class Collection(NamedTuple):
    """A finished run of a training."""

    training: Training
    run: Run

    @property
    def model_name(self) -> str:
        """The model as the paper writes it."""
        return MODEL_NAMES[self.training.config.model.value]

    @property
    def title(self) -> str:
        """What is trained on what; what it stands for, in a line of its own where that is long."""
        training = self.training
        if len(training.title) <= _LONGEST_LINE:
            return training.title
        return "\n".join(filter(None, (training.subject, training.stand_in_note)))


@dataclass(frozen=True)
class Material:
    """All that a figure is drawn from.

    Attributes:
        scale: at which it was trained.
        collections: by the name of the recipe, in the order in which the figure names them.
        sweeps: by the option that varies.
        data_dir: the folder of data sets, for figures that need the examples themselves.
    """

    scale: Scale
    collections: Mapping[str, Collection]
    sweeps: Mapping[str, Sweep] = field(default_factory=dict)
    data_dir: str = ""

    @property
    def first(self) -> Collection:
        """The only collection of most figures."""
        return next(iter(self.collections.values()))


@dataclass(frozen=True)
class Drawing:
    """A figure of the paper, drawn anew.

    Attributes:
        displays: by the name of the file.
        numbers: what was measured; NaN where it is not defined.
        remarks: what is to be known of them, in sentences.
    """

    displays: Mapping[str, ResultDisplay]
    numbers: Mapping[str, float]
    remarks: Sequence[str] = ()

    def __or__(self, other: Drawing) -> Drawing:
        """Both, in one figure."""
        return Drawing(
            {**self.displays, **other.displays},
            {**self.numbers, **other.numbers},
            (*self.remarks, *other.remarks),
        )


def extents_to_show(available: Sequence[int], published: Sequence[int]) -> list[int]:
    """The extents of a run that are nearest to the published ones, or to the same shares of it.

    Where a run ends before the last published one, it is shown at the same shares of its own
    training.

    >>> extents_to_show([0, 1, 2, 5, 10, 20, 30], [0, 1, 5, 10, 20])
    [0, 1, 5, 10, 20]
    >>> extents_to_show([0, 1, 2, 5, 10, 20, 30], [0, 10, 30, 140])
    [0, 2, 5, 30]
    """
    share = min(1.0, available[-1] / published[-1])
    return nearest_extents(available, [share * extent for extent in published])


def nearest_extents(available: Sequence[int], wanted: Sequence[float]) -> list[int]:
    """The available extents that are nearest to the wanted ones, each once.

    >>> nearest_extents([0, 1, 2, 5, 10, 20, 30], [1, 2, 30, 140])
    [1, 2, 30]
    """
    given = np.asarray(available)
    return sorted({int(given[np.abs(given - extent).argmin()]) for extent in wanted})

"""What a user sees while a collection trains."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from tqdm import tqdm

from ensemble_jax.analysis import bimodality, consistency_score
from ensemble_jax.extent import ExtentRecord
from ensemble_jax.machine import NO_BAR
from ensemble_jax.runs import unpack_correct
from ensemble_jax.training import NOT_DIVERGED, Observer


class TrainingProgress:
    """A bar over epochs with ETA; accuracy, its spread and bimodality are as of the last extent.

    Args:
        num_epochs: of the whole training, all collections of it together.
        completed: how many of them were completed before.
        member_ids: by which members that diverge are named.
        split_sizes: the number of examples M of each split.
        observer: is told of the same; None for nobody.
    """

    def __init__(
        self,
        num_epochs: int,
        completed: int,
        member_ids: Sequence[int],
        split_sizes: Mapping[str, int],
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer
        self._member_ids = np.array(member_ids)
        self._split_sizes = split_sizes
        self._diverged = np.zeros(len(member_ids), bool)
        self._epochs_before = 0
        self._bar = tqdm(
            total=num_epochs,
            initial=completed,
            unit="epoch",
            desc="training",
            dynamic_ncols=True,
            # Which tqdm itself reads when it is imported, and never again.
            disable=os.environ.get(NO_BAR, "0") not in ("", "0"),
        )

    def begin_collection(self) -> None:
        """What follows is another collection, whose epochs begin anew."""
        self._epochs_before = self._bar.n
        self._diverged[:] = False

    def epoch_done(self, epoch: int, losses: np.ndarray) -> None:
        """Move the bar."""
        self._bar.update(self._epochs_before + epoch - self._bar.n)
        if self._observer is not None:
            self._observer.epoch_done(epoch, losses)

    def extent_written(self, record: ExtentRecord) -> None:
        """Show accuracy and bimodality, and name the members that have diverged since."""
        diverged_at = record.diverged_at
        diverged = diverged_at != NOT_DIVERGED
        for member in np.flatnonzero(diverged & ~self._diverged):
            self._bar.write(
                f"member {self._member_ids[member]} diverged in epoch {diverged_at[member]}: "
                f"frozen and left out of the scores"
            )
        self._diverged = diverged
        if not diverged.all():
            self._bar.set_postfix_str(self._summary(record.splits, ~diverged))
        if self._observer is not None:
            self._observer.extent_written(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _summary(self, splits, healthy):
        parts = []
        for split, size in self._split_sizes.items():
            accuracy = splits[split].accuracy[healthy]
            correct = unpack_correct(splits[split].bits[healthy], size)
            score = bimodality(consistency_score(correct))
            parts.append(
                f"{split} {accuracy.mean():.3f}±{accuracy.std():.3f} bimodality {score:.2f}"
            )
        return ", ".join(parts)

"""What a user sees while a collection trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from ensemble_jax.analysis import bimodality, consistency_score
from ensemble_jax.runs import unpack_correct
from ensemble_jax.training import NOT_DIVERGED, Measurement


class TrainingProgress:
    """A bar over epochs with ETA; accuracy, its spread and bimodality are as of the last extent.

    Args:
        first_epoch: epochs completed before.
        last_epoch: at which the training ends.
        member_ids: by which members that diverge are named.
        split_sizes: the number of examples M of each split.
    """

    def __init__(
        self,
        first_epoch: int,
        last_epoch: int,
        member_ids: Sequence[int],
        split_sizes: dict[str, int],
    ) -> None:
        self._member_ids = np.array(member_ids)
        self._split_sizes = split_sizes
        self._diverged = np.zeros(len(member_ids), bool)
        self._bar = tqdm(
            total=last_epoch, initial=first_epoch, unit="epoch", desc="training", dynamic_ncols=True
        )

    def epoch_done(self, epoch: int, losses: np.ndarray) -> None:
        """Move the bar."""
        self._bar.update(epoch - self._bar.n)

    def extent_written(self, measurement: Measurement) -> None:
        """Show accuracy and bimodality, and name the members that have diverged since."""
        diverged_at = measurement.state.diverged_at
        diverged = diverged_at != NOT_DIVERGED
        for member in np.flatnonzero(diverged & ~self._diverged):
            self._bar.write(
                f"member {self._member_ids[member]} diverged in epoch {diverged_at[member]}: "
                f"frozen and left out of the scores"
            )
        self._diverged = diverged
        if not diverged.all():
            self._bar.set_postfix_str(self._summary(measurement.evaluation, ~diverged))

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def _summary(self, evaluation, healthy):
        parts = []
        for split, size in self._split_sizes.items():
            accuracy = evaluation[split].accuracy[healthy]
            correct = unpack_correct(evaluation[split].bits[healthy], size)
            score = bimodality(consistency_score(correct))
            parts.append(
                f"{split} {accuracy.mean():.3f}±{accuracy.std():.3f} bimodality {score:.2f}"
            )
        return ", ".join(parts)

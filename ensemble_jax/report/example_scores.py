"""The scores of examples that a reader chooses among: the one place where further ones join."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ensemble_jax.report.history import History
from ensemble_jax.runs import Run


class ExampleScore(NamedTuple):
    """A number for every example of a split or probe.

    Attributes:
        name: of its column in tables.
        title: for people, with the unit.
        meaning: in a sentence.
        values: `[M]`, NaN where it is not defined.
        errors: `[M]`, its standard error; None where none is known.
    """

    name: str
    title: str
    meaning: str
    values: Float[np.ndarray, " M"]
    errors: Float[np.ndarray, " M"] | None = None


def example_scores(run: Run, name: str, history: History) -> list[ExampleScore]:
    """All scores of the examples of a split or probe, over all extents or at the last one.

    Args:
        run: with at least one extent and one member.
        name: of the split or probe.
        history: of the same.
    """
    votes = history.last_votes
    scores = [
        ExampleScore(
            "vote_entropy",
            "vote entropy (nats)",
            "How widely the members' votes are spread over the classes at the last epoch.",
            votes.entropy,
        )
    ]
    of_labels = history.of_labels
    if of_labels is None:
        return scores
    is_label = votes.classes == run.labels[name][:, np.newaxis]
    others = np.where(is_label, 0, votes.counts).max(axis=1)
    return [
        ExampleScore(
            "accessibility",
            "accessibility",
            "The share of members that are right, averaged over all extents: how early it is "
            "learned.",
            history.consistency.mean(axis=0),
            of_labels.accessibility_error,
        ),
        ExampleScore(
            "vote_margin",
            "vote margin of the label",
            "The share of members that predict the given label less that of the most frequent "
            "other class, at the last epoch: -1 where all agree on another class.",
            (of_labels.correct[-1] - others) / history.num_members,
        ),
        ExampleScore(
            "first_learned",
            "first learned (epoch)",
            "The epoch at which a member is right for the first time, averaged over members; the "
            "last epoch for those that never are.",
            of_labels.first_learned,
        ),
        ExampleScore(
            "forgetting_events",
            "forgetting events",
            "How often a member is right at one extent and wrong at the next, averaged over "
            "members.",
            of_labels.forgotten,
        ),
        *scores,
    ]

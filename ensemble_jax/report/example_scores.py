"""The scores and other properties of examples that a reader chooses among in the explorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ensemble_jax.analysis import SCORES
from ensemble_jax.analysis import example_scores as scores_of_run
from ensemble_jax.report.history import History
from ensemble_jax.runs import Run

TITLES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "accessibility": (
            "accessibility",
            "The share of members that are right, averaged over all extents: how early it is "
            "learned.",
        ),
        "forgetting_events": (
            "forgetting events",
            "How often a member is right at one extent and wrong at the next, averaged over "
            "members; the number of extents for members that never are right.",
        ),
        "unforgettable": (
            "unforgettable",
            "The share of members that are right at some extent and at all later ones.",
        ),
        "first_learned": (
            "first learned (extent)",
            "The position of the extent at which a member is right for the first time, averaged "
            "over members; the number of extents for members that never are.",
        ),
        "learning_time": (
            "learning time (extent)",
            "The position of the extent from which on a member is right, averaged over members; "
            "the number of extents for members that are wrong at the last one.",
        ),
        "learning_time_spread": (
            "learning time spread (extents)",
            "The standard deviation of the learning time over members.",
        ),
        "forgotten_share": (
            "forgotten share",
            "The share of extents at which a member is right although it is wrong at the last one, "
            "averaged over members.",
        ),
        "agreement": (
            "agreement",
            "The accessibility up to the extent at which members begin to differ: before wrong "
            "labels are memorised.",
        ),
        "confidence": (
            "confidence",
            "The probability of the label, averaged over extents and members.",
        ),
        "variability": (
            "variability",
            "The standard deviation of the label's probability over extents, averaged over "
            "members.",
        ),
        "area_under_margin": (
            "area under margin",
            "The logit of the label less the largest other one, averaged over extents and members.",
        ),
        "el2n": (
            "EL2N",
            "How far the probabilities of the last extent are from the label, averaged over "
            "members.",
        ),
        "vote_entropy": (
            "vote entropy (nats)",
            "How widely the members' votes are spread over the classes at the last extent.",
        ),
        "entropy": (
            "entropy (nats)",
            "How unsure each member is at the last extent, averaged over members.",
        ),
        "predictive_entropy": (
            "predictive entropy (nats)",
            "How unsure the members' mean probabilities are at the last extent.",
        ),
        "mutual_information": (
            "mutual information (nats)",
            "How far the members' probabilities differ: predictive entropy less entropy.",
        ),
        "c_score": (
            "C-score",
            "The share of members that are right without having been trained on the example.",
        ),
        "memorization": (
            "memorization",
            "How much more often members are right that were trained on the example than those "
            "that were not.",
        ),
        "held_out_confidence": (
            "held-out confidence",
            "The probability of the label to members that were not trained on the example.",
        ),
        "self_confidence": (
            "self-confidence",
            "The mean probability of the label to members that were not trained on the example.",
        ),
        "normalized_margin": (
            "normalized margin",
            "The held-out probability of the label less the largest other one, from 0 to 1.",
        ),
        "adjusted_self_confidence": (
            "adjusted self-confidence",
            "Self-confidence in relation to that of other examples of the label.",
        ),
        "adjusted_normalized_margin": (
            "adjusted normalized margin",
            "Normalized margin in relation to that of other examples of the label.",
        ),
    }
)
"""Title and meaning of the scores of `SCORES`; consistency is there at every extent."""

# Numbers of single members that are held at once: `[E, N, M]` and `[N, M, K]`.
_MOST_NUMBERS = 250_000_000


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


class ExampleProperty(NamedTuple):
    """One of a few names for every example of a split or probe.

    Attributes:
        name: of its column in tables.
        title: for people.
        names: all that there are.
        codes: `[M]`, positions in `names`; their number where an example has none.
    """

    name: str
    title: str
    names: Sequence[str]
    codes: Int[np.ndarray, " M"]


class Details(NamedTuple):
    """What is known of the examples of a split or probe beside what members did with them."""

    scores: Sequence[ExampleScore] = ()
    properties: Sequence[ExampleProperty] = ()


def example_scores(run: Run, name: str, history: History) -> list[ExampleScore]:
    """All scores of the examples of a split or probe that follow from what the run recorded.

    Args:
        run: with at least one extent and one member.
        name: of the split or probe.
        history: of the same.
    """
    votes, of_labels = history.last_votes, history.of_labels
    entropy = ExampleScore("vote_entropy", *TITLES["vote_entropy"], votes.entropy)
    if of_labels is None:
        return [entropy]
    is_label = votes.classes == run.labels[name][:, np.newaxis]
    others = np.where(is_label, 0, votes.counts).max(axis=1)
    scores = [
        ExampleScore(
            "accessibility",
            *TITLES["accessibility"],
            history.consistency.mean(axis=0),
            of_labels.accessibility_error,
        ),
        ExampleScore(
            "vote_margin",
            "vote margin of the label",
            "The share of members that predict the given label less that of the most frequent "
            "other class, at the last extent: -1 where all agree on another class.",
            (of_labels.correct[-1] - others) / history.num_members,
        ),
        entropy,
    ]
    if num_numbers(run, name) > _MOST_NUMBERS:
        return scores
    wanted = [of for of in SCORES if of != "consistency" and of not in {s.name for s in scores}]
    found = scores_of_run(run, name)
    for of in wanted:
        if of in found:
            value, error = found[of]
            errors = None if np.isnan(error).all() else error
            scores.append(ExampleScore(of, *_told(of), value, errors))
    return scores


def why_fewer_scores(run: Run) -> str:
    """Why some scores are left out; empty where all are there."""
    large = [name for name in run.splits if num_numbers(run, name) > _MOST_NUMBERS]
    if not large:
        return ""
    return (
        f"Of {', '.join(large)} there are only scores of all members together, since those of each "
        f"one would take too much memory: ej.analysis.example_scores has them."
    )


def num_numbers(run: Run, split: str) -> int:
    """The numbers that the scores of single members take."""
    per_example = len(run.extents)
    if {"probabilities", "logits"} & set(run.recorded_quantities[split]):
        per_example += run.num_classes
    return len(run.members) * len(run.labels[split]) * per_example


def example_properties(run: Run, split: str) -> list[ExampleProperty]:
    """What examples really are, and whether their labels are right, where that is known."""
    truth = run.true_labels(split)
    if truth is None:
        return []
    known = truth >= 0
    right = np.where(truth == run.labels[split], 0, 1)
    return [
        ExampleProperty(
            "true_label",
            "true label",
            run.class_names,
            np.where(known, truth, len(run.class_names)),
        ),
        ExampleProperty(
            "given_label", "given label", ("right", "wrong"), np.where(known, right, 2)
        ),
    ]


def _told(name: str) -> tuple[str, str]:
    """Title and meaning of a score, with what a large value says and where it is from."""
    title, meaning = TITLES[name]
    score = SCORES[name]
    end = "hard or wrongly labelled" if score.hard_is_large else "easy"
    return title, f"{meaning} Large: {end}. {score.source}."

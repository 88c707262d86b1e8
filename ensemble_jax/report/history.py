"""What all members together did with each example, extent after extent, read in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt
from scipy import stats

from ensemble_jax.analysis import (
    accuracy_from_bits,
    count_correct_from_bits,
    count_votes,
    most_frequent_class,
)
from ensemble_jax.runs import Run

# Classes of which the votes of an example are kept.
MOST_CLASSES = 8
# Votes counted at once.
_BLOCK_SIZE = 1 << 22


class OfLabels(NamedTuple):
    """What is known of examples that have labels.

    Attributes:
        correct: `[E, M]`, how many of the N members are right.
        accuracies: `[E, N]` of the members.
        accessibility_error: `[M]`, the standard error of the accessibility over the members; NaN of
            a single member.
    """

    correct: Int[np.ndarray, "E M"]
    accuracies: Float[np.ndarray, "E N"]
    accessibility_error: Float[np.ndarray, " M"]


class LastVotes(NamedTuple):
    """The members' votes on each example at the last extent.

    Attributes:
        classes: `[M, T]`, the T most frequent classes, the most frequent first.
        counts: `[M, T]`, how many members predict each of them, 0 of classes without votes.
        entropy: `[M]`, of the votes over all classes, in nats.
    """

    classes: Int[np.ndarray, "M T"]
    counts: Int[np.ndarray, "M T"]
    entropy: Float[np.ndarray, " M"]


@dataclass(frozen=True, eq=False)
class History:
    """The examples of a split or probe.

    Attributes:
        num_members: N.
        classes: `[E, M]`, the class that most members predict.
        votes: `[E, M]`, how many of them do.
        last_votes: all votes at the last extent.
        of_labels: what needs labels; None for a probe.
    """

    num_members: int
    classes: Int[np.ndarray, "E M"]
    votes: Int[np.ndarray, "E M"]
    last_votes: LastVotes
    of_labels: OfLabels | None

    @property
    def consensus(self) -> Float[np.ndarray, "E M"]:
        """The share of members that agree on the most frequent class."""
        return self.votes / self.num_members

    @property
    def consistency(self) -> Float[np.ndarray, "E M"]:
        """The share of members that are right."""
        assert self.of_labels is not None, "a probe has no labels"
        return self.of_labels.correct / self.num_members


def read_histories(run: Run) -> Mapping[str, History]:
    """The histories by split and probe.

    Extents are read one at a time, so that memory grows with their number by `[E, M]` only.

    Args:
        run: with at least one extent and one member.
    """
    return {name: _read(run, name) for name in (*run.splits, *run.probes)}


def _read(run: Run, name: str) -> History:
    classes, votes, predictions = [], [], None
    for extent in run.extents:
        predictions = run.predictions(name, extents=extent)[0]
        frequent = most_frequent_class(predictions, run.num_classes)
        classes.append(frequent.classes.astype(np.min_scalar_type(run.num_classes)))
        votes.append(frequent.votes)
    assert predictions is not None, "a run without extents has no history"
    return History(
        len(run.members),
        np.stack(classes),
        np.stack(votes),
        _read_votes(predictions, run.num_classes),
        _read_labelled(run, name) if name in run.splits else None,
    )


def _read_votes(predictions: UInt[np.ndarray, "N M"], num_classes: int) -> LastVotes:
    """Votes `[M, K]` of many classes are large, so they are counted in blocks of examples."""
    width = max(1, _BLOCK_SIZE // num_classes)
    blocks = []
    for start in range(0, predictions.shape[1], width):
        votes = count_votes(predictions[:, start : start + width], num_classes)
        classes = np.argsort(-votes, axis=1, kind="stable")[:, :MOST_CLASSES]
        counts = np.take_along_axis(votes, classes, axis=1)
        entropy = np.asarray(stats.entropy(votes, axis=1))
        blocks.append(LastVotes(classes, counts, entropy))
    return LastVotes(*map(np.concatenate, zip(*blocks, strict=True)))


def _read_labelled(run: Run, split: str) -> OfLabels:
    size, num_members, num_extents = len(run.labels[split]), len(run.members), len(run.extents)
    correct, accuracies = np.empty((num_extents, size), np.int32), []
    # Of each member, at how many extents it is right.
    times_right = np.zeros((num_members, size), np.min_scalar_type(num_extents))
    for row, extent in enumerate(run.extents):
        bits = run.bits(split, extents=extent)[0]
        correct[row] = count_correct_from_bits(bits, size)
        accuracies.append(accuracy_from_bits(bits, size))
        for of_member, own in zip(times_right, bits, strict=True):
            of_member += np.unpackbits(own, count=size)
    error = np.full(size, np.nan)
    if num_members > 1:
        std = times_right.std(axis=0, ddof=1, dtype=np.float32)
        error = std / num_extents / np.sqrt(num_members)
    return OfLabels(correct, np.stack(accuracies), error)

"""Which labels of a set are probably wrong, from members that were trained on parts of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from ensemble_jax.analysis.label_quality import class_thresholds
from ensemble_jax.analysis.members import check_held_out, member_mean


class Issue(Enum):
    """What may be wrong with an example."""

    NONE = "none"
    MISLABELLED = "likely mislabelled"
    AMBIGUOUS = "ambiguous"
    OUTLIER = "outlier"
    DUPLICATE = "duplicate with another label"


class LabelIssues(NamedTuple):
    """What members say of the labels of M examples.

    Attributes:
        score: `[M]`, how likely each label is right, in [0, 1]; at 0.5 another class is as likely.
        standard_error: `[M]`, of the score, over members.
        suggested: `[M]`, the most probable class, in 0..K-1.
        issues: `[M]`, what may be wrong.
        held_out: `[M, K]`, mean probabilities of the members that were not trained on an example.
        extents: the positions of the extents that all this is a mean over.
    """

    score: Float[np.ndarray, " M"]
    standard_error: Float[np.ndarray, " M"]
    suggested: Int[np.ndarray, " M"]
    issues: Sequence[Issue]
    held_out: Float[np.ndarray, "M K"]
    extents: Sequence[int]


def find_label_issues(
    probabilities: Sequence[Shaped[Any, "N M K"]],
    labels: Shaped[Any, " M"],
    train_mask: Shaped[Any, "N M"],
    epochs: Sequence[int] | None = None,
    duplicates: Shaped[Any, " M"] | None = None,
) -> LabelIssues:
    """Judge every label by all members, at the epochs at which those not trained on it know most.

    The last extent that counts is the one whose held-out mean probabilities agree most often with
    the labels; those before it count back to half of its epochs. Later ones know the labels by
    heart, earlier ones know little. With `p` the mean probability over these extents and over all
    members, and `y` the label, the score is `p_y / (p_y + max_{k != y} p_k)`. Members that were
    trained on an example count, too: they say how hard its label is to learn.

    What may be wrong follows from held-out probabilities `h`, which reach a class where they are at
    least its `class_thresholds` of confident learning, so that a hard class does not fill the list:

    | issue | |
    |---|---|
    | likely mislabelled | `h` reaches another class and not the label's; or it reaches none, the score is below 0.5, and another class has more than half of it |
    | ambiguous | it reaches the label's, but another one more, or the score is below 0.5 |
    | outlier | it reaches none, the score is below 0.5, and no class has more than half of it |
    | duplicate with another label | the same example is there with another label |

    Args:
        probabilities: of each extent `[N, M, K]`, sums of 1 over K; read one at a time, twice.
        labels: `[M]`, integers in 0..K-1.
        train_mask: `[N, M]`, whether a member was trained on an example. Each example must be held
            out of at least one member.
        epochs: increasing, one for each extent; 0, 1, 2, ... by default.
        duplicates: `[M]`, whether the same example is there with another label.

    Raises:
        ValueError: naming what does not fit.

    Source: thresholds from Northcutt, Jiang & Chuang, 'Confident Learning' (2021).

    >>> sure, unsure = [0.9, 0.1], [0.1, 0.9]
    >>> p = np.array([[[sure, unsure, unsure], [sure, unsure, unsure]]])
    >>> found = find_label_issues(p, [0, 1, 0], [[1, 1, 0], [0, 0, 1]])
    >>> found.score.round(2).tolist(), found.suggested.tolist()
    ([0.9, 0.9, 0.1], [0, 1, 1])
    >>> [issue.value for issue in found.issues]
    ['none', 'none', 'likely mislabelled']
    """  # noqa: E501
    classes, mask = np.asarray(labels), np.asarray(train_mask, bool)
    times = np.arange(len(probabilities)) if epochs is None else np.asarray(epochs)
    _check(probabilities, classes, mask, times)
    accuracies = []
    for of_extent in probabilities:
        predicted = member_mean(of_extent, ~mask).mean.argmax(axis=1)
        accuracies.append((predicted == classes).mean())
    last = int(np.argmax(accuracies))
    chosen = [e for e in range(last + 1) if times[e] > times[last] / 2 or e == last]
    of_members = np.zeros(np.shape(probabilities[0]), np.float32)
    for e in chosen:
        of_members += probabilities[e]
    of_members /= len(chosen)
    held_out = member_mean(of_members, ~mask).mean
    mean = of_members.mean(axis=0, dtype=float)
    by_member = np.stack([_share_of_label(p, classes) for p in of_members])
    score = _share_of_label(mean, classes)
    return LabelIssues(
        score,
        member_mean(by_member).standard_error,
        mean.argmax(axis=1),
        _issues(held_out, classes, score, duplicates),
        held_out,
        chosen,
    )


def _check(
    probabilities: Sequence[Any], labels: np.ndarray, mask: np.ndarray, epochs: np.ndarray
) -> None:
    if not len(probabilities) or len(epochs) != len(probabilities):
        raise ValueError(
            f"probabilities must be of one extent or more, with an epoch for each, got "
            f"{len(probabilities)} and {len(epochs)}"
        )
    shape = np.shape(probabilities[0])
    if len(shape) != 3 or shape[2] < 2:
        raise ValueError(f"probabilities of an extent must be [N, M, K], got {list(shape)}")
    if mask.shape != shape[:2] or labels.shape != shape[1:2]:
        raise ValueError(
            f"train_mask and labels must be {list(shape[:2])} and {list(shape[1:2])}, got "
            f"{list(mask.shape)} and {list(labels.shape)}"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= shape[2]:
        raise ValueError(f"labels must be integers in 0..{shape[2] - 1}")
    check_held_out(mask)


def _share_of_label(
    probabilities: Float[np.ndarray, "M K"], labels: Int[np.ndarray, " M"]
) -> Float[np.ndarray, " M"]:
    """The probability of the label beside that of the most probable other class."""
    places = labels[:, np.newaxis]
    others = np.array(probabilities, float)
    own = np.take_along_axis(others, places, axis=1)[:, 0]
    np.put_along_axis(others, places, -np.inf, axis=1)
    total = own + others.max(axis=1)
    return np.divide(own, total, out=np.full_like(own, 0.5), where=total > 0)


def _issues(
    held_out: Float[np.ndarray, "M K"],
    labels: Int[np.ndarray, " M"],
    score: Float[np.ndarray, " M"],
    duplicates: Shaped[Any, " M"] | None,
) -> list[Issue]:
    reached = held_out >= class_thresholds(held_out, labels)
    confident = np.where(reached, held_out, -1.0).argmax(axis=1)
    own = np.take_along_axis(reached, labels[:, np.newaxis], axis=1)[:, 0]
    some = reached.any(axis=1)
    other = some & (confident != labels)
    doubtful = score < 0.5
    unclear = doubtful & ~some
    half = held_out.max(axis=1) > 0.5
    conditions: Iterable[tuple[Issue, Any]] = (
        (Issue.DUPLICATE, np.zeros(len(labels), bool) if duplicates is None else duplicates),
        (Issue.MISLABELLED, (other & ~own) | (unclear & half)),
        (Issue.AMBIGUOUS, (other | doubtful) & own),
        (Issue.OUTLIER, unclear & ~half),
    )
    issues = np.full(len(labels), Issue.NONE, object)
    for issue, holds in reversed(list(conditions)):
        issues[np.asarray(holds, bool)] = issue
    return issues.tolist()

"""Every score of examples by name: what it takes, what a large one means, and where it is from.

A score is a function of arrays by name, whose axes are the same everywhere (`AXES`): what each
member says `[N, M]`, or what the collection says `[M]`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from ensemble_jax.analysis.accessibility import member_accessibility
from ensemble_jax.analysis.agreement import agreement_score
from ensemble_jax.analysis.detection import Detection, detection
from ensemble_jax.analysis.inputs import as_correctness
from ensemble_jax.analysis.label_quality import QualityScore, label_quality
from ensemble_jax.analysis.learning_times import (
    first_learned,
    forgetting_events,
    forgotten_share,
    learning_time,
    learning_time_spread,
    unforgettable,
)
from ensemble_jax.analysis.members import member_mean
from ensemble_jax.analysis.memorization import Estimate, c_score, memorization
from ensemble_jax.analysis.outputs import el2n
from ensemble_jax.analysis.scores import count_votes
from ensemble_jax.analysis.training_dynamics import area_under_margin, confidence, variability
from ensemble_jax.analysis.uncertainty import (
    entropy,
    mutual_information,
    predictive_entropy,
    vote_entropy,
)

AXES: Mapping[str, str] = MappingProxyType(
    {
        "correct": "ENM",
        "predictions": "ENM",
        "label_probability": "ENM",
        "margin": "ENM",
        "probabilities": "NMK",
        "train_mask": "NM",
        "labels": "M",
    }
)
"""The axes of what scores take; `probabilities` are those of one extent, usually the last."""


@dataclass(frozen=True)
class Score:
    """A score of examples.

    Attributes:
        name: in tables.
        function: of the arrays it needs, as keywords of their names; gives `[N, M]`, or `[M]` or an
            `Estimate` for what only members together can say.
        needs: names of `AXES`.
        hard_is_large: whether a large value means a hard, strange or wrongly labelled example.
        each_member_alone: whether what it says of a member does not depend on the others.
        source: who proposed it.
    """

    name: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    hard_is_large: bool
    each_member_alone: bool
    source: str

    def __call__(self, arrays: Mapping[str, Any]) -> Any:
        """The score of the arrays that it needs, by name; others may be there, too."""
        return self.function(**{name: arrays[name] for name in self.needs})

    def suspicion(self, values: Float[np.ndarray, "*axes"]) -> Float[np.ndarray, "*axes"]:
        """The values, negated if needed, so that large ones mean hard examples."""
        return values if self.hard_is_large else -values


def _finite(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """For members that never learn an example the number of extents, which can be averaged."""
    return lambda correct: function(correct, never=len(correct))


def _consistency(correct):
    return as_correctness(correct[-1]).astype(np.float32)


def _vote_entropy(predictions):
    last = np.asarray(predictions[-1])
    return vote_entropy(count_votes(last, int(last.max(initial=0)) + 1))


def _last_c_score(correct, train_mask):
    return c_score(correct[-1], train_mask)


def _last_memorization(correct, train_mask):
    return memorization(correct[-1], train_mask)


def _held_out_sure(label_probability, train_mask):
    mean, error, _ = member_mean(label_probability[-1], ~as_correctness(train_mask))
    return Estimate(mean, error)


def _held_out_quality(probabilities, labels, train_mask, **options):
    """The quality of the labels of those examples that some member was not trained on."""
    mean = member_mean(probabilities, ~as_correctness(train_mask)).mean
    known = ~np.isnan(mean[:, 0])
    quality = np.full(len(mean), np.nan)
    if known.any():
        quality[known] = label_quality(mean[known], np.asarray(labels)[known], **options)
    return quality


def _quality(score: QualityScore, adjusted: bool) -> Callable[..., np.ndarray]:
    return partial(_held_out_quality, score=score, adjusted=adjusted)


def collection_value(
    result: Shaped[Any, "*axes"], where: Shaped[Any, "N M"] | None = None
) -> Estimate:
    """What a collection says, from what a score gives: the mean over its members, if it is theirs.

    Args:
        result: of a `Score`: `[N, M]`, `[M]` or an `Estimate`.
        where: `[N, M]`, the members that count for an example; of `[N, M]` only.

    Raises:
        ValueError: neither, or `where` of other members or examples.

    >>> collection_value([[0.0, 1.0], [1.0, 1.0]])
    Estimate(value=array([0.5, 1. ]), standard_error=array([0.5, 0. ]))
    """
    if isinstance(result, Estimate):
        return result
    values = np.asarray(result)
    if values.ndim == 1:
        return Estimate(values, np.full(values.shape, np.nan))
    mean, error, _ = member_mean(values, where)
    return Estimate(mean, error)


def score_examples(
    arrays: Mapping[str, Shaped[Any, "*axes"]],
    names: Collection[str] | None = None,
    where: Shaped[Any, "N M"] | None = None,
) -> dict[str, Estimate]:
    """Scores of all examples by name, averaged over the members.

    Args:
        arrays: by names of `AXES`.
        names: of `SCORES`; all that the arrays suffice for by default.
        where: `[N, M]`, the members that count where each member has a score of its own, for
            example `train_mask` or `~train_mask`; all by default.

    Raises:
        ValueError: an array or score of unknown name, a score without its arrays, or arrays that
            the score refuses.

    >>> found = score_examples({"correct": [[[1, 0], [1, 1]], [[1, 0], [0, 1]]]})
    >>> found["forgetting_events"].value
    array([0.5, 1. ])
    """
    given = {name: np.asarray(array) for name, array in arrays.items()}
    check_arrays(given)
    if names is None:
        names = [name for name, score in SCORES.items() if given.keys() >= set(score.needs)]
    results = {}
    for name in names:
        if name not in SCORES:
            raise ValueError(f"names must be of {', '.join(SCORES)}, got {name}")
        missing = [need for need in SCORES[name].needs if need not in given]
        if missing:
            raise ValueError(f"{name} needs {', '.join(missing)}, got {', '.join(given)}")
        results[name] = collection_value(SCORES[name](given), where)
    return results


def detect_wrong(
    estimates: Mapping[str, Estimate], wrong: Shaped[Any, " M"], at: Sequence[int] = (100,)
) -> dict[str, Detection]:
    """How well each score finds the examples that are known to be wrong.

    Args:
        estimates: of `score_examples`.
        wrong: `[M]`, whether an example is wrong.
        at: each k of the precision among the k most suspect examples.

    Raises:
        ValueError: a score of unknown name, other examples, not 0 or 1, or a k below 1.

    >>> found = score_examples({"correct": [[[1, 0], [1, 1]], [[1, 0], [0, 1]]]})
    >>> detect_wrong(found, wrong=[0, 1])["accessibility"].auroc
    1.0
    """
    unknown = [name for name in estimates if name not in SCORES]
    if unknown:
        raise ValueError(f"estimates must be of {', '.join(SCORES)}, got {', '.join(unknown)}")
    return {
        name: detection(SCORES[name].suspicion(estimate.value), wrong, at)
        for name, estimate in estimates.items()
    }


def check_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The sizes of the axes of arrays by name.

    Raises:
        ValueError: an unknown name, other axes, or arrays of different sizes.
    """
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        if name not in AXES:
            raise ValueError(f"arrays must be of {', '.join(AXES)}, got {name}")
        if array.ndim != len(AXES[name]):
            raise ValueError(
                f"{name} must be [{', '.join(AXES[name])}], got the shape {array.shape}"
            )
        for axis, size in zip(AXES[name], array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(
                    f"arrays must be of the same extents, members, examples and classes, got "
                    f"{name} with {axis} = {size} beside {sizes[axis]}"
                )
    return sizes


_EASY, _HARD = False, True
_ALONE, _TOGETHER = True, False
_CORRECT, _OUTPUTS, _SURE = ("correct",), ("probabilities",), ("label_probability",)
_TRAINED = ("correct", "train_mask")
_HELD_OUT = ("probabilities", "labels", "train_mask")
_SELF, _MARGIN = QualityScore.SELF_CONFIDENCE, QualityScore.NORMALIZED_MARGIN
_HACOHEN = "Hacohen & Weinshall 2019"
_LAKSHMINARAYANAN = "Lakshminarayanan, Pritzel & Blundell 2017"
_TONEVA = "Toneva et al. 2019"
_SHWARTZ = "Shwartz, Stern & Weinshall 2022"
_CARTOGRAPHY = "Swayamdipta et al. 2020"
_NORTHCUTT = "Northcutt, Jiang & Chuang 2021"
_KUAN = "Kuan & Mueller 2022"
# One score, found four times.
_OTHERS = "correctness of Swayamdipta et al. 2020, learning pace of Shwartz et al. 2022, learning "
_OTHERS += "speed of Hacohen & Tuytelaars 2024"

# What a large value means, and whether each member says it by itself.
_ROWS: list[tuple[str, Callable, tuple[str, ...], bool, bool, str]] = [
    ("consistency", _consistency, _CORRECT, _EASY, _ALONE, _HACOHEN),
    ("accessibility", member_accessibility, _CORRECT, _EASY, _ALONE, f"{_HACOHEN}; {_OTHERS}"),
    ("forgetting_events", _finite(forgetting_events), _CORRECT, _HARD, _ALONE, _TONEVA),
    ("unforgettable", unforgettable, _CORRECT, _EASY, _ALONE, _TONEVA),
    ("first_learned", _finite(first_learned), _CORRECT, _HARD, _ALONE, _TONEVA),
    ("learning_time", _finite(learning_time), _CORRECT, _HARD, _ALONE, "Baldock et al. 2021"),
    ("learning_time_spread", learning_time_spread, _CORRECT, _HARD, _TOGETHER, _SHWARTZ),
    ("forgotten_share", forgotten_share, _CORRECT, _HARD, _ALONE, "Stern et al. 2024"),
    ("agreement", agreement_score, _CORRECT, _EASY, _TOGETHER, _SHWARTZ),
    ("confidence", confidence, _SURE, _EASY, _ALONE, _CARTOGRAPHY),
    ("variability", variability, _SURE, _HARD, _ALONE, _CARTOGRAPHY),
    ("area_under_margin", area_under_margin, ("margin",), _EASY, _ALONE, "Pleiss et al. 2020"),
    ("el2n", el2n, ("probabilities", "labels"), _HARD, _ALONE, "Paul et al. 2021"),
    ("vote_entropy", _vote_entropy, ("predictions",), _HARD, _TOGETHER, "Engelson & Dagan 1999"),
    ("entropy", entropy, _OUTPUTS, _HARD, _ALONE, "Shannon 1948"),
    ("predictive_entropy", predictive_entropy, _OUTPUTS, _HARD, _TOGETHER, _LAKSHMINARAYANAN),
    ("mutual_information", mutual_information, _OUTPUTS, _HARD, _TOGETHER, "Houlsby et al. 2011"),
    ("c_score", _last_c_score, _TRAINED, _EASY, _TOGETHER, "Jiang et al. 2021"),
    ("memorization", _last_memorization, _TRAINED, _HARD, _TOGETHER, "Feldman & Zhang 2020"),
    ("held_out_confidence", _held_out_sure, (*_SURE, "train_mask"), _EASY, _TOGETHER, _NORTHCUTT),
    ("self_confidence", _quality(_SELF, False), _HELD_OUT, _EASY, _TOGETHER, _NORTHCUTT),
    ("normalized_margin", _quality(_MARGIN, False), _HELD_OUT, _EASY, _TOGETHER, _NORTHCUTT),
    ("adjusted_self_confidence", _quality(_SELF, True), _HELD_OUT, _EASY, _TOGETHER, _KUAN),
    ("adjusted_normalized_margin", _quality(_MARGIN, True), _HELD_OUT, _EASY, _TOGETHER, _KUAN),
]

SCORES: Mapping[str, Score] = MappingProxyType({row[0]: Score(*row) for row in _ROWS})
"""All scores by name."""

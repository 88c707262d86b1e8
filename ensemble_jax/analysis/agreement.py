"""Wrong labels and best classes from when the members of a collection agree.

Members agree early about examples whose label is right; each memorises a wrong one at a time of its
own. Shwartz, Stern & Weinshall, 'The dynamic of consensus in deep networks and the identification
of noisy labels' (2022, arXiv 2210.00583), and Stern, Shwartz & Weinshall, 'United we stand: using
epoch-wise agreement of ensembles to combat overfit' (2024, arXiv 2310.11077).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from ensemble_jax.analysis.accessibility import member_accessibility
from ensemble_jax.analysis.classes import most_frequent_class
from ensemble_jax.analysis.inputs import as_correctness_history, as_predictions


class MostAgreedClass(NamedTuple):
    """The class that members agreed about most at any extent.

    Attributes:
        classes: `[M]`; of several the one of the first such extent and the smallest number.
        agreement: `[M]`, the share of members that predicted it at that extent, in [1/K, 1].
        extents: `[M]`, the position of the extent, 0..E-1.
    """

    classes: Int[np.ndarray, " M"]
    agreement: Float[np.ndarray, " M"]
    extents: Int[np.ndarray, " M"]


def unanimity(correct: Shaped[Any, "E N M"]) -> Float[np.ndarray, " E"]:
    """How far the examples fall into those that all members know and those that none does.

    `B(e) = sqrt(mean_m [no member is right]) + sqrt(mean_m [all members are right])`, in
    [0, sqrt(2)], the Bhattacharyya coefficient of the consistency scores with an even mixture of 0
    and 1, times sqrt(2).

    Args:
        correct: `[E, N, M]`, boolean or numbers that are 0 or 1, at least one example.

    Raises:
        ValueError: no extent, member or example, not `[E, N, M]`, or a value is neither 0 nor 1.

    >>> unanimity([[[1, 1, 0, 0], [1, 1, 0, 0]], [[1, 1, 1, 0], [1, 1, 0, 1]]]).round(4)
    array([1.4142, 0.7071])
    """
    history = as_correctness_history(correct, of_members=True)
    if history.shape[-1] == 0:
        raise ValueError(f"correct must hold at least one example, got the shape {history.shape}")
    shares = [(at.all(axis=0).mean(), (~at.any(axis=0)).mean()) for at in history]
    return np.sqrt(shares).sum(axis=-1)


def agreement_stop(correct: Shaped[Any, "E N M"]) -> int:
    """The extent at which members have learned what they share and memorise what is noise.

    The position of the least `unanimity` after its largest: it rises while members learn the same
    examples together, and falls while each memorises others.

    Args:
        correct: `[E, N, M]`, of the examples that all members are trained on.

    Raises:
        ValueError: as `unanimity`.

    >>> together, apart = [[1, 1, 0, 0], [1, 1, 0, 0]], [[1, 1, 1, 0], [1, 1, 0, 1]]
    >>> agreement_stop([together, apart, np.ones((2, 4))])
    1
    """
    values = unanimity(correct)
    peak = values.argmax()
    return int(peak + values[peak:].argmin())


def agreement_score(correct: Shaped[Any, "E N M"]) -> Float[np.ndarray, "N M"]:
    """How early members agree with an example's label, before noise is memorised.

    The `member_accessibility` over the extents up to `agreement_stop`, in [0, 1], float32; averaged
    over members it is the paper's ensemble learning pace. Low for wrong labels.

    Args:
        correct: `[E, N, M]`, of the examples that all members are trained on.

    Raises:
        ValueError: as `unanimity`.

    >>> together, apart = [[1, 1, 0, 0], [1, 1, 0, 0]], [[1, 1, 1, 0], [1, 1, 0, 1]]
    >>> agreement_score([together, apart, np.ones((2, 4))])
    array([[1. , 1. , 0.5, 0. ],
           [1. , 1. , 0. , 0.5]], dtype=float32)
    """
    history = as_correctness_history(correct, of_members=True)
    return member_accessibility(history[: agreement_stop(history) + 1])


def most_agreed_class(predictions: Shaped[Any, "E N M"], num_classes: int) -> MostAgreedClass:
    """The class of the largest agreement of members at any extent.

    `argmax_k max_e (1/N) #{n : prediction[e, n, m] = k}`: the paper's classifier, which does not
    overfit as the last extent does, and a suggestion for a wrong label.

    Args:
        predictions: `[E, N, M]`, integers in 0..K-1.
        num_classes: K.

    Raises:
        ValueError: not `[E, N, M]` with an extent and a member, not integers, or outside 0..K-1.

    >>> most_agreed_class([[[0, 1], [0, 1]], [[0, 0], [2, 1]]], num_classes=3)
    MostAgreedClass(classes=array([0, 1]), agreement=array([1., 1.]), extents=array([0, 0]))
    """
    checked = as_predictions(predictions, num_classes)
    if checked.ndim != 3 or len(checked) == 0:
        raise ValueError(
            f"predictions must be [E, N, M] with at least one extent, got the shape {checked.shape}"
        )
    frequent = most_frequent_class(checked, num_classes)
    extents = frequent.votes.argmax(axis=0)
    best = extents, np.arange(checked.shape[-1])
    return MostAgreedClass(frequent.classes[best], frequent.votes[best] / checked.shape[1], extents)

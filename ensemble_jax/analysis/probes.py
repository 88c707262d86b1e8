"""How far members agree on examples that have no label: consensus against what chance gives.

Figure 5 of Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019): random
classification, noise, generated images, other images, the test set.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped, UInt

from ensemble_jax.analysis.baselines import independent_consensus_distribution
from ensemble_jax.analysis.inputs import as_predictions
from ensemble_jax.analysis.scores import consensus_score


class ConsensusComparison(NamedTuple):
    """The mean consensus on a probe, and that of two collections that agree by chance alone.

    Attributes:
        of_members: of the members, in [1/K, 1].
        of_independent: of independent members that use the classes as often (`shuffle_members`).
        of_random: of members that pick each of the K classes equally often.
    """

    of_members: float
    of_independent: float
    of_random: float


def random_consensus_distribution(num_members: int, num_classes: int) -> Float[np.ndarray, " N"]:
    """The exact distribution of the consensus score of N members that pick classes at random.

    Entry j-1 is the probability of the score j/N: that of `independent_consensus_distribution` for
    the accuracy 1/K, where all classes are alike.

    Raises:
        ValueError: no member, or fewer than 2 classes.

    >>> random_consensus_distribution(num_members=2, num_classes=2).round(12)
    array([0.5, 0.5])
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    return independent_consensus_distribution(1 / num_classes, num_members, num_classes)


def shuffle_members(predictions: Shaped[Any, "*E N M"], seed: int) -> UInt[np.ndarray, "*E N M"]:
    """Predictions of members that use every class as often as these, on examples of no relation.

    Each member's predictions are put on the examples in a random order of its own. This is the
    independent reference where there are no labels: on noise members often predict a few classes
    only, and then agree a lot without knowing anything of an example.

    Args:
        predictions: `[..., N, M]`, of any type.
        seed: the same seed gives the same orders.

    Raises:
        ValueError: not `[..., N, M]`.

    >>> shuffle_members([[2, 2, 2], [1, 1, 1]], seed=0)
    array([[2, 2, 2],
           [1, 1, 1]])
    """
    given = np.asarray(predictions)
    if given.ndim < 2:
        raise ValueError(f"predictions must be [..., N, M], got the shape {given.shape}")
    return np.random.default_rng(seed).permuted(given, axis=-1)


def compare_consensus(
    predictions: Shaped[Any, "N M"], num_classes: int, seed: int
) -> ConsensusComparison:
    """The mean consensus on a probe beside the two that chance gives.

    Args:
        predictions: `[N, M]`, integers in 0..K-1, at one extent.
        num_classes: K, at least 2.
        seed: of the independent members.

    Raises:
        ValueError: not `[N, M]`, no member or example, fewer than 2 classes, or classes outside
            0..K-1.

    >>> result = compare_consensus([[0, 1], [0, 1]], num_classes=2, seed=0)
    >>> result.of_members, round(result.of_random, 12)
    (1.0, 0.75)
    """
    checked = as_predictions(predictions, num_classes)
    if checked.ndim != 2 or checked.shape[1] == 0:
        raise ValueError(
            f"predictions must be [N, M] with at least one example, got the shape {checked.shape}"
        )
    num_members = len(checked)
    chances = random_consensus_distribution(num_members, num_classes)
    scores = np.arange(1, num_members + 1) / num_members
    return ConsensusComparison(
        float(consensus_score(checked, num_classes).mean()),
        float(consensus_score(shuffle_members(checked, seed), num_classes).mean()),
        float(chances @ scores),
    )

"""How unsure a collection is of each example, and how much of it is disagreement.

Entropies in nats, in [0, ln K], float32; none needs a label. Blocks of examples are computed at a
time, so that float16 probabilities are never held in a larger type.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Num, Shaped
from scipy.special import entr

from ensemble_jax.analysis.inputs import as_probabilities

# Numbers of a block, which stay in cache.
_BLOCK_SIZE = 1 << 19


def entropy(probabilities: Shaped[Any, "*N M K"]) -> Float[np.ndarray, "*N M"]:
    """How unsure each member is of each example by itself.

    `H[p] = -sum_k p[k] ln p[k]`. Its mean over members (`member_mean`) is what members are unsure
    of even though each is sure of itself being right: the expected or aleatoric entropy.

    Args:
        probabilities: `[..., M, K]`.

    Raises:
        ValueError: no probabilities.

    >>> entropy([[1.0, 0.0], [0.5, 0.5]]).round(4)
    array([0.    , 0.6931], dtype=float32)
    """
    checked = as_probabilities(probabilities)
    result = np.empty(checked.shape[:-1], np.float32)
    for of_member in np.ndindex(checked.shape[:-2]):
        for place, block in _blocks(checked[of_member][np.newaxis]):
            result[(*of_member, place)] = _entropy(block[0])
    return result


def predictive_entropy(probabilities: Shaped[Any, "N M K"]) -> Float[np.ndarray, " M"]:
    """How unsure the ensemble is: the entropy of the mean of its members' probabilities.

    `H[mean_n p_n]`; at least the mean of the members' own entropies.

    Args:
        probabilities: `[N, M, K]`.

    Raises:
        ValueError: no probabilities `[N, M, K]`, or no member.

    Source: Lakshminarayanan, Pritzel & Blundell, 'Simple and scalable predictive uncertainty
    estimation using deep ensembles' (2017).

    >>> predictive_entropy([[[1.0, 0.0]], [[0.0, 1.0]]]).round(4)
    array([0.6931], dtype=float32)
    """
    checked = _of_members(probabilities)
    result = np.empty(checked.shape[1], np.float32)
    for place, block in _blocks(checked):
        result[place] = _entropy(block.mean(axis=0))
    return result


def mutual_information(probabilities: Shaped[Any, "N M K"]) -> Float[np.ndarray, " M"]:
    """How much members disagree: what the ensemble is less sure of than its members are.

    `I = H[mean_n p_n] - mean_n H[p_n]`, in [0, ln min(N, K)]; 0 where all say the same, however
    unsure.

    Args:
        probabilities: `[N, M, K]`.

    Raises:
        ValueError: no probabilities `[N, M, K]`, or no member.

    Source: Houlsby et al., 'Bayesian active learning for classification and preference learning'
    (2011), equation 2.

    >>> mutual_information([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]).round(4)
    array([0.6931, 0.    ], dtype=float32)
    """
    checked = _of_members(probabilities)
    result = np.empty(checked.shape[1], np.float32)
    for place, block in _blocks(checked):
        result[place] = _entropy(block.mean(axis=0)) - _entropy(block).mean(axis=0)
    # Never negative but for rounding.
    return np.maximum(result, 0)


def vote_entropy(votes: Shaped[Any, "*E M K"]) -> Float[np.ndarray, "*E M"]:
    """How much members disagree, where only their predictions are recorded.

    `-sum_k (v_k / N) ln(v_k / N)` of the votes v (`count_votes`).

    Args:
        votes: `[..., M, K]`, at least 0, at least one for each example.

    Raises:
        ValueError: not numbers, a negative one, or an example without votes.

    Source: Argamon-Engelson & Dagan, 'Committee-based sample selection for probabilistic
    classifiers' (1999).

    >>> vote_entropy([[4, 0], [2, 2]]).round(4)
    array([0.    , 0.6931], dtype=float32)
    """
    counts = np.asarray(votes)
    total = counts.sum(axis=-1, keepdims=True)
    if (total <= 0).any():
        raise ValueError("votes must hold at least one vote for each example, got none for one")
    return entropy(counts / total)


def _of_members(probabilities: Shaped[Any, "N M K"]) -> Num[np.ndarray, "N M K"]:
    checked = as_probabilities(probabilities, num_axes=3)
    if len(checked) == 0:
        raise ValueError(
            f"probabilities must hold at least one member, got the shape {checked.shape}"
        )
    return checked


def _entropy(probabilities: Float[np.ndarray, "*N M K"]) -> Float[np.ndarray, "*N M"]:
    return entr(probabilities).sum(axis=-1)


def _blocks(
    probabilities: Num[np.ndarray, "N M K"],
) -> Iterator[tuple[slice, Float[np.ndarray, "N block K"]]]:
    """Blocks of examples of all members in float32, and where they lie."""
    num_members, num_examples, num_classes = probabilities.shape
    width = max(1, _BLOCK_SIZE // (num_members * num_classes))
    for start in range(0, num_examples, width):
        place = slice(start, start + width)
        yield place, probabilities[:, place].astype(np.float32)

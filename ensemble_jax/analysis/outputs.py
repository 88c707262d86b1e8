"""What a member's outputs for all classes say of each example.

All take `[..., M, K]`, so that one network, a collection and a whole history go through the same
function. Outputs may be float16: a block of examples is computed in float32 at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from ensemble_jax.analysis.inputs import as_labels, as_numbers, as_probabilities

# Numbers of a block, which stay in cache.
_BLOCK_SIZE = 1 << 18


def label_probability(
    probabilities: Shaped[Any, "*N M K"], labels: Shaped[Any, "*N M"]
) -> Float[np.ndarray, "*N M"]:
    """The probability of each example's label, in [0, 1], in the type of the probabilities.

    Args:
        probabilities: `[..., M, K]`.
        labels: `[M]`, or `[..., M]` where members have different train labels; integers in 0..K-1.

    Raises:
        ValueError: no probabilities (`as softmax gives them`), or labels outside 0..K-1 or of
            another shape.

    >>> label_probability([[0.25, 0.75], [0.5, 0.5]], labels=[1, 0])
    array([0.75, 0.5 ])
    """
    checked = as_probabilities(probabilities)
    classes = as_labels(labels, checked.shape[:-1], checked.shape[-1])
    return np.take_along_axis(checked, classes[..., np.newaxis], axis=-1)[..., 0]


def label_margin(
    outputs: Shaped[Any, "*N M K"], labels: Shaped[Any, "*N M"]
) -> Float[np.ndarray, "*N M"]:
    """By how much each example's label is preferred to the best other class, float32.

    `z[m, y] - max_{k != y} z[m, k]` with the label y; above 0 where the label is predicted. Of
    logits it is what `area_under_margin` takes, of probabilities it lies in [-1, 1].

    Args:
        outputs: `[..., M, K]`, logits or probabilities, K at least 2.
        labels: `[M]`, or `[..., M]` where members have different train labels; integers in 0..K-1.

    Raises:
        ValueError: not numbers, NaN, fewer than 2 classes, or labels outside 0..K-1 or of another
            shape.

    >>> label_margin([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]], labels=[1, 0])
    array([ 1., -2.], dtype=float32)
    """
    checked = as_numbers("outputs", outputs)
    if checked.ndim < 2 or checked.shape[-1] < 2:
        raise ValueError(
            f"outputs must be [..., M, K] with at least 2 classes, got the shape {checked.shape}"
        )
    classes = as_labels(labels, checked.shape[:-1], checked.shape[-1])
    margin = np.empty(checked.shape[:-1], np.float32)
    for place, block, of_labels in _blocks(checked, classes):
        rows = np.arange(len(block))
        own = block[rows, of_labels]
        block[rows, of_labels] = -np.inf
        margin[place] = own - block.max(axis=-1)
    return margin


def el2n(
    probabilities: Shaped[Any, "*N M K"], labels: Shaped[Any, "*N M"]
) -> Float[np.ndarray, "*N M"]:
    """How far a member's probabilities are from the label: the L2 norm of the error vector.

    `|| p[m] - onehot(y[m]) ||_2`, in [0, sqrt(2)], float32; larger for harder examples. The paper
    takes it early in training and averages it over about ten initialisations (`member_mean`).

    Args:
        probabilities: `[..., M, K]`.
        labels: `[M]`, or `[..., M]` where members have different train labels; integers in 0..K-1.

    Raises:
        ValueError: no probabilities, or labels outside 0..K-1 or of another shape.

    Source: Paul, Ganguli & Dziugaite, 'Deep learning on a data diet' (2021), definition 2.2.

    >>> el2n([[1.0, 0.0], [1.0, 0.0]], labels=[0, 1])
    array([0.       , 1.4142135], dtype=float32)
    """
    checked = as_probabilities(probabilities)
    classes = as_labels(labels, checked.shape[:-1], checked.shape[-1])
    norms = np.empty(checked.shape[:-1], np.float32)
    for place, block, of_labels in _blocks(checked, classes):
        block[np.arange(len(block)), of_labels] -= 1
        norms[place] = np.sqrt(np.einsum("mk,mk->m", block, block))
    return norms


def el2n_bounds(
    label_probability: Shaped[Any, "*N M"], num_classes: int
) -> tuple[Float[np.ndarray, "*N M"], Float[np.ndarray, "*N M"]]:
    """Between which numbers EL2N lies, where only the label's probability is recorded.

    `(1 - p) sqrt(K / (K - 1))`, where the rest is spread evenly over the other classes, and
    `(1 - p) sqrt(2)`, where one other class has it all. Both are the exact value for two classes.
    They rank examples as the label's probability does; only `el2n` knows how the rest is spread.

    Args:
        label_probability: of any shape, in [0, 1].
        num_classes: K, at least 2.

    Raises:
        ValueError: outside [0, 1], or fewer than 2 classes.

    >>> [bound.round(3).tolist() for bound in el2n_bounds([[0.5, 1.0]], num_classes=5)]
    [[[0.559, 0.0]], [[0.707, 0.0]]]
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    rest = 1 - as_numbers("label_probability", label_probability, 0, 1)
    return rest * (num_classes / (num_classes - 1)) ** 0.5, rest * 2**0.5


def _blocks(
    outputs: Num[np.ndarray, "*N M K"], labels: Int[np.ndarray, "*N M"]
) -> Iterator[
    tuple[tuple[int | slice, ...], Float[np.ndarray, "block K"], Int[np.ndarray, " block"]]
]:
    """Blocks of examples: where in `[..., M]` it lies, a copy of its outputs, its labels."""
    *leading, num_examples, num_classes = outputs.shape
    width = max(1, _BLOCK_SIZE // num_classes)
    for of_member in np.ndindex(*leading):
        for start in range(0, num_examples, width):
            place = (*of_member, slice(start, start + width))
            yield place, outputs[place].astype(np.float32), labels[place]

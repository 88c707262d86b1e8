"""What an extent keeps of every example beside its predicted class, on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float16, Int

from ensemble_jax.options import Quantity

_FLOAT16 = jnp.finfo(jnp.float16)


class Answers(NamedTuple):
    """What one network says of a batch.

    Attributes:
        logits: `[B, K]` float32, its outputs, whatever loss it is trained with.
        labels: `[B]`, those of the data set; None for examples without labels.
        losses: `[B]` float32, those whose mean is `SplitRecord.loss`; None without labels.
    """

    logits: Float[Array, "B K"]
    labels: Int[Array, " B"] | None = None
    losses: Float[Array, " B"] | None = None

    @property
    def at_label(self) -> Array:
        """`[B, K]`, whether a class is the label."""
        assert self.labels is not None
        return jax.nn.one_hot(self.labels, self.logits.shape[-1], dtype=bool)

    @property
    def log_probabilities(self) -> Float[Array, "B K"]:
        """The logarithm of the softmax, as precise where a probability vanishes as elsewhere."""
        return jax.nn.log_softmax(self.logits)


def record_quantities(
    quantities: Sequence[Quantity], answers: Answers
) -> dict[str, Float16[Array, "B ..."]]:
    """Some quantities of a batch, `[B]` or `[B, K]`, by their names.

    They are computed in float32 and rounded to float16, whose relative spacing is at most 2^-10,
    and whose spacing near 0 is 6e-8. Values beyond its range, +-65504, are clipped. NaN stays.

    Raises:
        AssertionError: if one of them needs labels and there are none.
    """
    return {quantity.value: _rounded(_COMPUTE[quantity](answers)) for quantity in quantities}


def _rounded(x):
    return jnp.clip(x.astype(jnp.float32), _FLOAT16.min, _FLOAT16.max).astype(jnp.float16)


def _label_probability(answers):
    of_label = jnp.where(answers.at_label, answers.log_probabilities, 0).sum(-1)
    return jnp.exp(of_label)


def _margin(answers):
    """A margin is never rounded to 0, since its sign says whether the label alone is predicted."""
    label = jnp.where(answers.at_label, answers.logits, 0).sum(-1)
    other = jnp.where(answers.at_label, -jnp.inf, answers.logits).max(-1)
    margin = label - other
    least = jnp.float32(_FLOAT16.smallest_subnormal)
    return jnp.where(jnp.abs(margin) >= least, margin, jnp.sign(margin) * least)


def _loss(answers):
    assert answers.losses is not None
    return answers.losses


def _entropy(answers):
    log_probabilities = answers.log_probabilities
    probabilities = jnp.exp(log_probabilities)
    # A class whose logit is -inf has no part in it.
    return jnp.where(probabilities == 0, 0, -probabilities * log_probabilities).sum(-1)


_COMPUTE: dict[Quantity, Callable[[Answers], Float[Array, "B ..."]]] = {
    Quantity.LABEL_PROBABILITY: _label_probability,
    Quantity.MARGIN: _margin,
    Quantity.LOSS: _loss,
    Quantity.ENTROPY: _entropy,
    Quantity.PROBABILITIES: lambda answers: jax.nn.softmax(answers.logits),
    Quantity.LOGITS: lambda answers: answers.logits,
}

"""What the paper's networks share: convolutions from `ops`, dropout with a traced rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Int

from ensemble_jax import ops

Activation = Callable[[jax.Array], jax.Array]
Pooling = Callable[[jax.Array], jax.Array]

glorot_uniform = nn.initializers.xavier_uniform()


class TrainingPass(NamedTuple):
    """What sets a forward pass of training apart from one of evaluation.

    Attributes:
        dropout_scale: multiplies every dropout rate of the architecture.
        first_example: the place in its batch of the first example; batches may come in parts.
    """

    dropout_scale: Float[Array, ""] | float = 1.0
    first_example: Int[Array, ""] | int = 0


class Dropout(nn.Module):
    """Dropout from the stream 'dropout'; the identity in evaluation.

    Attributes:
        rate: the architecture's, in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "B ..."], training: TrainingPass | None
    ) -> Float[Array, "B ..."]:
        """Drop entries of `inputs` in training."""
        if training is None:
            return inputs
        key = self.make_rng("dropout")
        return ops.dropout(inputs, self.rate * training.dropout_scale, key, training.first_example)


def convolution_layer(
    convolution: ops.Convolution, features: int, size: int, padding: str = "SAME"
) -> nn.Conv:
    """An ordinary Flax convolution that computes with one of `ops`."""

    def conv_general_dilated(inputs, kernel, strides, padding, **_):
        pads = lax.padtype_to_pads(inputs.shape[1:3], kernel.shape[:2], strides, padding)
        (top, bottom), (left, right) = pads
        return convolution(inputs, kernel, tuple(strides), ((top, bottom), (left, right)))

    return nn.Conv(
        features,
        (size, size),
        padding=padding,
        kernel_init=glorot_uniform,
        conv_general_dilated=conv_general_dilated,
    )

"""What the paper's networks share: convolutions from `ops`, dropout with a traced rate."""

from __future__ import annotations

from collections.abc import Callable

import jax
from flax import linen as nn
from jax import lax

from ensemble_jax import ops

Activation = Callable[[jax.Array], jax.Array]
Pooling = Callable[[jax.Array], jax.Array]

glorot_uniform = nn.initializers.xavier_uniform()


class Dropout(nn.Module):
    """Dropout from the stream 'dropout'; the identity in evaluation."""

    rate: float | jax.Array

    @nn.compact
    def __call__(self, inputs: jax.Array, training: bool) -> jax.Array:
        """Drop entries of `inputs` where `training`."""
        return ops.dropout(inputs, self.rate, self.make_rng("dropout")) if training else inputs


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

"""Layers that know a training pass, and what activations and initialisers stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Int

from ensemble_jax import ops
from ensemble_jax.options import Activation, Initialiser

ACTIVATIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    Activation.ELU: ops.elu,
    Activation.RELU: nn.relu,
    Activation.LEAKY_RELU: nn.leaky_relu,
    Activation.GELU: nn.gelu,
    Activation.TANH: nn.tanh,
    Activation.SIGMOID: nn.sigmoid,
    Activation.IDENTITY: lambda x: x,
}

INITIALISERS: dict[Initialiser, nn.initializers.Initializer] = {
    Initialiser.GLOROT_UNIFORM: nn.initializers.glorot_uniform(),
    Initialiser.GLOROT_NORMAL: nn.initializers.glorot_normal(),
    Initialiser.HE_UNIFORM: nn.initializers.he_uniform(),
    Initialiser.HE_NORMAL: nn.initializers.he_normal(),
    Initialiser.LECUN_UNIFORM: nn.initializers.lecun_uniform(),
    Initialiser.LECUN_NORMAL: nn.initializers.lecun_normal(),
    Initialiser.TRUNCATED_NORMAL: nn.initializers.truncated_normal(0.05),
}


class TrainingPass(NamedTuple):
    """What sets a forward pass of training apart from one of evaluation.

    Attributes:
        dropout_scale: multiplies every dropout rate of the architecture.
        first_example: the place in its batch of the first example; batches may come in parts.
        weights: of the examples in the averages over the batch, 0 for padding; None where all
            examples count the same.
    """

    dropout_scale: Float[Array, ""] | float = 1.0
    first_example: Int[Array, ""] | int = 0
    weights: Float[Array, " B"] | None = None


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
        return ops.dropout(inputs, self.rate * training.dropout_scale, key)


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy, 2015) whose statistics know of padding.

    In training each channel is normalised by its mean and variance over the batch's examples, each
    with its weight, and all of their pixels; a pass without weights counts every example once. In
    evaluation the averages kept during training are used. As in PyTorch, these start at 0 and 1 and
    move a tenth of the way to each batch's statistics, the variance there being the unbiased one:
    divided by the number of entries less one.

    Variables: `scale` and `bias` in `params`, `mean` and `var` in `batch_stats`, all `[C]`.
    """

    momentum = 0.9  # the share of the kept average that stays; PyTorch calls 0.1 its momentum
    epsilon = 1e-5

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "B ... C"], training: TrainingPass | None
    ) -> Float[Array, "B ... C"]:
        """Inputs of mean `bias` and deviation `scale`, close to it, in each channel."""
        shape, dtype = inputs.shape[-1:], inputs.dtype
        # In float32 whatever the precision: sums of a batch have more digits than bfloat16.
        inputs = inputs.astype(jnp.float32)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        kept_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        kept_variance = self.variable("batch_stats", "var", jnp.ones, shape)
        if training is None:
            mean, variance = kept_mean.value, kept_variance.value
        else:
            mean, variance, count = _moments(inputs, training.weights)
            unbiased = variance * (count / jnp.maximum(count - 1, 1))
            for kept, new in ((kept_mean, mean), (kept_variance, unbiased)):
                kept.value = self.momentum * kept.value + (1 - self.momentum) * new
        factor = scale * lax.rsqrt(variance + self.epsilon)
        return ((inputs - mean) * factor + bias).astype(dtype)


def _moments(inputs, weights):
    """Mean and variance `[C]` of each channel, and how many entries they are taken of."""
    axes = tuple(range(inputs.ndim - 1))
    ones = jnp.ones(len(inputs), inputs.dtype)
    # A step of padding alone changes nothing, but what it computes must be finite.
    weights = ones if weights is None else jnp.where(weights.any(), weights, ones)
    weights = weights.reshape(-1, *[1] * (inputs.ndim - 1))
    count = weights.sum() * inputs[0, ..., 0].size
    mean = (weights * inputs).sum(axes) / count
    # In a second pass: the mean of the squares would lose what is small against the mean.
    variance = (weights * (inputs - mean) ** 2).sum(axes) / count
    return mean, variance, count

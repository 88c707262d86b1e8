"""The paper's optimizers, with a learning rate that decays in steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from ensemble_jax.options import Optimizer

Scalar = Shaped[Array | np.ndarray, "..."] | float
"""A number of one member, or `[N]` numbers before they are lifted."""


class Settings(NamedTuple):
    """What may differ from member to member without changing a shape; scalars of one member.

    Attributes:
        learning_rate: at epoch 0, above 0.
        decay_factor: what the learning rate is divided by every `decay_epochs` epochs, at least 1.
        decay_epochs: epochs between two decays, at least 1.
        momentum: of the optimizer `momentum`, in [0, 1); the others ignore it.
        l2: adds `l2 * sum(kernel ** 2)` over all kernels to the loss that is minimised, at least 0.
        dropout_scale: multiplies the architecture's dropout rates; 0 switches dropout off.
    """

    learning_rate: Scalar
    decay_factor: Scalar
    decay_epochs: Scalar
    momentum: Scalar
    l2: Scalar
    dropout_scale: Scalar


def decayed_learning_rate(settings: Settings, epoch: Int[Array, ""] | int) -> Float[Array, ""]:
    """`learning_rate / decay_factor ** floor(epoch / decay_epochs)`, with epochs counted from 0."""
    decays = jnp.asarray(epoch // settings.decay_epochs, jnp.float32)
    return jnp.asarray(settings.learning_rate) / jnp.asarray(settings.decay_factor) ** decays


# AdaDelta's constants are those of M. Zeiler, 'ADADELTA', 2012, as Keras has them.
_RULES: dict[Optimizer, Callable[[Any, Settings], optax.GradientTransformation]] = {
    Optimizer.SGD: lambda rate, _: optax.sgd(rate),
    Optimizer.MOMENTUM: lambda rate, settings: optax.chain(
        optax.trace(settings.momentum), optax.scale_by_learning_rate(rate)
    ),
    Optimizer.ADAM: lambda rate, _: optax.adam(rate),
    Optimizer.ADADELTA: lambda rate, _: optax.adadelta(rate, rho=0.95, eps=1e-7),
}


def make_update_rule(
    optimizer: Optimizer, settings: Settings, learning_rate: Scalar
) -> optax.GradientTransformation:
    """The optimizer of one member; every number may be traced, the state's structure is fixed."""
    return optax.chain(
        optax.add_decayed_weights(2 * jnp.asarray(settings.l2), mask=_kernels),
        _RULES[optimizer](learning_rate, settings),
    )


def _kernels(params):
    """Which parameters L2 applies to: those named 'kernel', not biases or scales."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)

"""Losses of examples: functions `(outputs [B, K], labels [B]) -> [B]`, whose mean is minimised."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ensemble_jax.describing import describe
from ensemble_jax.hyperparameters import Hyperparameters, Scalar

Loss = Callable[..., Float[Array, " B"]]


def cross_entropy(
    outputs: Float[Array, "B K"], labels: Int[Array, " B"], *, smoothing: Scalar = 0.0
) -> Float[Array, " B"]:
    """Softmax cross-entropy in nats, `-sum_k target_k log softmax(outputs)_k`.

    The target is `1 - smoothing` at the label plus `smoothing / K` everywhere (Szegedy et al.,
    'Rethinking the Inception architecture', 2016).

    >>> cross_entropy(jnp.zeros((1, 4)), jnp.array([2])).round(3)
    Array([1.386], dtype=float32)
    """
    hard = optax.softmax_cross_entropy_with_integer_labels(outputs, labels)
    if isinstance(smoothing, float | int) and smoothing == 0:
        return hard
    uniform = jax.nn.logsumexp(outputs, axis=-1) - outputs.mean(-1)
    return jnp.asarray((1 - smoothing) * hard + smoothing * uniform)


def focal(
    outputs: Float[Array, "B K"], labels: Int[Array, " B"], *, gamma: Scalar = 2.0
) -> Float[Array, " B"]:
    """`-(1 - p)^gamma log p` of the label's probability p: Lin et al., 'Focal loss', 2017."""
    losses = optax.softmax_cross_entropy_with_integer_labels(outputs, labels)
    return (1 - jnp.exp(-losses)) ** gamma * losses


def squared_error(outputs: Float[Array, "B K"], labels: Int[Array, " B"]) -> Float[Array, " B"]:
    """`sum_k (outputs_k - [k = label])^2`, as of Hui and Belkin, 2021, without their weights."""
    return ((outputs - jax.nn.one_hot(labels, outputs.shape[-1])) ** 2).sum(-1)


def smoothed_by_member(
    outputs: Float[Array, "B K"], labels: Int[Array, " B"], hp: Hyperparameters
) -> Float[Array, " B"]:
    """`cross_entropy` with each member's own `label_smoothing`."""
    return cross_entropy(outputs, labels, smoothing=hp.get("label_smoothing", 0.0))


def loss_of_member(loss: Loss, hp: Hyperparameters) -> Loss:
    """The loss of one member: where it takes a third argument, it is given the hyperparameters."""
    return partial(_with_hyperparameters, loss, hp) if _num_arguments(loss) > 2 else loss


def recorded_loss(loss: Loss | None) -> Loss:
    """What evaluation records: the loss, or cross-entropy where each member has a loss of its own.

    Only so can the losses of members be compared.
    """
    return cross_entropy if loss is None or _num_arguments(loss) > 2 else loss


def _with_hyperparameters(loss, hp, outputs, labels):
    return loss(outputs, labels, hp)


def check_loss(loss: Any) -> None:
    """See that a loss can be called as one.

    Raises:
        ValueError: if it is no function of outputs and labels.
    """
    if not callable(loss) or not 2 <= _num_arguments(loss) <= 3:
        raise ValueError(
            f"loss must be a function (outputs [B, K], labels [B]) -> [B], or one that takes the "
            f"hyperparameters as well, got {describe(loss)}"
        )


def _num_arguments(function: Callable) -> int:
    """How many arguments are given by position and have no default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return 2
    return sum(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in parameters
    )

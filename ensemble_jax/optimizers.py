"""How gradients become updates: any function `hp -> optax.GradientTransformation`, or a name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import optax

from ensemble_jax.hyperparameters import Hyperparameters
from ensemble_jax.options import Optimizer, Schedule

OptimizerFactory = Callable[[Hyperparameters], optax.GradientTransformation]

# What L2 and weight decay apply to, by the last part of a parameter's name.
_KERNELS = ("kernel", "weight", "embedding")
_DEFAULT_DECAY = 1e-4  # that of optax


def as_optimizer(optimizer: Any) -> OptimizerFactory:
    """The factory that an argument `optimizer` stands for.

    Args:
        optimizer: a function `hp -> optax.GradientTransformation`, a transformation, which is then
            the same for all members, or a name; see `named_optimizer`.

    Raises:
        ValueError: if it is none of these.
    """
    if isinstance(optimizer, str):
        names = [known.value for known in Optimizer]
        if optimizer not in names:
            raise ValueError(f"optimizer must be one of {', '.join(names)}, got {optimizer!r}")
        optimizer = Optimizer(optimizer)
    if isinstance(optimizer, Optimizer):
        return named_optimizer(optimizer, Schedule.CONSTANT)
    if _is_transformation(optimizer):
        return lambda hp: optimizer
    if not callable(optimizer):
        raise ValueError(
            f"optimizer must be a function of the hyperparameters that returns an optax "
            f"transformation, such a transformation, or a name, got {optimizer!r}"
        )

    def checked(hp: Hyperparameters) -> optax.GradientTransformation:
        try:
            rule = optimizer(hp)
        except AttributeError as error:
            raise ValueError(f"optimizer: {error}") from error
        except jax.errors.ConcretizationTypeError as error:
            # Such as `optax.warmup_cosine_decay_schedule(0, hp.learning_rate, ...)`.
            raise ValueError(
                "optimizer: hyperparameters are traced, so that members may differ in them, and "
                "must not decide what Python does, as the peak of some schedules of optax does; "
                "scale a schedule of peak 1: `lambda step: hp.learning_rate * schedule(step)`"
            ) from error
        if not _is_transformation(rule):
            raise ValueError(f"optimizer must return an optax transformation, got {rule!r}")
        return rule

    return checked


def _is_transformation(value: Any) -> TypeGuard[optax.GradientTransformation]:
    """Optax checks its own transformations no other way: anything with `init` and `update`."""
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


# AdaDelta's constants are those of M. Zeiler, 'ADADELTA', 2012, as Keras has them.
_DIRECTIONS: dict[Optimizer, Callable[[Hyperparameters], optax.GradientTransformation]] = {
    Optimizer.SGD: lambda hp: optax.identity(),
    Optimizer.MOMENTUM: lambda hp: optax.trace(hp.get("momentum", 0.9)),
    Optimizer.ADAM: lambda hp: optax.scale_by_adam(),
    Optimizer.ADAMW: lambda hp: optax.scale_by_adam(),
    Optimizer.ADADELTA: lambda hp: optax.scale_by_adadelta(rho=0.95, eps=1e-7),
    Optimizer.RMSPROP: lambda hp: optax.scale_by_rms(),
    Optimizer.LION: lambda hp: optax.scale_by_lion(),
}


def named_optimizer(optimizer: Optimizer, schedule: Schedule = Schedule.STEP) -> OptimizerFactory:
    """An optimizer of optax by name, whose numbers are hyperparameters of the members.

    It reads `learning_rate`, which members must have, and of the following those that they have:
    `momentum` (of MOMENTUM, default 0.9), `l2` (adds `l2 * sum(kernel ** 2)` to the loss that is
    minimised), `weight_decay` (decoupled, of kernels; of ADAMW, LION and MUON 1e-4 by default),
    `clip_norm` (the largest norm of all gradients together, 0 for none), and those of
    `learning_rate_schedule`.
    """

    def factory(hp: Hyperparameters) -> optax.GradientTransformation:
        rate = learning_rate_schedule(schedule, hp)
        decay = hp.get("weight_decay", default_weight_decay(optimizer) or None)
        parts = []
        if "l2" in hp:
            parts.append(optax.add_decayed_weights(2 * jnp.asarray(hp.l2), mask=_kernels))
        if "clip_norm" in hp:
            most = jnp.asarray(hp.clip_norm)
            parts.append(optax.clip_by_global_norm(jnp.where(most > 0, most, math.inf)))
        if optimizer is Optimizer.MUON:
            # Matrices by Muon, everything else by Adam, as optax has it.
            parts.append(optax.contrib.muon(rate, weight_decay=decay))
            return optax.chain(*parts)
        parts.append(_DIRECTIONS[optimizer](hp))
        if decay is not None:
            parts.append(optax.add_decayed_weights(decay, mask=_kernels))
        return optax.chain(*parts, optax.scale_by_learning_rate(rate))

    return factory


def default_weight_decay(optimizer: Optimizer) -> float:
    """The weight decay of an optimizer where members have no number for it."""
    decays = optimizer in (Optimizer.ADAMW, Optimizer.LION, Optimizer.MUON)
    return _DEFAULT_DECAY if decays else 0.0


def learning_rate_schedule(schedule: Schedule, hp: Hyperparameters) -> optax.Schedule:
    """The learning rate of each step, counted from 0.

    After `warmup_epochs` epochs (0 where members have no such number), in which the rate rises
    linearly from 0 to `learning_rate`, STEP divides it by `decay_factor` every `decay_epochs`
    epochs, counted from the first step; CONSTANT leaves it; COSINE lowers it to 0 at the end of the
    training along half a cosine, LINEAR along a line.

    Raises:
        ValueError: if members lack a number that the schedule needs.
    """
    for name in ("learning_rate", *(_STEP_NUMBERS if schedule is Schedule.STEP else ())):
        if name not in hp:
            raise ValueError(f"members need the hyperparameter {name}, which they have not")
    warmup_steps = hp.get("warmup_epochs", 0.0) * hp.steps_per_epoch
    ends = schedule in (Schedule.COSINE, Schedule.LINEAR)
    num_steps = hp.num_steps if ends else 0

    def rate(step):
        after = step - warmup_steps
        if schedule is Schedule.STEP:
            decays = step // hp.steps_per_epoch // hp.decay_epochs
            factor = 1 / jnp.asarray(hp.decay_factor) ** jnp.asarray(decays, jnp.float32)
        elif schedule is Schedule.CONSTANT:
            factor = 1.0
        else:
            done = jnp.clip(after / jnp.maximum(num_steps - warmup_steps, 1), 0, 1)
            factor = (1 + jnp.cos(jnp.pi * done)) / 2 if schedule is Schedule.COSINE else 1 - done
        rising = jnp.where(step < warmup_steps, step / jnp.maximum(warmup_steps, 1e-9), 1.0)
        return hp.learning_rate * factor * rising

    return rate


_STEP_NUMBERS = ("decay_factor", "decay_epochs")


def _kernels(params: Any) -> Any:
    """Which parameters are kernels, not biases or scales."""

    def is_kernel(path, _):
        name = jax.tree_util.keystr(path[-1:], simple=True)
        return name in _KERNELS

    return jax.tree_util.tree_map_with_path(is_kernel, params)

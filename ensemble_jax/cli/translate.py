"""Translates configs, which flags and files fill, into the objects that the library takes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ensemble_jax.cli.dataset import load_data
from ensemble_jax.cli.sweep_config import SweepConfig, groups
from ensemble_jax.cli.train_config import PER_MEMBER, TrainConfig
from ensemble_jax.data import Dataset
from ensemble_jax.describing import plain_text
from ensemble_jax.machine import num_cores
from ensemble_jax.membership import Members, concatenate, members
from ensemble_jax.options import Optimizer, Schedule
from ensemble_jax.sweeping import Collection
from ensemble_jax.task import Training

if TYPE_CHECKING:
    import optax

    from ensemble_jax.hyperparameters import Hyperparameters
    from ensemble_jax.networks import Network

# What every optimizer's schedule and every network may read.
_ALWAYS = ("learning_rate", "decay_factor", "decay_epochs", "momentum", "l2", "dropout_scale")
# Given only if not 0: they cost time or memory, or the optimizer has a default of its own.
_WHERE_GIVEN = ("warmup_epochs", "weight_decay", "clip_norm", "label_smoothing")


def training_of(
    configs: Sequence[TrainConfig], recorded: Mapping[str, Any] | None = None
) -> Training:
    """The training that configs describe, one config for each group of its members.

    Args:
        configs: checked; they differ in nothing but what may differ from member to member.
        recorded: what is written as the run's config; that of the only config by default.
    """
    config = configs[0]
    given = [name for name in _WHERE_GIVEN if any(getattr(c, name) for c in configs)]
    return Training(
        name=f"{config.model.value} on {config.dataset}",
        make_network=functools.partial(network_of, config),
        load_data=functools.partial(load_data, config),
        members=concatenate([members_of(c, [*_ALWAYS, *given]) for c in configs]),
        optimizer=functools.partial(_optimizer, config.optimizer, config.schedule),
        loss=None,
        batch_size=config.batch_size,
        extents=tuple(config.extents),
        config=config.effective() if recorded is None else recorded,
        augmentation=tuple(config.augmentation),
        record=tuple(config.record),
        protocol=config.protocol,
        plan=config.plan,
        precision=config.precision,
        evaluation_batch_size=config.evaluation_batch_size,
        pool_images=config.pool_images,
        workers=config.workers or num_cores(),
        checkpoint_extents=config.checkpoint_extents,
        checkpoint_minutes=config.checkpoint_minutes,
        defaults=TrainConfig().effective(),
    )


def collections_of(config: SweepConfig) -> list[Collection]:
    """What a sweep trains, one collection for each group of settings."""
    return [
        Collection(name, _training_of_settings(config, positions), positions)
        for name, positions in groups(config).items()
    ]


def _training_of_settings(config: SweepConfig, positions: Sequence[int]) -> Training:
    """The collection of the settings at these positions."""
    settings = [config.settings[position] for position in positions]
    configs = [config.with_values(values) for values in settings]
    own = [
        {name: plain_text(value) for name, value in values.items() if name in PER_MEMBER}
        for values in settings
    ]
    shared = configs[0].effective()
    for name in own[0]:
        del shared[name]
    return training_of(configs, shared | {"settings": own})


def members_of(config: TrainConfig, hyperparameters: Sequence[str]) -> Members:
    """The members of a config, with some of its fields as their hyperparameters."""
    return members(
        config.member_ids,
        seed=config.seed,
        tied=config.tied,
        partitions=config.partitions,
        folds=config.folds,
        subset_fraction=config.subset_fraction,
        label_noise=config.member_label_noise,
        **{name: _value(config, name) for name in hyperparameters},
    )


def _value(config: TrainConfig, name: str) -> float:
    """A hyperparameter of a config; a weight decay of 0 is the optimizer's own default.

    Otherwise the other members of a collection would decide whether the optimizer is given any.
    """
    given = getattr(config, name)
    if name != "weight_decay" or given:
        return given
    from ensemble_jax.optimizers import default_weight_decay

    return default_weight_decay(config.optimizer)


def _optimizer(
    optimizer: Optimizer, schedule: Schedule, hp: Hyperparameters
) -> optax.GradientTransformation:
    # JAX is imported late, so that a mistake is answered at once.
    from ensemble_jax.optimizers import named_optimizer

    return named_optimizer(optimizer, schedule)(hp)


def network_of(config: TrainConfig, dataset: Dataset) -> Network:
    """The network of one member.

    Raises:
        ValueError: if the architecture cannot take the examples, or has not such an option.
    """
    from ensemble_jax.networks import as_network
    from ensemble_jax.zoo import make_architecture

    architecture = make_architecture(
        config.model,
        num_classes=dataset.num_classes,
        input_shape=dataset.input_shape,
        options=config.architecture_options,
    )
    return as_network(architecture)

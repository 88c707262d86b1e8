"""The members of a job: what each is given, as arrays for training and as it is recorded."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.data import Dataset
from ensemble_jax.data.subsets import (
    noisy_labels,
    partition_indices,
    stack_padded,
    subset_indices,
)
from ensemble_jax.options import Source
from ensemble_jax.runs import TrainingSets

if TYPE_CHECKING:
    from ensemble_jax.training import Member


class Roster(NamedTuple):
    """All members of a job.

    Attributes:
        ids: `[N]`, by which the run names them.
        members: what they are trained with, `[N, ...]`.
        settings: what is recorded of each, `[N]` values by name.
        training_sets: the examples and labels of each, where they are not those of the data set.
        remarks: what the user should know, in lines.
    """

    ids: Sequence[int]
    members: Member
    settings: Mapping[str, list[Any]]
    training_sets: TrainingSets | None
    remarks: tuple[str, ...]


def make_roster(configs: Sequence[TrainConfig], dataset: Dataset) -> Roster:
    """The members of all configs, one config after another.

    With one config the run names a member by the number that its randomness comes from. With
    several, these numbers repeat, so that every setting has the same members; they are recorded as
    `number`, the position of the config as `setting`, and the run counts the members through.

    Raises:
        ValueError: if there are more partitions than training examples, or a batch takes more
            examples than a member has.
    """
    rows = [(i, config, number) for i, config in enumerate(configs) for number in config.member_ids]
    numbers = np.array([number for _, _, number in rows], np.uint32)
    recorded: dict[str, list[Any]] = {}
    if len(configs) > 1:
        recorded |= {"setting": [i for i, _, _ in rows], "number": numbers.tolist()}
    shared = configs[0]
    if shared.partitions:
        recorded["part"] = [number % shared.partitions for _, _, number in rows]
    subsets = _subsets(rows, len(dataset.train))
    _check_batch_size(shared, subsets, dataset)
    labels = _labels(rows, dataset)
    members, settings = _make_members(rows, numbers, subsets, labels)
    return Roster(
        shared.member_ids if len(configs) == 1 else range(len(rows)),
        members,
        recorded | settings,
        _training_sets(subsets, labels, len(rows), len(dataset.train)),
        _partition_remarks(shared.partitions, len(dataset.train)),
    )


def _make_members(rows, numbers, subsets, labels):
    """The members, and their numbers as they are recorded."""
    from ensemble_jax.training import Member, Settings, StreamIds, Subset  # which imports JAX

    configs = [config for _, config, _ in rows]
    settings = Settings(
        **{
            name: np.array([getattr(config, name) for config in configs], dtype)
            for name, dtype in {
                "learning_rate": np.float32,
                "decay_factor": np.float32,
                "decay_epochs": np.int32,
                "momentum": np.float32,
                "l2": np.float32,
                "dropout_scale": np.float32,
            }.items()
        }
    )
    streams = StreamIds(
        *(
            np.array([_stream(source, config, number) for _, config, number in rows], np.uint32)
            for source in (Source.INITIALISATION, Source.ORDER, Source.DROPOUT, Source.AUGMENTATION)
        )
    )
    seeds = np.array([config.seed for config in configs], np.uint32)
    subset = None if subsets is None else Subset(*stack_padded(subsets))
    members = Member(seeds, streams, settings, subset, labels)
    recorded = {name: values.tolist() for name, values in settings._asdict().items()}
    return members, recorded | {"seed": seeds.tolist()}


def _stream(source: Source, config: TrainConfig, number: int) -> int:
    """Whose randomness a member has."""
    return 0 if source.value in config.tied else number


def _subsets(rows, num_examples):
    """The training examples of each member; None if all have all."""
    if all(config.partitions == 0 and config.subset_fraction == 1 for _, config, _ in rows):
        return None
    parts_of = functools.cache(partition_indices)

    def subset_of(config: TrainConfig, number: int):
        if config.partitions:
            parts = parts_of(config.seed, num_examples, config.partitions)
            return parts[number % config.partitions]
        whose = _stream(Source.SUBSET, config, number)
        return subset_indices(config.seed, whose, num_examples, config.subset_fraction)

    return [subset_of(config, number) for _, config, number in rows]


def _check_batch_size(config, subsets, dataset):
    most = len(dataset.train) if subsets is None else min(map(len, subsets))
    if config.batch_size > most:
        whose = "the training examples" if subsets is None else "the fewest that a member has"
        raise ValueError(
            f"batch_size must lie in 1..{most} ({whose} of {dataset.name}), got {config.batch_size}"
        )


def _labels(rows, dataset):
    """The labels `[N, M]` that each member is taught; None if these are the data set's."""
    if all(config.member_label_noise == 0 for _, config, _ in rows):
        return None
    return np.stack(
        [
            noisy_labels(
                config.seed,
                _stream(Source.LABELS, config, number),
                dataset.train.labels,
                dataset.num_classes,
                config.member_label_noise,
            )
            for _, config, number in rows
        ]
    )


def _training_sets(subsets, labels, num_members, num_examples):
    if subsets is None and labels is None:
        return None
    trained_on = np.ones((num_members, num_examples), bool)
    if subsets is not None:
        trained_on[:] = False
        for row, subset in zip(trained_on, subsets, strict=True):
            row[subset] = True
    return TrainingSets(trained_on, labels)


def _partition_remarks(num_parts, num_examples):
    if num_parts == 0 or num_examples % num_parts == 0:
        return ()
    size, larger = divmod(num_examples, num_parts)
    return (
        f"partitions: {num_examples} training examples do not divide into {num_parts} parts, so "
        f"{larger} have {size + 1} and {num_parts - larger} have {size}",
    )

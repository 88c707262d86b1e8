"""What is to be trained: the arguments of `train` or the fields of a config, checked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble_jax.data import Dataset, load_dataset
from ensemble_jax.data.sources import check_dataset_name
from ensemble_jax.describing import describe
from ensemble_jax.machine import num_cores
from ensemble_jax.membership import Members
from ensemble_jax.membership import members as make_members
from ensemble_jax.options import (
    AUTO_PRECISION,
    RECORD,
    Model,
    Protocol,
    parse_augmentations,
    parse_record,
)
from ensemble_jax.plan import parse_plan_request

if TYPE_CHECKING:
    from ensemble_jax.losses import Loss
    from ensemble_jax.networks import Network
    from ensemble_jax.optimizers import OptimizerFactory
    from ensemble_jax.training import Observer

# The values of fields that the configs of older runs lack.
_ONCE_ABSENT = {"folds": 0, "precision": AUTO_PRECISION}


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """A collection to train: what `train` takes, checked and complete.

    Attributes:
        name: of what is trained, for messages.
        make_network: the network of one member for the examples of a data set.
        load_data: the data set, which is loaded when it is needed.
        members: all N.
        optimizer: from hyperparameters to an optax transformation.
        loss: of examples; None for cross-entropy, with the `label_smoothing` of members that have
            such a hyperparameter.
        batch_size: examples per step.
        extents: the numbers of epochs after which all members are evaluated and recorded.
        config: what is written with the run, and compared when it is continued; its `members` and
            `num_members` are those of `members`.
        augmentation: as `parse_augmentations` reads it.
        record: what is recorded of every example, as `parse_record` reads it.
        protocol: one collection measured at all extents, or one for each.
        plan: as `parse_plan_request` reads it, with the precision.
        precision: how products are rounded, or `auto`.
        evaluation_batch_size: the most examples of a forward pass in evaluation.
        normalise: whether inputs are normalised by the mean and std of the training examples.
        pool_images: the most images on a device at once, 0 for as many as fit.
        workers: threads that read and decode images, at least 1.
        checkpoint_extents: a checkpoint is due after so many extents, 0 for never.
        checkpoint_minutes: one is also due after so many minutes, 0 for never.
        observer: is told of progress beside the progress bar; None for nobody.
        defaults: the value of each field in runs whose config lacks it.
        must_read: hyperparameters that the optimizer or the loss must read, because a sweep varies
            them.
        whole: the run that this is a part of and whose plan it takes; None for a run by itself.
        parts: first and end of the members that further folders of this run hold from its start.
    """

    name: str
    make_network: Callable[[Dataset], Network]
    load_data: Callable[[], Dataset]
    members: Members
    optimizer: OptimizerFactory
    loss: Loss | None
    batch_size: int
    extents: tuple[int, ...]
    config: Mapping[str, Any]
    augmentation: tuple[str, ...] = ()
    record: tuple[str, ...] = RECORD
    protocol: Protocol = Protocol.TRAJECTORY
    plan: str = "auto"
    precision: str = AUTO_PRECISION
    evaluation_batch_size: int = 500
    normalise: bool = True
    pool_images: int = 0
    workers: int = dataclasses.field(default_factory=num_cores)
    checkpoint_extents: int = 1
    checkpoint_minutes: float = 10.0
    observer: Observer | None = None
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    must_read: Sequence[str] = ()
    whole: Path | None = None
    parts: Sequence[tuple[int, int]] = ()

    def of_members(self, ids: range) -> Training:
        """The training of some of the members alone."""
        config = {**self.config, "members": list(ids), "num_members": len(ids)}
        return dataclasses.replace(self, members=self.members.of_ids(ids), config=config)

    @property
    def depends_on_end(self) -> bool:
        """Whether the optimizer reads how many steps there are in all, as some schedules do."""
        import jax

        from ensemble_jax.collection import use_all_cores
        from ensemble_jax.hyperparameters import Hyperparameters

        use_all_cores()  # before the optimizer makes arrays
        values = {name: x[0] for name, x in self.members.hyperparameters.items()}
        hp = Hyperparameters(values, num_steps=1, steps_per_epoch=1)

        def make() -> int:
            self.optimizer(hp)
            return 0

        # The optimizer may make arrays. Under `eval_shape` JAX does not look for devices, since
        # other processes may still have to connect.
        jax.eval_shape(make)
        return "num_steps" in hp.read

    def __str__(self) -> str:
        return f"{len(self.members)} members of {self.name}, {self.extents[-1]} epochs"


def make_training(
    network: Any,
    data: Dataset | str | Callable[[], Dataset],
    *,
    members: Members | int,
    optimizer: Any,
    loss: Loss | None,
    batch_size: int,
    extents: Sequence[int],
    augment: Sequence[str],
    record: Sequence[str],
    plan: str,
    precision: str,
    observer: Observer | None,
    protocol: str,
    normalise: bool,
    evaluation_batch_size: int,
    pool_images: int,
    workers: int,
    checkpoint_extents: int,
    checkpoint_minutes: float,
    must_read: Sequence[str] = (),
) -> Training:
    """What `train` takes, checked and complete.

    Raises:
        ValueError: naming what was given and what is allowed.
    """
    from ensemble_jax.losses import check_loss
    from ensemble_jax.optimizers import as_optimizer

    if not isinstance(members, Members):
        members = make_members(members, learning_rate=1e-3)
    if loss is not None:
        check_loss(loss)
    _check_extents(extents)
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("evaluation_batch_size", evaluation_batch_size, 1),
        ("pool_images", pool_images, 0),
        ("workers", workers, 0),
        ("checkpoint_extents", checkpoint_extents, 0),
        ("checkpoint_minutes", checkpoint_minutes, 0),
    ):
        kinds = (int, np.integer, float) if name == "checkpoint_minutes" else (int, np.integer)
        if not isinstance(value, kinds) or isinstance(value, bool) or not value >= least:
            raise ValueError(f"{name} must be a number of at least {least}, got {value!r}")
    parse_plan_request(plan, precision)
    if isinstance(augment, str):
        raise ValueError(f"augment must be several texts, such as ('flip',), got {augment!r}")
    parse_augmentations(augment)
    parse_record(record)
    protocols = [known.value for known in Protocol]
    if protocol not in protocols:
        raise ValueError(f"protocol must be one of {', '.join(protocols)}, got {protocol!r}")
    load_data = _check_data(data)
    config = {
        "network": describe(network),
        "dataset": data.name if isinstance(data, Dataset) else describe(data),
        "optimizer": describe(optimizer),
        "loss": "cross_entropy" if loss is None else describe(loss),
        "batch_size": batch_size,
        "extents": list(extents),
        "augmentation": list(augment),
        "record": list(record),
        "plan": plan,
        "precision": precision,
        "protocol": protocol,
        "normalise": normalise,
        "pool_images": pool_images,
        "evaluation_batch_size": evaluation_batch_size,
        "hyperparameters": sorted(members.hyperparameters),
        "partitions": members.partitions,
        "folds": members.folds,
        "subset_fraction": members.subset_fraction,
        "members": list(members.ids),
        "num_members": len(members),
    }
    return Training(
        f"{describe(network).partition('(')[0]} on {config['dataset']}",
        functools.partial(network_for, network),
        load_data,
        members,
        as_optimizer(optimizer),
        loss,
        batch_size,
        tuple(extents),
        config,
        tuple(augment),
        tuple(record),
        Protocol(protocol),
        plan,
        precision,
        evaluation_batch_size,
        normalise,
        pool_images,
        workers or num_cores(),
        checkpoint_extents,
        checkpoint_minutes,
        observer,
        defaults=_ONCE_ABSENT,
        must_read=must_read,
    )


def _check_data(data: Dataset | str | Callable[[], Dataset]) -> Callable[[], Dataset]:
    if isinstance(data, Dataset):
        return lambda: data
    if isinstance(data, str):
        check_dataset_name(data)
        return functools.partial(load_dataset, data)
    if not callable(data):
        raise ValueError(
            f"data must be a Dataset, such as Dataset.from_arrays(...), or the name of one, "
            f"got {type(data).__name__}"
        )
    return data


def _check_extents(extents):
    if isinstance(extents, str) or not isinstance(extents, Collection):
        raise ValueError(f"extents must be several numbers of epochs, got {extents!r}")
    if any(isinstance(e, bool) or not isinstance(e, int | np.integer) or e < 0 for e in extents):
        raise ValueError(f"extents must be numbers of epochs of at least 0, got {list(extents)}")
    if len(extents) == 0 or list(extents) != sorted(set(extents)):
        raise ValueError(f"extents must be increasing, got {list(extents)}")


def network_for(network: Any, dataset: Dataset) -> Network:
    """The network that an argument `network` stands for.

    Raises:
        ValueError: if it stands for none, or cannot take the examples of the data set.
    """
    from ensemble_jax.networks import as_network
    from ensemble_jax.zoo import make_architecture

    if isinstance(network, str):
        names = [known.value for known in Model]
        if network not in names:
            raise ValueError(f"network must be one of {', '.join(names)}, got {network!r}")
        network = Model(network)
    if isinstance(network, Model):
        network = make_architecture(
            network, num_classes=dataset.num_classes, input_shape=dataset.input_shape
        )
    return as_network(network)

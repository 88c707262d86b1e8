"""The members of a collection: what sets each apart, and what it is trained on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped, UInt32

from ensemble_jax.data import Dataset
from ensemble_jax.data.subsets import (
    fold_indices,
    fold_size,
    noisy_labels,
    partition_indices,
    subset_indices,
    subset_size,
)
from ensemble_jax.options import Source
from ensemble_jax.runs import TrainingSets
from ensemble_jax.runs.manifest import MOST_MEMBERS

if TYPE_CHECKING:
    from ensemble_jax.training import Member

_MOST_SEED = 2**32 - 1
_MOST = 2**31 - 1
MEMBER_ARGUMENTS = ("seed", "tied", "partitions", "folds", "subset_fraction", "label_noise")
"""The arguments of `members` beside the ids and the hyperparameters."""

# The names of the run's constants in `Hyperparameters`, and of what is recorded beside them.
_TAKEN = ("num_steps", "steps_per_epoch", "seed", "setting", "number", "part", "fold")


@dataclass(frozen=True, eq=False)
class Members:
    """N networks that are trained independently; made by `members`.

    Attributes:
        ids: `[N]`, by which a run names them.
        numbers: `[N]`; seed and number together determine a member's randomness. Members of equal
            seed and number differ in their hyperparameters only.
        seeds: `[N]`.
        hyperparameters: `[N]` float32 or int32 numbers by name.
        tied: `[N]`, for each member the sources of randomness that it draws by number 0 instead of
            its own number, and so shares with others.
        partitions: P, into how many parts the training set is split; member number i is trained on
            part `i % P`. 0 for no parts.
        folds: K, of a cross-validation; member number i is trained on all but fold `i % K`. 0 for
            no cross-validation.
        subset_fraction: the share of the training set that each is trained on, drawn for each.
        label_noise: `[N]`, the probability with which each train label of a member is replaced by
            a random class.
        recorded: further `[N]` values by name that a run is to record of them.
    """

    ids: range
    numbers: UInt32[np.ndarray, " N"]
    seeds: UInt32[np.ndarray, " N"]
    hyperparameters: Mapping[str, Shaped[np.ndarray, " N"]]
    tied: Sequence[frozenset[Source]]
    partitions: int = 0
    folds: int = 0
    subset_fraction: float = 1.0
    label_noise: Sequence[float] = ()
    recorded: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        """N."""
        return len(self.ids)

    def of_ids(self, ids: range) -> Members:
        """Some of the members, unchanged.

        Raises:
            ValueError: if there is no such member.
        """
        if not ids or ids[0] < self.ids[0] or ids[-1] > self.ids[-1]:
            raise ValueError(f"members must be of {self.ids[0]}..{self.ids[-1]}, got {ids}")
        rows = slice(ids[0] - self.ids[0], ids[-1] + 1 - self.ids[0])
        return dataclasses.replace(
            self,
            ids=ids,
            numbers=self.numbers[rows],
            seeds=self.seeds[rows],
            hyperparameters={name: x[rows] for name, x in self.hyperparameters.items()},
            tied=self.tied[rows],
            label_noise=self.label_noise[rows],
            recorded={name: x[rows] for name, x in self.recorded.items()},
        )

    @property
    def recorded_values(self) -> dict[str, list[Any]]:
        """What a run records of each: `[N]` values by name."""
        values = {name: x.tolist() for name, x in self.hyperparameters.items()}
        parts = {"part": (self.numbers % self.partitions).tolist()} if self.partitions else {}
        if self.folds:
            parts = {"fold": (self.numbers % self.folds).tolist()}
        recorded = {name: list(values) for name, values in self.recorded.items()}
        return recorded | parts | values | {"seed": self.seeds.tolist()}

    def num_examples(self, num_train: int) -> int:
        """The training examples of each member, of so many in the training set."""
        if self.partitions:
            return num_train // self.partitions
        if self.folds:
            return num_train - fold_size(num_train, self.folds)
        return subset_size(num_train, self.subset_fraction)

    def source_ids(self, source: Source) -> UInt32[np.ndarray, " N"]:
        """The number by which each member draws a source of randomness."""
        tied = np.array([source in sources for sources in self.tied])
        return np.where(tied, np.uint32(0), self.numbers).astype(np.uint32)


def members(
    ids: int | range,
    *,
    seed: int | Sequence[int] = 0,
    tied: Sequence[str] = (),
    partitions: int = 0,
    folds: int = 0,
    subset_fraction: float = 1.0,
    label_noise: float | Sequence[float] = 0.0,
    **hyperparameters: Any,
) -> Members:
    """N members, each of which depends on its seed and its id alone.

    >>> m = members(3, learning_rate=[0.1, 0.2, 0.3], momentum=0.9)
    >>> m.hyperparameters["learning_rate"].tolist()
    [0.10000000149011612, 0.20000000298023224, 0.30000001192092896]
    >>> members(range(10, 20), seed=7).of_ids(range(12, 14)).seeds
    array([7, 7], dtype=uint32)

    Args:
        ids: N for the members 0..N-1, or a range of ids. A member is the same in every collection:
            members 10 to 19 can be trained elsewhere and merged with 0 to 9.
        seed: of all randomness, in 0..2^32-1; one for all or one for each.
        tied: the sources of randomness that all members share, of initialisation, order, dropout,
            augmentation, subset and labels. Members then differ by the other sources alone.
        partitions: P, into how many parts the training set is split at random; member i is trained
            on part `i % P`. 0 trains all on everything.
        folds: K, of a repeated cross-validation: member i is trained on all but fold `i % K` of
            those that are drawn for `i // K`, so that every K members hold out every example.
        subset_fraction: the share of the training set that each member is trained on, drawn at
            random for each; in (0, 1].
        label_noise: the probability with which each train label of a member is replaced by a random
            class, drawn for each; in [0, 1].
        **hyperparameters: numbers that the optimizer, the loss and dropout read: one for all or
            `[N]`. `dropout_scale` multiplies the rates of a network's dropout layers.

    Raises:
        ValueError: naming the argument, what was given and what is allowed.
    """
    if isinstance(ids, int | np.integer) and not isinstance(ids, bool):
        ids = range(int(ids))
    if not (isinstance(ids, range) and ids.step == 1 and ids and 0 <= ids[0] <= ids[-1] <= _MOST):
        raise ValueError(
            f"members must be a number of at least 1, or a range of ids in 0..{_MOST}, got {ids!r}"
        )
    count = len(ids)
    if count > MOST_MEMBERS:
        raise ValueError(f"members must be at most {MOST_MEMBERS}, got {count}")
    sources = [source.value for source in Source]
    for name in tied:
        if name not in sources:
            raise ValueError(f"tied must be of {', '.join(sources)}, got {name!r}")
    seeds = _for_each("seed", seed, count, np.int64)
    if seeds.min() < 0 or seeds.max() > _MOST_SEED:
        wrong = seeds[(seeds < 0) | (seeds > _MOST_SEED)][0]
        raise ValueError(f"seed must lie in 0..{_MOST_SEED}, got {wrong}")
    if partitions < 0:
        raise ValueError(f"partitions must be at least 0, got {partitions}")
    if not 0 < subset_fraction <= 1:
        raise ValueError(f"subset_fraction must lie in (0, 1], got {subset_fraction}")
    if folds < 0 or folds == 1:
        raise ValueError(f"folds must be 0 or at least 2, got {folds}")
    if sum((partitions > 0, folds > 0, subset_fraction != 1)) > 1:
        raise ValueError(
            f"only one of partitions, folds and subset_fraction can say what members are trained "
            f"on, got {partitions}, {folds} and {subset_fraction}"
        )
    noise = _for_each("label_noise", label_noise, count, np.float64)
    if not ((noise >= 0) & (noise <= 1)).all():
        raise ValueError(f"label_noise must lie in [0, 1], got {label_noise}")
    values = {name: _hyperparameter(name, value, count) for name, value in hyperparameters.items()}
    return Members(
        ids,
        np.array(ids, np.uint32),
        seeds.astype(np.uint32),
        values,
        [frozenset(map(Source, tied))] * count,
        partitions,
        folds,
        subset_fraction,
        noise.tolist(),
    )


def varied(group: Members, values: Mapping[str, Any]) -> Members:
    """The members that `members` makes with some of its arguments changed or added.

    Args:
        group: as `members` made them: all have the same sources in common.
        values: arguments of `members` by name, hyperparameters among them.

    Raises:
        ValueError: as `members` does.
    """
    given = {
        "seed": group.seeds,
        "tied": [source.value for source in group.tied[0]],
        "partitions": group.partitions,
        "folds": group.folds,
        "subset_fraction": group.subset_fraction,
        "label_noise": group.label_noise,
        **group.hyperparameters,
    }
    return members(group.ids, **given | dict(values))


def concatenate(groups: Sequence[Members]) -> Members:
    """The members of several groups, trained as one collection: the settings of a sweep.

    The ids of the groups may repeat, so that every setting has the same members. The run numbers
    all members consecutively. It records their ids as `number` and the position of their group as
    `setting`.

    Raises:
        ValueError: if the groups differ in what all members of a collection share.
    """
    first = groups[0]
    for group in groups:
        for name in ("partitions", "folds", "subset_fraction"):
            if getattr(group, name) != getattr(first, name):
                raise ValueError(
                    f"{name} must be the same for all members of a collection, got "
                    f"{getattr(first, name)} and {getattr(group, name)}"
                )
        if group.hyperparameters.keys() != first.hyperparameters.keys():
            raise ValueError("all members of a collection must have the same hyperparameters")
    if len(groups) == 1:
        return first

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(group, name) for group in groups])

    numbers = joined("numbers")
    return Members(
        range(len(numbers)),
        numbers,
        joined("seeds"),
        {
            name: np.concatenate([group.hyperparameters[name] for group in groups])
            for name in first.hyperparameters
        },
        [sources for group in groups for sources in group.tied],
        first.partitions,
        first.folds,
        first.subset_fraction,
        [rate for group in groups for rate in group.label_noise],
        {
            "setting": [i for i, group in enumerate(groups) for _ in group.ids],
            "number": numbers.tolist(),
        },
    )


def _for_each(name, value, count, dtype):
    """`[N]` of a number for all or one for each."""
    try:
        array = np.asarray(value)
        numbers = array.astype(dtype)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be numbers, got {value!r}") from None
    if array.dtype.kind not in "iuf" or not np.array_equal(
        numbers, array, equal_nan=array.dtype.kind == "f"
    ):
        raise ValueError(f"{name} must be {np.dtype(dtype).name} numbers, got {value!r}")
    if numbers.shape not in ((), (count,)):
        raise ValueError(
            f"{name} must be one number or one for each of the {count} members, got the shape "
            f"{numbers.shape}"
        )
    return np.broadcast_to(numbers, (count,))


def _hyperparameter(name, value, count):
    """`[N]` float32, or int32 where integers are given."""
    if name in _TAKEN:
        raise ValueError(f"a hyperparameter must not be called {name}, which a run records itself")
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be a number or one for each member, got {value!r}")
    numbers = _for_each(name, array, count, np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be finite, got {numbers[~np.isfinite(numbers)][0]}")
    floating = array.dtype.kind == "f"
    dtype, limits = (
        (np.float32, np.finfo(np.float32)) if floating else (np.int32, np.iinfo(np.int32))
    )
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        rounded = numbers.astype(dtype)
    vanished = (rounded == 0) & (numbers != 0)
    outside = (numbers < limits.min) | (numbers > limits.max) | vanished
    if outside.any():
        raise ValueError(
            f"{name} must be numbers that {np.dtype(dtype).name} has, got {numbers[outside][0]:g}"
        )
    return rounded


class TrainedOn(NamedTuple):
    """What members are trained with on a data set.

    Attributes:
        members: as arrays `[N, ...]`.
        training_sets: the examples and labels of each, where they are not those of the data set.
        remarks: what the user should know, in lines.
    """

    members: Member
    training_sets: TrainingSets | None
    remarks: tuple[str, ...]


def on_dataset(members: Members, dataset: Dataset, batch_size: int) -> TrainedOn:
    """Give members their examples and labels.

    Raises:
        ValueError: if there are more partitions than training examples, or a batch takes more
            examples than a member has.
    """
    num_examples = len(dataset.train)
    indices = _train_indices(members, num_examples)
    most = members.num_examples(num_examples)
    if not 1 <= batch_size <= most:
        whose = "the training examples" if indices is None else "those of each member"
        raise ValueError(
            f"batch_size must lie in 1..{most} ({whose} of {dataset.name}), got {batch_size}"
        )
    labels = _train_labels(members, dataset)
    # JAX is imported late, so that a mistake is answered at once.
    from ensemble_jax.training import Member, SourceIds

    source_ids = SourceIds(**{name: members.source_ids(Source(name)) for name in SourceIds._fields})
    return TrainedOn(
        Member(members.seeds, source_ids, dict(members.hyperparameters), indices, labels),
        _training_sets(indices, labels, len(members), num_examples),
        _partition_remarks(members.partitions, num_examples),
    )


def _train_indices(members: Members, num_examples: int) -> Int[np.ndarray, "N m"] | None:
    """The training examples of each member; None if all have all.

    All have equally many: a step has one shape for all members, and no step sees padding.
    """
    if not members.partitions and not members.folds and members.subset_fraction == 1:
        return None
    parts_of = functools.cache(partition_indices)
    rows = []
    for seed, number, whose in zip(
        members.seeds.tolist(),
        members.numbers.tolist(),
        members.source_ids(Source.SUBSET).tolist(),
        strict=True,
    ):
        if members.partitions:
            parts = parts_of(seed, num_examples, members.partitions)
            rows.append(parts[number % members.partitions])
        elif members.folds:
            turn, fold = whose // members.folds, number % members.folds
            rows.append(fold_indices(seed, turn, fold, num_examples, members.folds))
        else:
            rows.append(subset_indices(seed, whose, num_examples, members.subset_fraction))
    return np.stack(rows)


def _train_labels(members, dataset):
    """The train labels `[N, M]` of each member; None if these are the data set's."""
    if not any(members.label_noise):
        return None
    whose = members.source_ids(Source.LABELS).tolist()
    return np.stack(
        [
            noisy_labels(seed, number, dataset.train.labels, dataset.num_classes, rate)
            for seed, number, rate in zip(
                members.seeds.tolist(), whose, members.label_noise, strict=True
            )
        ]
    )


def _training_sets(indices, labels, num_members, num_examples):
    if indices is None and labels is None:
        return None
    train_mask = np.ones((num_members, num_examples), bool)
    if indices is not None:
        train_mask[:] = False
        np.put_along_axis(train_mask, indices, True, axis=1)
    return TrainingSets(train_mask, labels)


def _partition_remarks(num_parts, num_examples):
    left = num_examples % num_parts if num_parts else 0
    if not left:
        return ()
    return (
        f"partitions: {num_examples} training examples do not divide into {num_parts} parts of one "
        f"size, so {left} of them, drawn at random, are in none",
    )

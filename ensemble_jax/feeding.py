"""The examples of a training on the devices: all at once, or in pools where not all of them fit."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ensemble_jax.collection import Placement
from ensemble_jax.data import Dataset
from ensemble_jax.data.pools import Pools
from ensemble_jax.planning import free_bytes
from ensemble_jax.pool_feed import PoolFeed
from ensemble_jax.training import Examples, Member, place_examples

if TYPE_CHECKING:
    from ensemble_jax.task import Training

# Shares of the free memory: what all examples may take, and what two pools take where all do not
# fit. The rest is for the members.
_SHARE_OF_ALL, _SHARE_OF_POOLS = 0.5, 0.25
# The bits of evaluated pools are put one behind the other, in whole bytes.
_BITS = 8


class PlacedSplits(NamedTuple):
    """What members are trained on, and what they are evaluated on by the name of the split."""

    train: Examples | PoolFeed
    evaluated: Mapping[str, Examples | PoolFeed]


def choose_pool_images(
    training: Training, dataset: Dataset, members: Member, devices: Sequence[Any]
) -> int:
    """The most images that come to the devices at once; 0 where these hold all of them.

    The training gives the number, or else it follows from the memory of the first device, which a
    printed line says.

    Raises:
        ValueError: if there are to be pools and members have subsets.
    """
    most = training.pool_images or _most_that_fit(dataset, devices)
    if most == 0 or max(map(len, dataset.splits.values())) <= most:
        return 0
    if members.train_indices is not None:
        raise ValueError(
            f"pool_images must be 0 (all examples at once) with partitions, folds or "
            f"subset_fraction, got {most}, as not all examples fit into memory"
        )
    if not training.pool_images:
        print(
            f"{dataset.name} takes {dataset.num_bytes / 1e9:.1f} GB on each device, which is too "
            f"much: it comes in pools of {most} images (pool_images)"
        )
    return most


def bytes_on_device(dataset: Dataset, pool_images: int) -> int:
    """What the examples take in the memory of each device: all of them, or two pools."""
    if not pool_images:
        return dataset.num_bytes
    probes = sum(probe.inputs.nbytes for probe in dataset.probes.values())
    return 2 * pool_images * _bytes_per_image(dataset) + probes


def place_splits(
    training: Training,
    dataset: Dataset,
    pool_images: int,
    placement: Placement,
    held: contextlib.ExitStack,
) -> PlacedSplits:
    """The splits on the devices, or what feeds them; `held` ends the feeding."""
    if not pool_images:
        placed = {
            name: place_examples(placement, split.inputs, split.labels, training.workers)
            for name, split in dataset.splits.items()
        }
        return PlacedSplits(placed["train"], placed)

    def feed(split, multiple):
        pools = Pools.of_at_most(len(split), pool_images, multiple)
        fed = PoolFeed(split.inputs, split.labels, pools, placement, training.workers)
        return held.enter_context(fed)

    evaluated = {name: feed(split, _BITS) for name, split in dataset.splits.items()}
    return PlacedSplits(feed(dataset.train, training.batch_size), evaluated)


def _most_that_fit(dataset, devices):
    # The devices of a CPU share a memory, in which each has a copy of its own.
    copies = len(devices) if devices[0].platform == "cpu" else 1
    free = free_bytes(devices[0]) / copies
    if dataset.num_bytes <= _SHARE_OF_ALL * free:
        return 0
    return max(1, int(_SHARE_OF_POOLS * free / (2 * _bytes_per_image(dataset))))


def _bytes_per_image(dataset):
    # With the label and the place in the set.
    return dataset.train.inputs.nbytes // len(dataset.train) + 8

"""Pools of examples on the devices, the next one read and copied while one is in use."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

import jax
import numpy as np
from jaxtyping import Array, Int, Num

from ensemble_jax.collection import Placement
from ensemble_jax.data.pools import Pools, ReadAhead
from ensemble_jax.data.stored import Inputs, read_inputs


class Shuffle(NamedTuple):
    """What the division of a set into the pools of an epoch is drawn from."""

    seed: int
    epoch: int


class PoolName(NamedTuple):
    """Which pool: its number, in an epoch or, without a shuffle, in the set's own order."""

    number: int
    shuffle: Shuffle | None = None


class Pool(NamedTuple):
    """Labelled examples that are a part of a set, in the memory of every device.

    Attributes:
        inputs: `[P, ...]`.
        labels: `[P]`.
        positions: `[P]`, the position of each in the set.
        number: of the pool in its epoch, from 0.
    """

    inputs: Num[Array | np.ndarray, "P ..."]
    labels: Int[Array | np.ndarray, " P"]
    positions: Int[Array | np.ndarray, " P"]
    number: Int[Array | np.ndarray, ""]


class PoolFeed:
    """A set of examples that comes to the devices in pools. At most two are there at once.

    As a context it makes sure that nothing is read any more when it ends.

    Args:
        inputs: of all M examples.
        labels: `[M]`.
        pools: how they are divided.
        placement: of the members that use them.
        max_threads: how many threads read and decode a pool.

    Attributes:
        pools: as given.
    """

    def __init__(
        self,
        inputs: Inputs,
        labels: Int[np.ndarray, " M"],
        pools: Pools,
        placement: Placement,
        max_threads: int,
    ) -> None:
        self.pools = pools
        self._inputs, self._labels = inputs, labels
        self._placement, self._max_threads = placement, max_threads
        self._ahead = ReadAhead(self._read)

    @property
    def forms(self) -> list[Pool]:
        """Shapes and types of the pools, to compile for them; the last pool may be smaller."""

        def shapes_of(size: int) -> Pool:
            row: Any = jax.ShapeDtypeStruct((size,), np.int32)
            images: Any = jax.ShapeDtypeStruct((size, *self._inputs.shape[1:]), self._inputs.dtype)
            number: Any = jax.ShapeDtypeStruct((), np.int32)
            return self._placement.shared_shapes(Pool(images, row, row, number))

        return [shapes_of(size) for size in dict.fromkeys(self.pools.sizes)]

    def take(self, name: PoolName, then: PoolName | None = None) -> Pool:
        """A pool; the one before must be no longer in use. `then`, the next one, is read ahead."""
        return self._ahead.take(name, then)

    def _read(self, name: PoolName, cancelled: Callable[[], bool]) -> Pool:
        positions = (
            self.pools.in_order(name.number)
            if name.shuffle is None
            else self.pools.shuffled(*name.shuffle, name.number)
        )
        pool = Pool(
            read_inputs(
                self._inputs, positions, max_threads=self._max_threads, cancelled=cancelled
            ),
            self._labels[positions].astype(np.int32),
            positions.astype(np.int32),
            np.array(name.number, np.int32),
        )
        # Waiting here frees the host's copy now, and not when the pool is first used.
        return jax.block_until_ready(self._placement.share(pool))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ahead.drop()

"""Shuffle pools: the parts in which a set that exceeds a device's memory is copied to it.

Every epoch divides the set anew, at random, and each member draws its own order within each pool,
so that N members cost one read of the data. A set that fits is one pool, in its own order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Generic, Self, TypeVar

import numpy as np
from jaxtyping import Int

from ensemble_jax.data.draws import random_order, seed_of

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Pools:
    """How M examples are divided into pools of one size; the last may have fewer.

    Attributes:
        num_examples: M.
        size: examples of every pool but the last.
    """

    num_examples: int
    size: int

    @classmethod
    def of_at_most(cls, num_examples: int, most: int, multiple: int) -> Self:
        """As few pools as `most` allows, as equal as can be.

        If there are several, their size is a multiple of `multiple`, the batch size, so that only
        the last pool ends in a short batch. It may exceed `most`, by less than `multiple`.

        >>> Pools.of_at_most(100, most=100, multiple=8)
        Pools(num_examples=100, size=100)
        >>> Pools.of_at_most(100, most=60, multiple=8).sizes
        (56, 44)
        """
        count = -(-num_examples // most)
        if count == 1:
            return cls(num_examples, num_examples)
        return cls(num_examples, -(-num_examples // (count * multiple)) * multiple)

    @property
    def count(self) -> int:
        """How many pools there are."""
        return -(-self.num_examples // self.size)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The examples in each pool."""
        starts = range(0, self.num_examples, self.size)
        return tuple(min(self.size, self.num_examples - start) for start in starts)

    def in_order(self, pool: int) -> Int[np.ndarray, " m"]:
        """The examples of a pool in the order of the set, as for evaluation."""
        start = pool * self.size
        return np.arange(start, min(start + self.size, self.num_examples))

    def shuffled(self, seed: int, epoch: int, pool: int) -> Int[np.ndarray, " m"]:
        """The examples of a pool in one epoch, ascending: each is in one pool of every epoch.

        Every division into pools is equally likely, and those of different epochs and seeds are
        independent. Ascending, because a disk likes that; the order of training is the member's.
        """
        if self.count == 1:
            return self.in_order(0)
        return np.sort(_order(seed, epoch, self.num_examples)[self.in_order(pool)])


@functools.lru_cache(maxsize=1)
def _order(seed, epoch, num_examples):
    return random_order([epoch, *seed_of("shuffle pools", seed)], num_examples)


class ReadAhead(Generic[Key, Value]):
    """Reads the next value while the current one is in use.

    A caller must be done with a value before it takes the next, so that at most two exist.

    Args:
        read: `(key, cancelled) -> value`; it may stop early when `cancelled()` is true.
    """

    def __init__(self, read: Callable[[Key, Callable[[], bool]], Value]) -> None:
        self._read = read
        self._ahead: tuple[Key, Future, Event] | None = None

    def take(self, key: Key, then: Key | None = None) -> Value:
        """The value of a key. Reading the value of `then`, the next key, begins.

        Raises whatever reading raises.
        """
        if self._ahead is not None and self._ahead[0] == key:
            (_, future, _), self._ahead = self._ahead, None
            value = future.result()
            del future
        else:
            self.drop()
            value = self._read(key, lambda: False)
        if then is not None:
            unwanted = Event()
            # A thread for each value: none is left when there is nothing to read.
            executor = ThreadPoolExecutor(1, thread_name_prefix="ahead")
            self._ahead = then, executor.submit(self._read, then, unwanted.is_set), unwanted
            executor.shutdown(wait=False)
        return value

    def drop(self) -> None:
        """Stop reading ahead, and wait until reading has stopped."""
        if self._ahead is not None:
            (_, future, unwanted), self._ahead = self._ahead, None
            unwanted.set()
            future.exception()  # waits; an error of a value that nobody wants is ignored

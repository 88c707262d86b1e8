"""The host loop: epochs on the devices, records and checkpoints written meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import jax
import numpy as np

from ensemble_jax.extent import Evaluations, ExtentRecord
from ensemble_jax.training.collection_training import CollectionTraining
from ensemble_jax.training.member import MemberState


@runtime_checkable
class Observer(Protocol):
    """Is told what happens, as it happens."""

    def epoch_done(self, epoch: int, losses: np.ndarray) -> None:
        """`epoch` epochs are completed; `losses` `[N]` are the means over the last one."""

    def extent_written(self, record: ExtentRecord) -> None:
        """An extent is permanent. Called on the thread that writes."""


class Saving(NamedTuple):
    """How and how often the state is saved, so that a training that ends early can continue.

    Attributes:
        save: `(pools, state)` makes a host copy of the state after so many pools permanent; an
            epoch is one pool where all examples are on the devices.
        every_extents: a checkpoint is due after so many extents, 0 for never.
        every_seconds: one is also due so long after the one before, at the end of a pool,
            `math.inf` for never.
        clock: in seconds; one that never jumps, unlike the time of day.
    """

    save: Callable[[int, MemberState], None]
    every_extents: int = 1
    every_seconds: float = math.inf
    clock: Callable[[], float] = time.monotonic


class Progress(NamedTuple):
    """How far a training came.

    Attributes:
        epoch: epochs completed.
        state: on the devices.
        pool: pools completed of the epoch after these.
    """

    epoch: int
    state: MemberState
    pool: int = 0


def train_loop(
    training: CollectionTraining,
    state: MemberState,
    *,
    first_epoch: int,
    first_pool: int = 0,
    extents: Sequence[int],
    evaluate: Callable[[MemberState], Evaluations],
    to_host: Callable[[Any], Any],
    write: Callable[[ExtentRecord], None],
    observer: Observer,
    saving: Saving | None = None,
    stop_asked: Callable[[], bool] = lambda: False,
    moved: Callable[[float], None] = lambda epochs: None,
    begun: Callable[[float, float], None] = lambda epochs, seconds: None,
    images_per_second: float = math.nan,
) -> Progress:
    """Train up to the last extent, or until asked to stop, and measure at each extent.

    The devices compute a measurement. A thread of its own copies it, writes it and tells the
    observer, while the devices go on; only the next extent waits for that. A second thread writes
    the checkpoints. The devices wait until the state is copied to the host, since the next epoch
    reuses its memory, but not until it is on the disk. A checkpoint that is due while the one
    before is still being written waits for the end of a later pool. The last epoch, and the pool
    after which the training stops, always have a checkpoint.

    Args:
        training: the compiled collection.
        state: at `first_epoch` and `first_pool`; it is donated.
        first_epoch: epochs completed so far. Extents up to here are not measured, but for an
            extent 0 at epoch 0.
        first_pool: pools completed of the epoch after these; the mean losses of that epoch are then
            those over the others.
        extents: increasing numbers of epochs.
        evaluate: the state's evaluation on the devices.
        to_host: copies a lifted pytree to the host.
        write: makes a record permanent. What it raises ends the training.
        observer: is told of progress.
        saving: how and when there are checkpoints; what it raises ends the training. None for no
            checkpoints.
        stop_asked: asked before every pool.
        moved: is told after every pool how many epochs are completed, with the part of the one
            that has begun.
        begun: is told before every pool how many epochs will be completed after it, and how many
            seconds it takes at the speed of the pool before; NaN where none is known.
        images_per_second: the speed of the first pool, as far as it is known; NaN if not.
    """

    def finish(extent, diverged_at, evaluation, speed):
        splits, probes = to_host(evaluation)
        record = ExtentRecord(extent, splits, diverged_at, speed, probes)
        write(record)
        observer.extent_written(record)

    num_pools = training.num_pools
    done = first_epoch * num_pools + first_pool
    with _InOrder(finish, "record") as recorder, _Saver(saving, done, recorder) as saver:

        def measure(extent, seconds, images):
            evaluation = jax.block_until_ready(evaluate(state))
            speed = images / seconds if images else math.nan
            recorder.submit(extent, to_host(state.diverged_at), evaluation, speed)
            saver.count_extent()

        if done == 0 and extents[0] == 0:
            measure(0, 0.0, 0)
        seconds, images, losses = 0.0, 0, []
        while True:
            if saver.due:
                saver.save(done, to_host(state))
            epoch, pool = divmod(done, num_pools)
            if epoch >= extents[-1] or stop_asked():
                break
            begun((done + 1) / num_pools, training.images_in(pool) / images_per_second)
            started = time.perf_counter()
            # After an extent comes its evaluation, which needs the memory of a further pool.
            more = pool + 1 < num_pools or epoch + 1 not in extents
            state, losses_of_pool = jax.block_until_ready(
                training.train_pool(state, epoch, pool, read_ahead=more)
            )
            of_pool = time.perf_counter() - started
            images_per_second = training.images_in(pool) / of_pool
            seconds += of_pool
            images += training.images_in(pool)
            losses.append(to_host(losses_of_pool))
            done += 1
            moved(done / num_pools)
            recorder.raise_error()
            saver.raise_error()
            if pool + 1 == num_pools:
                observer.epoch_done(epoch + 1, training.mean_loss(losses, num_pools - len(losses)))
                losses = []
                if epoch + 1 in extents:
                    measure(epoch + 1, seconds, images)
                    seconds, images = 0.0, 0
        if saver.lacks(done):
            saver.save(done, to_host(state))
    epoch, pool = divmod(done, num_pools)
    return Progress(epoch, state, pool)


class _InOrder:
    """Calls a function on one thread, call after call, with at most one in work."""

    def __init__(self, function: Callable[..., None], name: str) -> None:
        self._function = function
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._in_work: Future | None = None

    @property
    def busy(self) -> bool:
        """Whether a call is in work."""
        return self._in_work is not None and not self._in_work.done()

    def wait_elsewhere(self) -> Callable[[], None]:
        """For another thread: waits for the call that is in work now, raises what it raises."""
        in_work = self._in_work
        return lambda: None if in_work is None else in_work.result()

    def submit(self, *arguments: Any) -> None:
        """Call the function after the call before has ended; raises what that one raised."""
        self._wait()
        self._in_work = self._executor.submit(self._function, *arguments)

    def raise_error(self) -> None:
        """Raise what the last call raised, if it has ended; a full disk is not noticed too late."""
        if self._in_work is not None and self._in_work.done():
            self._wait()

    def _wait(self) -> None:
        if self._in_work is not None:
            in_work, self._in_work = self._in_work, None
            in_work.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        # What was measured is written even if the training ends early. The error that ended it is
        # then raised, and not one of the writing.
        try:
            if error is None:
                self._wait()
        finally:
            self._executor.shutdown(wait=True)


class _Saver(_InOrder):
    """Writes checkpoints, each after the records of the extents before it; knows when one is due.

    Without `saving` no checkpoint is ever due or lacking.
    """

    def __init__(self, saving: Saving | None, first: int, recorder: _InOrder) -> None:
        super().__init__(self._write, "checkpoint")
        self._saving = saving
        self._recorder = recorder
        # A training that is continued starts from a checkpoint.
        self._saved = first or None
        self._extents_since = 0
        self._saved_at = saving.clock() if saving else 0.0

    def count_extent(self) -> None:
        """An extent was measured."""
        self._extents_since += 1

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint, and the one before is written."""
        if self._saving is None or self.busy:
            return False
        of_extents = 0 < self._saving.every_extents <= self._extents_since
        return of_extents or self._saving.clock() - self._saved_at >= self._saving.every_seconds

    def lacks(self, pools: int) -> bool:
        """Whether there is no checkpoint after so many pools."""
        return self._saving is not None and self._saved != pools

    def save(self, pools: int, state: MemberState) -> None:
        """Write a checkpoint after the one before; raises what that one raised."""
        assert self._saving is not None
        self.submit(self._recorder.wait_elsewhere(), self._saving.save, pools, state)
        self._saved, self._extents_since = pools, 0
        self._saved_at = self._saving.clock()

    @staticmethod
    def _write(wait_for_records, save, pools, state):
        # A checkpoint never runs ahead of the records.
        wait_for_records()
        save(pools, state)

"""The host loop: epochs on the devices, and the records of the extents written meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from ensemble_jax.training.collection_training import CollectionTraining
from ensemble_jax.training.member import MemberState


class Measurement(NamedTuple):
    """What is known at an extent.

    Attributes:
        extent: epochs completed.
        state: the members' state, a host copy.
        evaluation: what `evaluate` returned, a host copy.
        train_images_per_second: images times members over the wall time of the training since the
            last extent; None where there was none.
    """

    extent: int
    state: MemberState
    evaluation: Any
    train_images_per_second: float | None


@runtime_checkable
class Observer(Protocol):
    """Is told what happens, as it happens."""

    def epoch_done(self, epoch: int, losses: np.ndarray) -> None:
        """`epoch` epochs are completed; `losses` `[N]` are the means over the last one."""

    def extent_written(self, measurement: Measurement) -> None:
        """An extent is permanent. Called on the thread that writes."""


def train(
    training: CollectionTraining,
    state: MemberState,
    *,
    first_epoch: int,
    extents: Sequence[int],
    evaluate: Callable[[MemberState], Any],
    to_host: Callable[[Any], Any],
    write: Callable[[Measurement], None],
    observer: Observer,
) -> MemberState:
    """Train up to the last extent and measure at each; returns the final state.

    The state is copied to the host before the next epoch reuses its memory. Everything else about
    a measurement (copying, writing, telling the observer) happens on a thread of its own, one
    extent after another, while the devices go on.

    Args:
        training: the compiled collection.
        state: at `first_epoch`; it is used up.
        first_epoch: epochs completed so far. Extents up to here are not measured, but for an
            extent 0 at epoch 0.
        extents: increasing numbers of epochs.
        evaluate: the state's evaluation on the devices.
        to_host: copies a lifted pytree to the host.
        write: makes a measurement permanent. What it raises ends the training.
        observer: is told of progress.
    """

    def finish(extent, state, evaluation, speed):
        measurement = Measurement(extent, state, to_host(evaluation), speed)
        write(measurement)
        observer.extent_written(measurement)

    with _InOrder(finish) as recorder:

        def measure(extent, seconds, images):
            evaluation = jax.block_until_ready(evaluate(state))
            speed = images / seconds if images else None
            recorder.submit(extent, to_host(state), evaluation, speed)

        if first_epoch == 0 and extents[0] == 0:
            measure(0, 0.0, 0)
        seconds, images = 0.0, 0
        for epoch in range(first_epoch, extents[-1]):
            started = time.perf_counter()
            state, losses = jax.block_until_ready(training.epoch(state, epoch))
            seconds += time.perf_counter() - started
            images += training.num_images
            observer.epoch_done(epoch + 1, to_host(losses))
            recorder.raise_error()
            if epoch + 1 in extents:
                measure(epoch + 1, seconds, images)
                seconds, images = 0.0, 0
    return state


class _InOrder:
    """Calls a function on one thread, call after call, with at most one in work."""

    def __init__(self, function: Callable[..., None]) -> None:
        self._function = function
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="record")
        self._in_work: Future | None = None

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

    def __enter__(self) -> _InOrder:
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        # What was measured is written also when the training ends early; then the error that ended
        # it is the one to tell.
        try:
            if error is None:
                self._wait()
        finally:
            self._executor.shutdown(wait=True)

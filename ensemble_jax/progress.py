"""What a user sees while a collection trains."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self, TextIO

import numpy as np
from tqdm import tqdm

from ensemble_jax.analysis import bimodality, consistency_score
from ensemble_jax.extent import ExtentRecord
from ensemble_jax.machine import NO_BAR
from ensemble_jax.runs import unpack_correct
from ensemble_jax.training import NOT_DIVERGED, Observer

# Between two lines where there is no terminal, in seconds; what is measured is told at once.
_PAUSE = 15
# Between two moves within a pool, in seconds; quicker pools have none, and none ends by time alone.
_STEP, _QUICK, _NEARLY_ALL = 1.0, 2.0, 0.95


class TrainingProgress:
    """A bar over epochs with ETA; accuracy, its spread and bimodality are as of the last extent.

    It moves with every pool of examples. Within a pool that takes more than two seconds it moves by
    the time since the beginning, at the speed of the pool before: no device is asked, so that none
    waits. Of members a second one counts for each epoch of one. Where there is no terminal there
    are lines in place of the bar.

    Args:
        num_epochs: of the whole training, all collections of it together.
        completed: how many of them were completed before.
        member_ids: by which members that diverge are named.
        split_sizes: the number of examples M of each split.
        observer: is told of the same; None for nobody.
        clock: in seconds.
    """

    def __init__(
        self,
        num_epochs: int,
        completed: int,
        member_ids: Sequence[int],
        split_sizes: Mapping[str, int],
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observer = observer
        self._member_ids = np.array(member_ids)
        self._split_sizes = split_sizes
        self._diverged = np.zeros(len(member_ids), bool)
        self._epochs_before = 0
        self._clock = clock
        self._underway: _Underway | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._move_by_time, name="progress", daemon=True)
        # Which tqdm itself reads when it is imported, and never again.
        hidden = os.environ.get(NO_BAR, "0") not in ("", "0")
        self._bar = (
            tqdm(
                total=num_epochs,
                initial=completed,
                unit="epoch",
                desc="training",
                dynamic_ncols=True,
                disable=hidden,
            )
            if hidden or sys.stderr.isatty()
            else _Lines(num_epochs, completed, sys.stderr)
        )

    def begin_collection(self) -> None:
        """What follows is another collection, whose epochs begin anew."""
        self._epochs_before = self._bar.n
        self._diverged[:] = False

    def begun(self, epochs: float, seconds: float) -> None:
        """A pool has begun, after which so many epochs are completed.

        Args:
            epochs: with the part of an epoch.
            seconds: that it is expected to take; NaN where that is not known.
        """
        with self._lock:
            before, end = self._bar.n, self._epochs_before + epochs
            self._underway = _Underway(before, end, self._clock(), seconds)

    def moved(self, epochs: float) -> None:
        """Move the bar, also by a part of an epoch."""
        with self._lock:
            self._underway = None
            self._move_to(self._epochs_before + epochs)

    def move_by_time(self) -> None:
        """Move the bar as far as it should be by now."""
        with self._lock:
            if self._underway is not None:
                self._move_to(max(self._bar.n, self._underway.at(self._clock())))
                self._bar.refresh()  # the time that has passed, too

    def _move_to(self, epochs: float) -> None:
        # Two digits are as many as a bar shows.
        self._bar.update(round(epochs, 2) - self._bar.n)

    def _move_by_time(self) -> None:
        while not self._ended.wait(_STEP):
            self.move_by_time()

    def epoch_done(self, epoch: int, losses: np.ndarray) -> None:
        """Move the bar to a whole number of epochs."""
        self.moved(epoch)
        if self._observer is not None:
            self._observer.epoch_done(epoch, losses)

    def extent_written(self, record: ExtentRecord) -> None:
        """Show accuracy and bimodality, and name the members that have diverged since."""
        diverged_at = record.diverged_at
        diverged = diverged_at != NOT_DIVERGED
        for member in np.flatnonzero(diverged & ~self._diverged):
            self._bar.write(
                f"member {self._member_ids[member]} diverged in epoch {diverged_at[member]}: "
                f"frozen and left out of the scores"
            )
        self._diverged = diverged
        if not diverged.all():
            told = self._summary(record.splits, ~diverged)
            self._bar.set_postfix_str(told + self._speed(record.train_images_per_second))
        if self._observer is not None:
            self._observer.extent_written(record)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._bar.close()

    def _speed(self, images_per_second):
        if images_per_second is None or not np.isfinite(images_per_second):
            return ""
        members = images_per_second / self._split_sizes["train"]
        return f", {images_per_second:,.0f} images/s, {members:.3g} members/s"

    def _summary(self, splits, healthy):
        parts = []
        for split, size in self._split_sizes.items():
            accuracy = splits[split].accuracy[healthy]
            correct = unpack_correct(splits[split].bits[healthy], size)
            score = bimodality(consistency_score(correct))
            parts.append(
                f"{split} {accuracy.mean():.3f}±{accuracy.std():.3f} bimodality {score:.2f}"
            )
        return ", ".join(parts)


class _Underway(NamedTuple):
    """A pool that devices compute: epochs before and after it, its beginning, expected seconds."""

    before: float
    after: float
    begun: float
    seconds: float

    def at(self, now: float) -> float:
        """The epochs completed by now, if it goes as expected."""
        if not self.seconds > _QUICK:
            return self.before
        share = min(_NEARLY_ALL, (now - self.begun) / self.seconds)
        return self.before + share * (self.after - self.before)


class _Lines:
    """What a bar is, in lines: for files, and for services that collect what is printed."""

    def __init__(
        self, total: int, initial: int, file: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.n: float = initial
        self._total, self._initial, self._file, self._clock = total, initial, file, clock
        self._told = ""
        self._begun = self._written = clock()

    def update(self, epochs: float) -> None:
        """Go on; tells so if nothing was told for a while."""
        self.n += epochs
        if epochs and self._clock() - self._written >= _PAUSE:
            self._tell()

    def refresh(self) -> None:
        """Lines stay as they are."""

    def set_postfix_str(self, told: str) -> None:
        """What is measured is told at once."""
        self._told = told
        self._tell()

    def write(self, line: str) -> None:
        """A line of its own."""
        print(line, file=self._file, flush=True)

    def close(self) -> None:
        """There is nothing to be tidied up."""

    def _tell(self) -> None:
        self._written = self._clock()
        line = f"training: epoch {self.n:g} of {self._total}"
        done = self.n - self._initial
        if done > 0 and self.n < self._total:
            left = (self._written - self._begun) / done * (self._total - self.n)
            line += f", {tqdm.format_interval(left)} left"
        self.write(f"{line}: {self._told}" if self._told else line)

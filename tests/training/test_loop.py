"""The host loop around a training of three numbers, of which only the order of events matters."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.extent import Evaluations
from ensemble_jax.training import Saving, train_loop


class Counts(NamedTuple):
    """What stands for a state; `diverged_at` is what the loop knows of one."""

    epochs: Any
    diverged_at: Any


class CountingTraining:
    """The state of each of three members is the number of its epochs; an epoch uses it up."""

    num_pools = 1

    def __init__(self, fail_in: int | None = None) -> None:
        self.epochs: list[int] = []
        self.fail_in = fail_in

    def train_pool(self, state, epoch, pool, *, read_ahead):
        return self.epoch(state, epoch)

    def images_in(self, pool):
        return 30 // self.num_pools

    def mean_loss(self, losses, first_pool):
        return np.mean(losses, axis=0)

    def epoch(self, state, epoch):
        if epoch == self.fail_in:
            raise RuntimeError("the device is gone")
        self.epochs.append(epoch)
        new = Counts(state.epochs + 1, state.diverged_at + 0)
        jax.tree.map(lambda leaf: leaf.delete(), state)
        return new, jnp.full(3, 10.0 * epoch)


class Journal:
    """What happened, in order; `write` takes its time and may fail."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.events: list[tuple] = []
        self.records = []
        self.threads: set[int] = set()
        self.fail_at = fail_at

    def epoch_done(self, epoch, losses):
        assert isinstance(losses, np.ndarray)
        self.events.append(("epoch", epoch, losses.tolist()))

    def write(self, record):
        self.threads.add(threading.get_ident())
        if record.extent == self.fail_at:
            raise OSError(28, "No space left on device")
        time.sleep(0.01)
        self.records.append(record)
        self.events.append(("write", record.extent))

    def extent_written(self, record):
        self.events.append(("written", record.extent))

    @property
    def extents(self):
        return [record.extent for record in self.records]


def run(journal, training=None, *, first_epoch=0, extents=(0, 1, 3), **more):
    training = training or CountingTraining()
    return train_loop(
        training,
        Counts(jnp.full(3, first_epoch), jnp.array([-1, 0, -1])),
        first_epoch=first_epoch,
        extents=extents,
        evaluate=lambda state: Evaluations({"double": 2 * state.epochs}, {}),
        to_host=lambda tree: jax.tree.map(np.array, tree),
        write=journal.write,
        observer=journal,
        **more,
    )


@pytest.mark.parametrize(
    ("first_epoch", "extents", "measured", "epochs"),
    [
        (0, (0, 1, 3), [0, 1, 3], [0, 1, 2]),
        (0, (2, 3), [2, 3], [0, 1, 2]),
        (0, (0,), [0], []),
        (1, (0, 1, 3), [3], [1, 2]),
        # Continued between two extents, as from the checkpoint of another list of extents.
        (2, (0, 1, 3, 4), [3, 4], [2, 3]),
        (3, (0, 1, 3), [], []),
        (4, (0, 1, 3), [], []),
    ],
)
def test_which_extents_are_measured(first_epoch, extents, measured, epochs):
    journal, training = Journal(), CountingTraining()
    final = run(journal, training, first_epoch=first_epoch, extents=extents)
    assert journal.extents == measured
    assert training.epochs == epochs
    assert final.epoch == first_epoch + len(epochs)
    np.testing.assert_array_equal(final.state.epochs, [final.epoch] * 3)
    for record in journal.records:
        np.testing.assert_array_equal(record.diverged_at, [-1, 0, -1])
        np.testing.assert_array_equal(record.splits["double"], [2 * record.extent] * 3)


def test_how_long_each_epoch_will_take_is_told_before_it():
    told = []
    run(Journal(), begun=lambda *of: told.append(of), extents=(0, 3), images_per_second=1.0)
    assert [epochs for epochs, _ in told] == [1, 2, 3]
    assert told[0][1] == CountingTraining().images_in(0)
    assert all(seconds > 0 for _, seconds in told)


def test_speed_is_that_of_the_training_since_the_last_extent():
    class Slow(CountingTraining):
        def epoch(self, state, epoch):
            time.sleep(0.05)
            return super().epoch(state, epoch)

    journal = Journal()
    started = time.perf_counter()
    run(journal, Slow())
    elapsed = time.perf_counter() - started
    first, second, third = (r.train_images_per_second for r in journal.records)
    assert np.isnan(first)
    # Not slower than all that was waited for, not faster than the sleep allows.
    assert 30 / elapsed <= second <= 30 / 0.05
    assert 60 / elapsed <= third <= 60 / 0.1


def test_no_speed_where_a_continued_run_has_not_trained():
    journal = Journal()
    run(journal, first_epoch=0, extents=(0,))
    (speed,) = (r.train_images_per_second for r in journal.records)
    assert np.isnan(speed)


def test_everything_is_told_in_order():
    journal = Journal()
    run(journal)
    epochs = [event for event in journal.events if event[0] == "epoch"]
    assert epochs == [("epoch", 1, [0.0] * 3), ("epoch", 2, [10.0] * 3), ("epoch", 3, [20.0] * 3)]
    written = [event for event in journal.events if event[0] != "epoch"]
    assert written == [(kind, extent) for extent in (0, 1, 3) for kind in ("write", "written")]
    assert journal.events.index(("epoch", 1, [0.0] * 3)) < journal.events.index(("write", 1))


def test_writing_is_on_one_other_thread():
    journal = Journal()
    run(journal)
    assert len(journal.threads) == 1
    assert threading.get_ident() not in journal.threads


def test_training_goes_on_while_an_extent_is_written():
    trained = threading.Event()

    class Announcing(CountingTraining):
        def epoch(self, state, epoch):
            trained.set()
            return super().epoch(state, epoch)

    class Waiting(Journal):
        def write(self, record):
            assert trained.wait(timeout=10), "training waits for the writing"
            super().write(record)

    journal = Waiting()
    run(journal, Announcing(), extents=(0, 1))
    assert journal.extents == [0, 1]


def test_at_most_one_extent_waits_to_be_written():
    """What waits holds predictions on the devices, so it must not grow."""
    journal = Journal()
    waiting = []

    class Watching(CountingTraining):
        def epoch(self, state, epoch):
            waiting.append(epoch + 1 - len(journal.records))
            return super().epoch(state, epoch)

    run(journal, Watching(), extents=tuple(range(8)))
    assert max(waiting) <= 1
    assert journal.extents == list(range(8))


@pytest.mark.parametrize(("fail_at", "written"), [(0, []), (1, [0]), (3, [0, 1])])
def test_an_error_in_writing_ends_the_training_and_is_raised(fail_at, written):
    journal, training = Journal(fail_at), CountingTraining()
    with pytest.raises(OSError, match="No space left on device"):
        run(journal, training, extents=(0, 1, 3, 4, 5, 6) if fail_at < 3 else (0, 1, 3))
    assert journal.extents == written
    assert len(training.epochs) <= fail_at + 3


def test_an_error_of_the_observer_is_raised():
    class Broken(Journal):
        def extent_written(self, record):
            raise ValueError("nobody listens")

    journal = Broken()
    with pytest.raises(ValueError, match="nobody listens"):
        run(journal)
    assert journal.extents == [0]


def test_what_was_measured_is_written_when_the_training_fails():
    journal = Journal()
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(journal, CountingTraining(fail_in=1))
    assert journal.extents == [0, 1]


def test_the_error_of_the_training_comes_first():
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(Journal(fail_at=1), CountingTraining(fail_in=1))


def test_no_thread_is_left():
    before = threading.active_count()
    run(Journal())
    with pytest.raises(OSError, match="No space"):
        run(Journal(fail_at=1))
    assert threading.active_count() == before


class Checkpoints:
    """Keeps host copies, or fails at one."""

    def __init__(self, journal, fail_at: int | None = None) -> None:
        self.journal = journal
        self.fail_at = fail_at
        self.counts: dict[int, list[int]] = {}

    def save(self, epoch, state):
        self.journal.events.append(("save", epoch))
        if epoch == self.fail_at:
            raise OSError(28, "No space left on device")
        self.counts[epoch] = state.epochs.tolist()

    def saving(self, **options):
        return Saving(self.save, **options)


class AtOnce:
    """An executor without threads, whose calls have ended when they return."""

    def __init__(self, **options):
        pass

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except OSError as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait):
        pass


@pytest.fixture
def at_once(monkeypatch):
    """No checkpoint is put off because the one before is still being written."""
    monkeypatch.setattr("ensemble_jax.training.loop.ThreadPoolExecutor", AtOnce)


@pytest.mark.parametrize(
    ("every", "saved"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3, 4]), (3, [2, 4]), (0, [4])]
)
def test_checkpoints_after_every_so_many_extents_and_the_last(at_once, every, saved):
    journal = Journal()
    checkpoints = Checkpoints(journal)
    run(journal, extents=range(5), saving=checkpoints.saving(every_extents=every))
    assert list(checkpoints.counts) == saved
    assert checkpoints.counts == {epoch: [epoch] * 3 for epoch in saved}


def test_checkpoints_after_so_much_time_lie_between_extents(at_once):
    journal = Journal()
    checkpoints = Checkpoints(journal)
    now = [0.0]

    class Minutes(CountingTraining):
        def epoch(self, state, epoch):
            now[0] += 60
            return super().epoch(state, epoch)

    saving = checkpoints.saving(every_extents=0, every_seconds=150, clock=lambda: now[0])
    run(journal, Minutes(), extents=(0, 10), saving=saving)
    assert list(checkpoints.counts) == [3, 6, 9, 10]


def test_the_time_of_day_does_not_matter(monkeypatch):
    """As where a clock is set back, or forward, while a training runs."""
    journal = Journal()
    checkpoints = Checkpoints(journal)
    days = iter(range(1000))
    monkeypatch.setattr(time, "time", lambda: 1e9 * (-1) ** next(days))
    saving = checkpoints.saving(every_extents=0, every_seconds=3600.0)
    run(journal, extents=(0, 5), saving=saving)
    assert list(checkpoints.counts) == [5]


def test_a_checkpoint_never_runs_ahead_of_the_records():
    class Slow(Journal):
        def write(self, record):
            time.sleep(0.05)
            super().write(record)

    journal = Slow()
    run(journal, extents=(0, 1, 2), saving=Checkpoints(journal).saving())
    saved = [i for i, event in enumerate(journal.events) if event[0] == "save"]
    assert saved
    for i in saved:
        epoch = journal.events[i][1]
        written = {event[1] for event in journal.events[:i] if event[0] == "write"}
        assert written == set(range(epoch + 1))


def test_the_devices_never_wait_for_a_checkpoint():
    """While the first is written ten epochs are trained, with their extents."""
    journal = Journal()
    checkpoints = Checkpoints(journal)
    trained = threading.Event()

    class Announcing(CountingTraining):
        def epoch(self, state, epoch):
            if epoch == 9:
                trained.set()
            return super().epoch(state, epoch)

    def save(epoch, state):
        assert epoch or trained.wait(timeout=10), "training waits for a checkpoint"
        checkpoints.save(epoch, state)

    run(journal, Announcing(), extents=range(11), saving=Saving(save))
    assert journal.extents == list(range(11))
    assert checkpoints.counts[0] == [0] * 3
    assert max(checkpoints.counts) == 10


@pytest.mark.parametrize("asked_after", [0, 2, 3, 5])
def test_a_training_that_is_asked_to_stop_ends_with_a_checkpoint(asked_after):
    journal, training = Journal(), CountingTraining()
    checkpoints = Checkpoints(journal)
    saving = checkpoints.saving(every_extents=0)
    reached = run(
        journal,
        training,
        extents=(0, 1, 3, 9),
        saving=saving,
        stop_asked=lambda: len(training.epochs) >= asked_after,
    )
    assert reached.epoch == asked_after
    np.testing.assert_array_equal(reached.state.epochs, [asked_after] * 3)
    assert checkpoints.counts == {asked_after: [asked_after] * 3}
    assert journal.extents == [extent for extent in (0, 1, 3) if extent <= asked_after]


def test_what_is_continued_and_stopped_at_once_is_not_saved_again():
    journal = Journal()
    checkpoints = Checkpoints(journal)
    run(journal, first_epoch=2, saving=checkpoints.saving(), stop_asked=lambda: True)
    assert checkpoints.counts == {}


def test_a_checkpoint_that_cannot_be_written_ends_the_training():
    journal, training = Journal(), CountingTraining()
    checkpoints = Checkpoints(journal, fail_at=0)
    with pytest.raises(OSError, match="No space left on device"):
        run(journal, training, extents=range(100), saving=checkpoints.saving())
    assert 1 <= len(journal.extents) < 100
    assert checkpoints.counts == {}


def test_a_record_that_cannot_be_written_leaves_no_checkpoint_of_it():
    journal = Journal(fail_at=1)
    checkpoints = Checkpoints(journal)
    with pytest.raises(OSError, match="No space left on device"):
        run(journal, extents=(1, 2), saving=checkpoints.saving())
    assert checkpoints.counts == {}


class InPools(CountingTraining):
    """Three pools make an epoch; the state is the number of pools."""

    num_pools = 3

    def __init__(self) -> None:
        super().__init__()
        self.pools: list[tuple[int, int]] = []
        self.read_ahead: list[bool] = []

    def train_pool(self, state, epoch, pool, *, read_ahead):
        self.pools.append((epoch, pool))
        self.read_ahead.append(read_ahead)
        state, _ = self.epoch(state, epoch)
        return state, jnp.full(3, 1.0 + pool)


def test_an_epoch_in_pools_is_told_once_with_the_mean_of_its_losses():
    journal, training = Journal(), InPools()
    final = run(journal, training, extents=(0, 2))
    assert training.pools == [(epoch, pool) for epoch in range(2) for pool in range(3)]
    assert [event for event in journal.events if event[0] == "epoch"] == [
        ("epoch", epoch, [2.0] * 3) for epoch in (1, 2)
    ]
    assert journal.extents == [0, 2]
    assert (final.epoch, final.pool) == (2, 0)
    np.testing.assert_array_equal(final.state.epochs, [6] * 3)
    # Nothing is read for the epoch after while an extent is evaluated.
    assert training.read_ahead == [True, True, True, True, True, False]


def test_checkpoints_between_pools(at_once):
    journal = Journal()
    checkpoints = Checkpoints(journal)
    now = [0.0]

    class Minutes(InPools):
        def epoch(self, state, epoch):
            now[0] += 60
            return super().epoch(state, epoch)

    saving = checkpoints.saving(every_extents=0, every_seconds=120, clock=lambda: now[0])
    run(journal, Minutes(), extents=(0, 2), saving=saving)
    assert checkpoints.counts == {pools: [pools] * 3 for pools in (2, 4, 6)}


def test_a_stop_between_pools_and_going_on_from_there():
    training, journal = InPools(), Journal()
    checkpoints = Checkpoints(journal)
    stopped = run(
        journal,
        training,
        extents=(0, 1, 2),
        saving=checkpoints.saving(every_extents=0),
        stop_asked=lambda: len(training.pools) == 4,
    )
    assert (stopped.epoch, stopped.pool) == (1, 1)
    assert journal.extents == [0, 1]
    assert checkpoints.counts == {4: [4] * 3}
    again = InPools()
    final = run(journal, again, first_epoch=1, first_pool=1, extents=(2,))
    assert again.pools == [(1, 1), (1, 2)]
    assert (final.epoch, final.pool) == (2, 0)
    # The mean over what of the epoch was left.
    assert journal.events[-3] == ("epoch", 2, [2.5] * 3)

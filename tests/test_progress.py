"""What is told of a training, on a terminal and without one."""

import io
import math
import sys
import time

import numpy as np
import pytest

from ensemble_jax import progress
from ensemble_jax.extent import ExtentRecord, SplitRecord
from ensemble_jax.progress import TrainingProgress
from ensemble_jax.runs import pack_correct


class Terminal(io.StringIO):
    def isatty(self):
        return True


def record(extent, diverged=(), speed=100.0):
    correct = np.array([[True, True, False, False], [True, False, False, False]])
    split = SplitRecord(
        pack_correct(correct),
        np.zeros((2, 4), np.uint8),
        np.zeros(2, np.float32),
        correct.mean(axis=1, dtype=np.float32),
    )
    at = np.where(np.isin(np.arange(2), diverged), 1, -1).astype(np.int32)
    return ExtentRecord(extent, {"train": split}, at, speed, {})


@pytest.fixture
def told(monkeypatch):
    """Makes a progress whose lines are kept, and a clock that it reads."""
    now = [0.0]
    monkeypatch.setattr(progress._Lines.__init__, "__defaults__", (lambda: now[0],))
    monkeypatch.delenv("TQDM_DISABLE", raising=False)

    def make(stream, completed=0):
        monkeypatch.setattr(sys, "stderr", stream)
        return TrainingProgress(8, completed, [10, 11], {"train": 4}, clock=lambda: now[0]), now

    return make


def test_without_a_terminal_there_are_lines(told):
    stream = io.StringIO()
    shown, now = told(stream)
    now[0] = 5
    shown.moved(0.5)
    assert stream.getvalue() == ""
    now[0] = 20
    shown.moved(1)
    shown.epoch_done(1, np.zeros(2))
    shown.extent_written(record(1))
    shown.extent_written(record(2, diverged=[1], speed=None))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "training: epoch 1 of 8, 02:20 left"
    assert lines[1] == (
        "training: epoch 1 of 8, 02:20 left: train 0.375\N{PLUS-MINUS SIGN}0.125 bimodality 0.38, "
        "100 images/s, 25 members/s"
    )
    assert lines[2] == "member 11 diverged in epoch 1: frozen and left out of the scores"
    assert "images/s" not in lines[3]
    assert "\r" not in stream.getvalue()


def test_a_continued_training_tells_what_is_left_of_it(told):
    stream = io.StringIO()
    shown, now = told(stream, completed=6)
    now[0] = 30
    shown.moved(7)
    shown.moved(8)
    shown.extent_written(record(8))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "training: epoch 7 of 8, 00:30 left"
    assert lines[1].startswith("training: epoch 8 of 8: train ")


def test_a_bar_moves_within_an_epoch(told):
    stream = Terminal()
    shown, _ = told(stream)
    with shown:
        shown.moved(1 / 3)
        assert shown._bar.n == 0.33
        shown.epoch_done(1, np.zeros(2))
        assert shown._bar.n == 1
    assert "\r" in stream.getvalue()


def test_a_long_pool_moves_the_bar_by_time(told):
    stream = Terminal()
    shown, now = told(stream)
    shown.moved(2)
    shown.begun(2.5, 10)
    places = []
    for seconds in (0, 2, 5, 9.9, 60):
        now[0] = seconds
        shown.move_by_time()
        places.append(shown._bar.n)
    # No pool ends by time alone.
    assert places == [2, 2.1, 2.25, 2.48, 2.48]
    shown.moved(2.5)
    now[0] = 100
    shown.move_by_time()
    assert shown._bar.n == 2.5


@pytest.mark.parametrize("seconds", [1.9, math.nan])
def test_a_quick_pool_or_one_of_unknown_speed_does_not(told, seconds):
    shown, now = told(Terminal())
    shown.begun(1, seconds)
    now[0] = 1.5
    shown.move_by_time()
    assert shown._bar.n == 0


def test_without_a_terminal_a_long_pool_is_told_of(told):
    stream = io.StringIO()
    shown, now = told(stream)
    shown.begun(1, 40)
    for seconds in range(0, 41, 10):
        now[0] = seconds
        shown.move_by_time()
    assert stream.getvalue().splitlines() == [
        "training: epoch 0.5 of 8, 05:00 left",
        "training: epoch 0.95 of 8, 04:56 left",
    ]


def test_the_bar_is_moved_while_devices_compute(told, monkeypatch):
    monkeypatch.setattr(progress, "_STEP", 1e-3)
    shown, now = told(Terminal())
    with shown:
        shown.begun(1, 10)
        now[0] = 5
        while shown._bar.n < 0.5:
            time.sleep(1e-3)
    assert not shown._thread.is_alive()


def test_epochs_of_the_next_collection_come_on_top(told):
    shown, _ = told(io.StringIO())
    shown.epoch_done(3, np.zeros(2))
    shown.begin_collection()
    shown.moved(0.5)
    assert shown._bar.n == 3.5


def test_a_hidden_bar_is_silent_in_lines_too(told, monkeypatch):
    stream = io.StringIO()
    shown, _ = told(stream)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    shown, _ = told(stream)
    with shown:
        shown.epoch_done(1, np.zeros(2))
        shown.extent_written(record(1))
    assert stream.getvalue() == ""

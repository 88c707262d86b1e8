"""What is told of a training, on a terminal and without one."""

import io
import sys

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
        return TrainingProgress(8, completed, [10, 11], {"train": 4}), now

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

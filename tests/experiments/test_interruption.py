"""Signals: the first is noted, the second ends at once, outside of a training each ends."""

import signal
import subprocess
import sys

import pytest

from ensemble_jax.interruption import SIGNALS, Deferral, Interrupted, handled, raise_interrupted

DEFERRED = """
import signal
import time
from ensemble_jax.interruption import Deferral
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
with Deferral() as deferral:
    print("ready", flush=True)
    while not deferral.asked:
        time.sleep(0.01)
    print("noted", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_at_once(first, second):
    process = subprocess.Popen(
        [sys.executable, "-c", DEFERRED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(first)
    assert process.stdout.readline() == "noted\n"
    assert process.poll() is None
    process.send_signal(second)
    _, said = process.communicate(timeout=30)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[second]
    assert said.split("\n") == [
        "",
        f"{first.name}: ends after this epoch; a second signal ends at once",
        "",
        f"{second.name} again: ended at once",
        "",
    ]


@pytest.fixture
def heard():
    """Signals that a shell may have had ignored, as it has SIGINT in the background."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 129),
        (signal.SIGUSR1, 138),
        (signal.SIGXCPU, 152),
    ],
)
def test_what_was_noted_is_raised_when_all_is_done(number, code, capfd, heard):
    before = signal.getsignal(number)
    with handled(raise_interrupted):
        with Deferral() as deferral:
            assert not deferral.asked
            signal.raise_signal(number)
        assert deferral.asked
        message = f"^interrupted by {number.name} after epoch 3$"
        with pytest.raises(Interrupted, match=message) as raised:
            deferral.raise_if_asked(" after epoch 3")
        assert raised.value.exit_code == code
        # From here on a signal ends what is in work.
        with pytest.raises(Interrupted, match=f"^interrupted by {number.name}$"):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert capfd.readouterr().err.count("ends after this epoch") == 1


def test_nothing_is_raised_where_nothing_was_asked():
    with Deferral() as deferral:
        pass
    deferral.raise_if_asked("")
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_that_the_process_ignores_stays_ignored():
    """As SIGINT is where a shell starts it in the background, and SIGHUP under nohup."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with handled(raise_interrupted), Deferral() as deferral:
            signal.raise_signal(signal.SIGINT)
        assert not deferral.asked
    finally:
        signal.signal(signal.SIGINT, before)


BINARY = """
import signal, types
from ensemble_jax.cli import binary
signal.signal(NUMBER, signal.SIG_DFL)  # a shell may have had it ignored
def main():
    print("begun")
    signal.raise_signal(NUMBER)
verb = types.SimpleNamespace(__name__="verb", __doc__="", define_options=lambda: None, main=main)
binary.run(verb, [])
"""


def test_a_limit_on_processor_time_is_told_every_second(capfd, heard):
    """Only Ctrl-C and SIGTERM end at once when they are the second."""
    with Deferral() as deferral:
        for _ in range(3):
            signal.raise_signal(signal.SIGXCPU)
    assert deferral.asked
    assert capfd.readouterr().err.count("SIGXCPU") == 1


def test_a_users_own_handler_of_a_signal_without_a_meaning_stays(heard):
    heard_by_user = []
    signal.signal(signal.SIGUSR1, lambda number, frame: heard_by_user.append(number))
    with Deferral() as deferral:
        signal.raise_signal(signal.SIGUSR1)
    assert heard_by_user == [signal.SIGUSR1]
    assert not deferral.asked


IMPORTING = """
import os, signal, sys
signal.signal(NUMBER, signal.SIG_DFL)  # a shell may have had it ignored
class Importing:
    def find_spec(self, name, *others):
        if name == "ensemble_jax.cli.train":
            os.kill(os.getpid(), NUMBER)
            for _ in range(100): pass
            print("still here")
from ensemble_jax.cli import entry
sys.meta_path.insert(0, Importing())
entry.run_verb("train", [])
"""


@pytest.mark.parametrize("script", [BINARY, IMPORTING], ids=["at work", "importing"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_binary_ends_in_one_line(number, script):
    script = script.replace("NUMBER", str(int(number)))
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 128 + number
    assert answer.stdout in ("begun\n", "")
    assert answer.stderr == f"interrupted by {number.name}; the same command continues\n"

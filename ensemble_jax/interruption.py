"""How a process ends: by a signal (Ctrl-C, a scheduler's warning), or by a user's mistake."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

# Beside Ctrl-C and what schedulers send before they end a process: the end of a terminal, Slurm's
# warning (`--signal=USR1@120`) and a limit on processor time. Windows has the first two.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
    if hasattr(signal, name)
)
EXIT_USER_ERROR = 2


class Interrupted(KeyboardInterrupt):
    """A signal ends the process.

    Attributes:
        exit_code: 128 and the number of the signal, as shells have it: 130 for SIGINT, 143 for
            SIGTERM.
    """

    def __init__(self, number: int, when: str = "") -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}{when}")
        self.exit_code = 128 + number


def raise_interrupted(number: int, frame: object) -> None:
    """A signal handler: ends what is in work by an exception, so that it can tidy up."""
    raise Interrupted(number)


def end_interrupted(number: int, frame: object) -> None:
    """A signal handler for where there is nothing to tidy up: ends the process with one line."""
    end_after(Interrupted(number))


def end_after(interruption: Interrupted) -> NoReturn:
    """End the process that a signal has interrupted, with one line."""
    print(f"{interruption}; the same command continues", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    # What is to stay is on the disk. An orderly end can crash on what XLA has in work.
    os._exit(interruption.exit_code)


@contextlib.contextmanager
def handled(handler: Callable[[int, Any], Any]) -> Iterator[None]:
    """Let a function handle signals, but for those that the process was started to ignore.

    Ctrl-C and SIGTERM are taken over from whoever handles them; the others, which mean nothing of
    their own, only where nobody does. Only the main thread may say what signals do; on another this
    changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _to_be_handled()}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _to_be_handled() -> list[int]:
    current = {number: signal.getsignal(number) for number in SIGNALS}
    return [
        number
        for number, handler in current.items()
        if handler in (signal.SIG_DFL, *_OWN)
        or (number in _ALWAYS and handler not in (signal.SIG_IGN, None))  # None is none of Python's
    ]


def _leave_to_watcher(number: int, frame: object) -> None:
    """A signal handler: nothing, since `Deferral` learns of the signal otherwise."""


# Handlers of this module, in whose place another of it may come, and what is always taken over.
_OWN = (raise_interrupted, end_interrupted, _leave_to_watcher)
_ALWAYS = (signal.SIGINT, signal.SIGTERM)


class Deferral:
    """Within it the first signal is only noted; a second SIGINT or SIGTERM ends at once.

    The main thread may be waiting for a device for minutes, in which Python calls no handlers, so
    it is a thread of its own that learns of the signals.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._numbers: list[int] = []
        self._stack = contextlib.ExitStack()

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._number is not None

    def raise_if_asked(self, when: str) -> None:
        """End the process, after the deferral, where a signal has come; `when` is told."""
        if self._number is not None:
            raise Interrupted(self._number, when)

    def __enter__(self) -> Deferral:
        with contextlib.ExitStack() as stack:
            if threading.current_thread() is threading.main_thread():
                self._numbers = _to_be_handled()
                stack.enter_context(self._watched())
                stack.enter_context(handled(_leave_to_watcher))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """A thread reads the numbers that Python writes as soon as a signal comes."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        watcher = threading.Thread(target=self._watch, args=(reading,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            os.write(writing, b"\0")
            watcher.join()
            os.close(writing)
            os.close(reading)

    def _watch(self, descriptor: int) -> None:
        while number := os.read(descriptor, 1)[0]:
            if number not in self._numbers:
                continue
            name = signal.Signals(number).name
            if self._number is not None:
                if number not in _ALWAYS:  # SIGXCPU comes every second
                    continue
                print(f"\n{name} again: ended at once", file=sys.stderr, flush=True)
                os._exit(128 + number)
            self._number = number
            print(
                f"\n{name}: ends after this epoch; a second signal ends at once",
                file=sys.stderr,
                flush=True,
            )


def fail(message: str, *, at_once: bool = False) -> NoReturn:
    """End the process with one line on what the user can put right; at once without tidying up."""
    first, *rest = [line.strip() for line in message.splitlines() if line.strip()] or ["unknown"]
    # Some libraries put a whole traceback or list of attempts in between.
    print(f"error: {' '.join([first, *rest[-1:]])}", file=sys.stderr)
    if at_once:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXIT_USER_ERROR)
    sys.exit(EXIT_USER_ERROR)

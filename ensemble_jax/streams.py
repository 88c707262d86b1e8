"""What is printed never decides what is computed: a standard stream that fails is replaced by none.

The reader of a pipe ends, the disk of a log is full, a stream was closed by whoever started the
process: a training goes on, unheard.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

# What moves a terminal's cursor, sets its title or turns the direction of a text around.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class _Nowhere(io.TextIOBase):
    """Takes whatever is written."""

    encoding = "utf-8"

    def write(self, text: str, /) -> int:
        return len(text)


class LenientStream:
    """A text stream that never fails: after the first failure it writes nowhere.

    Control characters, which names and ids of other people may hold, and what the stream's encoding
    lacks are written as escapes.

    Args:
        stream: what is written to; None for nowhere.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = _Nowhere() if stream is None else stream

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        shown = _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
        try:
            try:
                self._stream.write(shown)
            except UnicodeEncodeError as error:
                self._stream.write(
                    shown.encode(error.encoding, "backslashreplace").decode(error.encoding)
                )
        except (OSError, ValueError):  # a stream that was closed says ValueError
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """Bring to its end what was written."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def __getattr__(self, name: str) -> Any:
        """What else the stream has, such as `isatty` and `encoding`."""
        return getattr(self._stream, name)

    def _give_up(self) -> None:
        failed, self._stream = self._stream, _Nowhere()
        # What its buffer still holds, and what libraries write there, goes nowhere, too; otherwise
        # Python fails once more when the process ends.
        with (
            contextlib.suppress(OSError, ValueError, AttributeError),
            open(os.devnull, "wb") as nowhere,
        ):
            os.dup2(nowhere.fileno(), failed.fileno())


@contextlib.contextmanager
def lenient_output() -> Iterator[None]:
    """Within it neither stdout nor stderr fails."""
    _open_closed_streams()
    before = sys.stdout, sys.stderr
    if not isinstance(sys.stdout, LenientStream):
        sys.stdout = LenientStream(sys.stdout)
    if not isinstance(sys.stderr, LenientStream):
        sys.stderr = LenientStream(sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def _open_closed_streams() -> None:
    """Let the descriptors 0, 1 and 2 lead somewhere.

    Where one is closed, the next file that is opened gets its number, and what a library prints
    ends up in that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free

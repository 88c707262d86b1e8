"""Names and texts in messages, shortened where they are many or long."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_NAMES_SHOWN = 5
_CHARACTERS_SHOWN = 40


def first_few(names: Sequence[str], most: int = _NAMES_SHOWN) -> str:
    """The first names, and how many more there are.

    >>> first_few("abcdefg")
    'a, b, c, d, e and 2 more'
    """
    more = len(names) - most
    shown = ", ".join(map(_cut, names[:most]))
    return f"{shown} and {more} more" if more > 0 else shown


def shortened(text: str) -> str:
    """A text in quotes, cut where it is long.

    >>> shortened("yes"), shortened("How are the beans made, and by whom, and when?")
    ("'yes'", "'How are the beans made, and by whom, an...'")
    """
    return repr(_cut(text))


def meant(given: str, known: Iterable[str]) -> str:
    """A question about the closest of the known names, if one is close.

    >>> meant("sise", ["size", "channels"])
    ", is 'size' meant?"
    """
    close = difflib.get_close_matches(given, list(known), n=1)
    return f", is {close[0]!r} meant?" if close else ""


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS_SHOWN else f"{text[:_CHARACTERS_SHOWN]}..."

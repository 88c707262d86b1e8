"""Options in the name of a data set, as in `folder:PATH?size=64&channels=1`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from ensemble_jax.data.wording import meant


class NameOption(NamedTuple):
    """What the value of an option may be.

    Attributes:
        pattern: a regular expression that the value must match.
        words: what that is, for messages.
        read: makes the value of its text.
    """

    pattern: str
    words: str
    read: Callable[[str], Any] = str


def flag(text: str) -> bool:
    """The value of an option that is 0 or 1."""
    return text == "1"


FLAG = NameOption("[01]", "0 or 1", flag)
"""An option that is 0 or 1."""


def split_name(name: str, prefix: str, options: Mapping[str, NameOption]) -> tuple[str, dict]:
    r"""The path in `PREFIX PATH?OPTION=VALUE&...`, and the values of the options that are given.

    `%26`, `%3F` and so on in a value stand for characters that have a meaning here, as in URLs.

    Raises:
        ValueError: if there is no path, or an option is unknown, given twice, or has no value that
            it may have.

    >>> split_name("folder:photos?size=64", "folder:", {"size": NameOption(r"\d+", "pixels", int)})
    ('photos', {'size': 64})
    """
    path, _, query = name.removeprefix(prefix).partition("?")
    if not path and prefix.endswith(":"):
        raise ValueError(f"{name}: no path is named before the options")
    values: dict[str, Any] = {}
    for given in query.split("&") if query else []:
        key, _, text = given.partition("=")
        if key not in options:
            raise ValueError(
                f"{name}: options must be among {', '.join(options)}, written as in "
                f"{prefix}{path}?OPTION=VALUE&OPTION=VALUE; got {key!r}{meant(key, options)}"
            )
        option, text = options[key], unquote(text)
        if not re.fullmatch(option.pattern, text, re.ASCII | re.DOTALL):
            raise ValueError(f"{name}: {key} must be {option.words}, got {text!r}")
        if key in values:
            raise ValueError(f"{name}: {key} is given twice")
        values[key] = option.read(text)
    return path, values

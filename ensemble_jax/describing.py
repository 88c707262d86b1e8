"""What a user's objects and values are called: in configs, in tables, in names of folders."""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from typing import Any

import numpy as np

_MOST_CHARACTERS = 2000
# Fields that every module of flax.linen has, and that say nothing of a network.
_OF_FLAX = ("parent", "name")
# The address of an object in its repr, which differs between processes.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def describe(value: Any) -> str:
    """A network, an optimizer, a loss or a data set in words that are the same in every process.

    A name stays as it is, a function has its own name, and everything else its `repr` in one line.

    >>> describe(describe), describe("adam")
    ('describe', 'adam')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, functools.partial):
        given = [*map(repr, value.args), *(f"{k}={v!r}" for k, v in value.keywords.items())]
        return f"{describe(value.func)}({', '.join(given)})"
    if hasattr(value, "__qualname__"):
        return value.__qualname__.removeprefix("<locals>.").split("<locals>.")[-1]
    if dataclasses.is_dataclass(value):  # as modules of flax.linen are
        given = {
            field.name: getattr(value, field.name, None)
            for field in dataclasses.fields(value)
            if field.name not in _OF_FLAX
        }
        named = (f"{name}={describe(item)}" for name, item in given.items())
        return f"{type(value).__name__}({', '.join(named)})"
    names = getattr(value, "_fields", None)
    if names is not None and isinstance(value, tuple):  # such as a pair of pure functions
        fields = zip(names, value, strict=True)
        named = (f"{name}={describe(item)}" for name, item in fields)
        return f"{type(value).__name__}({', '.join(named)})"
    text = _ADDRESS.sub("", " ".join(repr(value).split()))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def plain_text(value: Any) -> str:
    """A value of an option as the command line has it; any other object by its name.

    >>> plain_text(0.05), plain_text((50, 100)), plain_text(None), plain_text(plain_text)
    ('0.05', '50+100', 'none', 'plain_text')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if type(value) in (tuple, list):
        return "+".join(map(plain_text, value)) or "none"
    return describe(value)

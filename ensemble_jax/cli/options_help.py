"""What `--help` shows of a binary: what it does, its options and, with their values, its fields."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from absl import flags

_WIDTH = 100


def help_text(module: ModuleType) -> str:
    """The docstring of a binary's module, and its options as NAME=VALUE: what they mean.

    The values are those of the command line as far as it was read, and else the defaults.
    """
    options = flags.FLAGS.get_key_flags_for_module(module.__name__)
    return "\n".join([inspect.getdoc(module) or "", "", "Options:", *_option_lines(options)])


def option_text(value: Any) -> str:
    """A value of a field as the command line has it.

    >>> option_text((0, 1, 2)), option_text(None), option_text(0.05), option_text(True)
    ('0,1,2', 'none', '0.05', 'true')
    """
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, tuple | list):
        return ",".join(map(option_text, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def field_texts(config: Any) -> dict[str, str]:
    """What the docstring of a dataclass, and of those it is derived from, says of its fields."""
    texts = {}
    for kind in reversed(type(config).__mro__):
        attributes = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
        for entry in re.split(r"^ {4}(?=\w)", attributes, flags=re.MULTILINE)[1:]:
            name, _, text = entry.partition(":")
            texts[name] = " ".join(text.split())
    return {field.name: texts[field.name] for field in dataclasses.fields(config)}


def _option_lines(options) -> Iterator[str]:
    for flag in options:
        given = f"--[no]{flag.name}" if flag.boolean else flag.serialize().rstrip("=")
        yield from _entry(given or f"--{flag.name}", flag.help)
        if dataclasses.is_dataclass(flag.value):
            for name, text in field_texts(flag.value).items():
                value = option_text(getattr(flag.value, name))
                yield from _entry(f"--{flag.name}.{name}{value and '='}{value}", text)


def _entry(option: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{option}: {text}",
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )

"""Configs as plain values: what JSON can hold, and how two of them differ."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_ABSENT = "(absent)"
# Levels of what is read from others; a config has a handful.
_DEEPEST = 50


def plain_value(value: Any, field: str) -> Any:
    """Make a nested value of dicts, lists, text, finite numbers, booleans and None.

    Tuples, ranges and arrays become lists, so a value equals itself after a round trip.

    Raises:
        ValueError: if it holds anything else; the message names the field.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping | list | tuple) and field.count(".") + field.count("[") > _DEEPEST:
        raise ValueError(f"{field[:40]}... is nested deeper than {_DEEPEST} levels")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{field}: names of fields must be text, got {key!r}")
        return {key: plain_value(item, f"{field}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain_value(item, f"{field}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{field} must be finite, got {value}")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{field} must be text, a number, a boolean, None, or a list or dict of these, "
        f"got {type(value).__name__}"
    )


def config_differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Say where two configs differ, one line `field: stored -> wanted` for each field.

    Nested fields are written with dots. `1` and `1.0` are equal, `1` and `True` are not.

    >>> config_differences({"model": {"width": 1}, "seed": 0}, {"model": {"width": 2}, "seed": 0})
    ['model.width: 1 -> 2']
    >>> config_differences({}, {"seed": 0})
    ['seed: (absent) -> 0']

    Raises:
        ValueError: if a config holds what `run.json` cannot.
    """
    old, new = fields(plain_value(stored, "config")), fields(plain_value(wanted, "config"))
    return [
        f"{field}: {_shown(old, field)} -> {_shown(new, field)}"
        for field in {**old, **new}
        if not (field in old and field in new and _equal(old[field], new[field]))
    ]


def fields(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a nested config into the values of its dotted fields."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= fields(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def format_config(config: Mapping[str, Any], indent: str = "") -> str:
    """JSON with one field to a line and every list, however long, on the line of its field."""
    if not config:
        return "{}"
    inner = indent + "  "
    lines = [
        f"{inner}{json.dumps(name, ensure_ascii=False)}: {_format_value(value, inner)}"
        for name, value in config.items()
    ]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _format_value(value: Any, indent: str) -> str:
    if isinstance(value, Mapping):
        return format_config(value, indent)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _shown(values: Mapping[str, Any], field: str) -> str:
    return json.dumps(values[field], ensure_ascii=False) if field in values else _ABSENT


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Sequence) and isinstance(b, Sequence) and not isinstance(a, str):
        return len(a) == len(b) and all(map(_equal, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)

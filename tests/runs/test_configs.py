"""Configs as plain values and their differences."""

import enum
import json

import numpy as np
import pytest

from ensemble_jax.runs import config_differences
from ensemble_jax.runs.configs import format_config, plain_value


@pytest.mark.parametrize(
    ("stored", "wanted", "lines"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, ["a: 1 -> true"]),
        ({"a": [1, (2, 3)]}, {"a": (1, [2, 3.0])}, []),
        ({"a": [0]}, {"a": [False]}, ["a: [0] -> [false]"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1] -> [1, 2]"]),
        ({"a": "x"}, {"a": "y"}, ['a: "x" -> "y"']),
        ({"a": "12"}, {"a": [1, 2]}, ['a: "12" -> [1, 2]']),
        ({"a": None}, {}, ["a: null -> (absent)"]),
        ({}, {"a": {}}, ["a: (absent) -> {}"]),
        ({"a": 1}, {"a": {"b": 2}}, ["a: 1 -> (absent)", "a.b: (absent) -> 2"]),
        (
            {"model": {"name": "st-VGG", "width": 1}, "seed": 0},
            {"model": {"name": "st-VGG", "width": np.int64(2)}, "seed": 1},
            ["model.width: 1 -> 2", "seed: 0 -> 1"],
        ),
    ],
)
def test_differences(stored, wanted, lines):
    assert config_differences(stored, wanted) == lines


class Plain(enum.StrEnum):
    ONE = "one"


def test_plain_values_survive_json():
    value = {"a": (1, np.float32(0.5), None), "b": {"c": True, "d": Plain.ONE, "é": "ü"}, "e": {}}
    plain = plain_value(value, "config")
    assert plain == {"a": [1, 0.5, None], "b": {"c": True, "d": "one", "é": "ü"}, "e": {}}
    assert json.loads(format_config(plain)) == plain


def test_format_has_one_line_for_each_field():
    text = format_config({"a": {"b": [1, 2], "c": {}}, "d": 0.1})
    assert text == '{\n  "a": {\n    "b": [1, 2],\n    "c": {}\n  },\n  "d": 0.1\n}'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {"b": object()}}, r"config\.a\.b must be text, .* got object"),
        ({"a": [0, {1, 2}]}, r"config\.a\[1\] must be text, .* got set"),
        ({"a": float("nan")}, r"config\.a must be finite, got nan"),
        ({"a": np.float32("inf")}, r"config\.a must be finite, got inf"),
        ({"a": {3: 1}}, r"config\.a: names of fields must be text, got 3"),
    ],
)
def test_other_values_are_refused_by_field(value, message):
    with pytest.raises(ValueError, match=message):
        plain_value(value, "config")

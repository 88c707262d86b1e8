"""What is trained for the figures, at each scale, as `recipes.toml` says."""

from __future__ import annotations

import dataclasses
import enum
import tomllib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model

_CONTENT = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


class Scale(enum.Enum):
    """How much is trained."""

    QUICK = "quick"
    HOUR = "hour"
    PAPER = "paper"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A collection of the paper, and what of it is another at the smaller scales.

    Attributes:
        name: of the collection in the paper: its data set and an ending.
        paper: as in the paper.
        changes: fields with other values, by scale; a `train_fraction` is one of the paper's set.
        too_large: whether the paper's data set is too large for the smaller scales, which then take
            its stand-in even where it is there.
    """

    name: str
    paper: TrainConfig
    changes: Mapping[Scale, Mapping[str, Any]]
    too_large: bool = False

    @property
    def ending(self) -> str:
        """The name without the data set."""
        return self.name.removeprefix(f"{self.paper.dataset}_")

    def config(self, scale: Scale) -> TrainConfig:
        """What is trained on the paper's data set."""
        return dataclasses.replace(self.paper, **self.changes.get(scale, {}))


@dataclasses.dataclass(frozen=True)
class StandIn:
    """Another data set, or some of its classes, learned in place of one that cannot be had.

    Attributes:
        dataset: its name; DATA_DIR in it is the folder of data sets.
        label: of collections trained on it, in names of folders.
        fewer: how many times fewer train examples it has than the set in whose place it is.
        classes: of the set; all if empty.
        source: where it can be had, for a set that does not say so itself.
    """

    dataset: str
    label: str
    fewer: float
    classes: tuple[str, ...] = ()
    source: str = ""


def _recipe(name: str, entry: Mapping[str, Any]) -> Recipe:
    config, _, argument = entry["config"].partition(":")
    get_config = import_module(f"ensemble_jax.configs.{config}").get_config
    base = get_config(argument) if argument else get_config()
    changes = {
        scale: _fields(shared | entry.get("small", {}) | entry.get(scale.value, {}))
        for scale, shared in ((Scale(name), of) for name, of in _CONTENT["scales"].items())
    }
    paper = dataclasses.replace(base, **_fields(entry.get("paper", {})))
    return Recipe(name, paper, changes, entry.get("too_large", False))


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a config, of the types that these have."""
    return {name: _value(name, value) for name, value in given.items()}


def _value(name: str, value: Any) -> Any:
    if name == "model":
        return Model(value)
    if name == "extents" and isinstance(value, str):
        first, last = map(int, value.split(".."))
        return tuple(range(first, last + 1))
    return tuple(value) if isinstance(value, list) else value


RECIPES: Mapping[str, Recipe] = {
    name: _recipe(name, entry) for name, entry in _CONTENT["collections"].items()
}
"""All of them, by the name of the collection in the paper."""

STAND_INS: Mapping[str, StandIn] = {
    name: StandIn(**_fields(entry)) for name, entry in _CONTENT["stand_ins"].items()
}
"""By the name of the paper's set."""

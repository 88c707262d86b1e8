"""The figures of the paper, what each needs and how it is drawn, as `figures.toml` says."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Any

from ensemble_jax.cli import binary
from ensemble_jax.cli.sweep_config import SweepConfig
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.reproduction import robustness
from ensemble_jax.reproduction.material import Drawing, Material
from ensemble_jax.reproduction.recipes import Scale

# The module of each drawing. It is imported when it draws: a list of what there is needs none of
# Matplotlib, SciPy and scikit-learn, which load slowly.
_MODULES: Mapping[str, str] = {
    "accessibility": "pairs",
    "boosting": "examples",
    "classes": "examples",
    "classifiers": "examples",
    "consensus": "histograms",
    "consistency": "histograms",
    "cross_consistency": "pairs",
    "linear_and_not": "pairs",
    "parts": "histograms",
    "probes": "histograms",
    "robustness": "robustness",
    "typical_examples": "examples",
}


@dataclass(frozen=True)
class Figure:
    """A figure of the paper.

    Attributes:
        number: as on the command line; a letter behind it is a part.
        shows: what it shows in the paper, in a sentence.
        collections: the names of the recipes of what is trained for it.
        drawings: what it is made of, with what a drawing needs to know beside the material.
        hour: what is trained for it at that scale, where it is other.
        quick: the same of that scale.
    """

    number: str
    shows: str
    collections: Sequence[str]
    drawings: Mapping[str, Mapping[str, Any]]
    hour: Sequence[str] = ()
    quick: Sequence[str] = ()

    def needs(self, scale: Scale) -> Sequence[str]:
        """The names of the recipes at a scale."""
        return {Scale.HOUR: self.hour, Scale.QUICK: self.quick}.get(scale) or self.collections

    @property
    def sweeps(self) -> Callable[[TrainConfig, Scale], dict[str, SweepConfig]] | None:
        """What is trained beside the first recipe, by the option that varies."""
        return robustness.sweeps if "robustness" in self.drawings else None

    @property
    def title(self) -> str:
        """What it is called."""
        return f"figure {self.number}" if self.number[0].isdigit() else self.number

    def draw(self, material: Material) -> Drawing:
        """From what was trained, in the order of `needs`, to displays and numbers."""
        return reduce(or_, (_drawing(of)(material, **known) for of, known in self.drawings.items()))


def _drawing(name: str) -> Callable[..., Drawing]:
    module = import_module(f"ensemble_jax.reproduction.{_MODULES[name]}")
    return getattr(module, name)


_CONTENT = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
FIGURES: Mapping[str, Figure] = {entry["number"]: Figure(**entry) for entry in _CONTENT["figures"]}
"""All of them, by number."""


def choose_figures(wanted: list[str]) -> list[Figure]:
    """The figures of these numbers, each once; a number without a letter is all its parts.

    Raises:
        ValueError: if there is none of that number, or nothing is wanted.
    """
    if not wanted:
        raise ValueError("--figure must name at least one figure; --list shows them")
    chosen: dict[str, Figure] = {}
    for given in wanted:
        if given == "all":
            chosen |= FIGURES
            continue
        parts = {n: f for n, f in FIGURES.items() if n.rstrip("abc") == given or n == given}
        if not parts:
            known = {number: number for number in FIGURES}
            raise ValueError(
                f"--figure must be of {', '.join(FIGURES)} or all, got {given!r}"
                f"{binary.suggestion(given, known)}"
            )
        chosen |= parts
    return list(chosen.values())

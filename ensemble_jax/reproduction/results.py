"""A drawn figure on the disk and on the terminal: published beside measured numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ensemble_jax.report.run_report import save_result
from ensemble_jax.reproduction.figures import Figure
from ensemble_jax.reproduction.material import Collection, Drawing, Material
from ensemble_jax.reproduction.published import read_published
from ensemble_jax.runs import command_line, library_versions
from ensemble_jax.runs.files import replace_file

NUMBERS = "numbers.json"


class Number(NamedTuple):
    """What was measured, and what the paper found where it says so.

    Attributes:
        name: of what was measured.
        measured: NaN where it is not defined.
        published: None where the paper gives no number.
        source: where the paper gives it; else empty.
    """

    name: str
    measured: float
    published: float | None = None
    source: str = ""


def compare_with_published(figure: Figure, drawing: Drawing) -> list[Number]:
    """All numbers of a figure, those of the paper first.

    Raises:
        KeyError: if a number of the paper was not measured.
    """
    published = read_published().get(figure.number, [])
    compared = [
        Number(number.name, drawing.numbers[number.name], number.value, number.source)
        for number in published
    ]
    names = {number.name for number in published}
    rest = [Number(name, value) for name, value in drawing.numbers.items() if name not in names]
    return compared + rest


def write_figure(
    figure: Figure, drawing: Drawing, material: Material, directory: Path
) -> list[Path]:
    """Write PNG, SVG and CSV of every display, and `numbers.json`; returns the files but the SVG.

    Args:
        figure: which.
        drawing: it, drawn from the material.
        material: what was trained.
        directory: is made if it is missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, display in drawing.displays.items():
        written += save_result(display, directory / name)
    collections = [_describe(collection) for collection in material.collections.values()]
    content = {
        "figure": figure.number,
        "shows": figure.shows,
        "scale": material.scale.value,
        "command": command_line(),
        "stand_in": any(collection["in_place_of"] for collection in collections),
        "collections": collections,
        "numbers": [
            {
                "name": number.name,
                "published": number.published,
                "source": number.source,
                "measured": None if math.isnan(number.measured) else number.measured,
            }
            for number in compare_with_published(figure, drawing)
        ],
        "remarks": list(drawing.remarks),
        "versions": library_versions(),
    }
    replace_file(directory / NUMBERS, f"{json.dumps(content, indent=2)}\n".encode())
    return [*written, directory / NUMBERS]


def comparison_lines(numbers: Sequence[Number]) -> Iterator[str]:
    """A table for people."""
    width = max(len(number.name) for number in numbers)
    yield f"{'':{width}}  published  measured"
    for number in numbers:
        published = "" if number.published is None else f"{number.published:g}"
        source = f"  ({number.source})" if number.source else ""
        measured = "undefined" if math.isnan(number.measured) else f"{number.measured:.3g}"
        yield f"{number.name:{width}}  {published:>9}  {measured:>8}{source}"


def _describe(collection: Collection) -> dict[str, Any]:
    """What was trained, as far as the figure depends on it."""
    training, run = collection
    config = run.config
    return {
        "name": training.name,
        "run": run.directory.name,
        "model": config["model"],
        "dataset": run.manifest.data.name,
        "in_place_of": training.in_place_of,
        "reason": training.reason,
        "members": len(run.members),
        "extents": list(run.extents),
        "protocol": run.manifest.protocol,
        "train_examples": run.manifest.data.split_sizes["train"],
        "test_examples": run.manifest.data.split_sizes["test"],
        "trained_by": run.manifest.command,
        "devices": list(run.manifest.devices),
    }

"""The numbers that the paper gives, with where it gives them; they lie in `published.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

_FILE = Path(__file__).with_name("published.json")


class Published(NamedTuple):
    """A number of the paper.

    Attributes:
        name: of what was measured.
        value: as printed.
        source: the figure, section or appendix.
    """

    name: str
    value: float
    source: str


def read_published() -> dict[str, list[Published]]:
    """The numbers by figure; figures without any are left out.

    >>> read_published()["25c"][0].value
    0.82
    """
    figures = json.loads(_FILE.read_text(encoding="utf-8"))
    return {
        figure: [Published(**number) for number in numbers] for figure, numbers in figures.items()
    }

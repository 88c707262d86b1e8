"""A page of tables, figures and examples as one HTML file that needs nothing else.

What is shown is plain data. Whatever text it holds, such as the names of classes, may come from
anywhere: the template escapes all of it, and the page's own policy lets nothing be loaded and no
script run but that of the explorer, which it names by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import jinja2

from ensemble_jax.report.explorer import Explorer

_TEMPLATE = "page.html.jinja"
_SCRIPT, _STYLE = "explorer.js", "explorer.css"
_MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
# Of the drawing of a curve, in its own units.
_CURVE_WIDTH, _CURVE_HEIGHT = 100, 28


class Highlight(NamedTuple):
    """A number that everybody asks for first."""

    name: str
    value: str
    detail: str = ""


class Bar(NamedTuple):
    """A cell whose number is also drawn, as a share in [0, 1] of the cell's width."""

    text: str
    share: float


@dataclass(frozen=True)
class Paragraph:
    """A text."""

    text: str
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    caption: str
    items: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as there are columns; the first cell of a row says what it is of."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Bar]]
    note: str = ""
    # Whether all cells but the first are numbers, which stand to the right.
    numeric: bool = True
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"rows of {self.caption!r} must have {len(self.columns)} cells, got {len(row)}"
                )


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        source: the file as a data URI.
        description: what it shows, for those who do not see it.
        caption: what is to be seen in it.
    """

    source: str
    description: str
    caption: str = ""
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class Curve:
    """Values in [0, 1] over increasing positions, beside a reference."""

    positions: Sequence[float]
    values: Sequence[float]
    reference: Sequence[float]

    @property
    def description(self) -> str:
        """The values in words."""
        pairs = zip(self.positions, self.values, strict=True)
        return ", ".join(f"{position:g}: {value:.2f}" for position, value in pairs)

    @property
    def points(self) -> str:
        """The corners of the line as SVG has them."""
        return self._points(self.values)

    @property
    def reference_points(self) -> str:
        """Those of the reference."""
        return self._points(self.reference)

    @property
    def view(self) -> str:
        """The box that the points lie in, with a margin for the width of lines."""
        return f"-2 -2 {_CURVE_WIDTH + 4} {_CURVE_HEIGHT + 4}"

    def _points(self, values: Sequence[float]) -> str:
        first, last = self.positions[0], self.positions[-1]
        if last > first:
            across = [(position - first) / (last - first) for position in self.positions]
        else:  # a point alone is drawn as a level line
            across, values = [0.0, 1.0], [*values, *values]
        return " ".join(
            f"{share * _CURVE_WIDTH:.1f},{(1 - value) * _CURVE_HEIGHT:.1f}"
            for share, value in zip(across, values, strict=True)
        )


@dataclass(frozen=True)
class Card:
    """An example.

    Attributes:
        title: what it is, such as its class.
        lines: what else is to be said.
        curve: how it was learned.
        picture: a data URI, empty if there is none.
        text: where the example is a text.
    """

    title: str
    lines: Sequence[str]
    curve: Curve
    picture: str = ""
    text: str = ""


@dataclass(frozen=True)
class Gallery:
    """Examples beside each other."""

    caption: str
    cards: Sequence[Card]
    kind: ClassVar[str] = "gallery"


Block = Paragraph | Facts | Table | Figure | Gallery


class Section(NamedTuple):
    """A part of a page; `name` is that of its link, of letters and hyphens."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """All that a page shows."""

    title: str
    subtitle: str
    warnings: Sequence[str]
    highlights: Sequence[Highlight]
    sections: Sequence[Section]
    explorer: Explorer | None = None


def render_page(page: Page) -> str:
    """The page as HTML."""
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script, style = ((folder / name).read_text("utf-8") for name in (_SCRIPT, _STYLE))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(_TEMPLATE).render(
        page=page, script=script, script_hash=f"sha256-{digest}", style=style
    )


def file_uri(path: Path) -> str:
    """A PNG or SVG file as a data URI."""
    return data_uri(path.read_bytes(), _MEDIA_TYPES[path.suffix])


def data_uri(content: bytes, media_type: str) -> str:
    """Content as an address that holds it.

    >>> data_uri(b"abc", "image/png")
    'data:image/png;base64,YWJj'
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"

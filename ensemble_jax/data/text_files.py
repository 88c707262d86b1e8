"""Labelled texts in the columns of text files: CSV, or plain lines with tabs."""

from __future__ import annotations

import codecs
import contextlib
import csv
import html
import io
import itertools
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ensemble_jax.data.wording import first_few, shortened

# The elements that Stack Overflow allows in posts; `vector<int>`, for example, is code.
_HTML_TAG = re.compile(
    r"</?(?:a|b|blockquote|br|code|dd|del|div|dl|dt|em|h[1-6]|hr|i|img|kbd|li|ol|p|pre|s|span"
    r"|strike|strong|sub|sup|ul)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_DELIMITERS = {"tab": "\t", ";": ";", ",": ",", "|": "|"}
# So many columns are shown in a message.
_COLUMNS_SHOWN = 10
# With at most so many classes, many of them may have few texts.
_FEW_CLASSES = 20


@dataclass(frozen=True)
class TextFormat:
    """How labelled texts stand in a file.

    Attributes:
        text: the column of the texts: its name in the header, or its number from 1.
        label: the column of the labels.
        true_label: the column of what the texts really are where labels may be wrong; None for
            none. See `Split.true_labels`.
        delimiter: one character, which separates the values of a row.
        encoding: of the file, any that Python has; a byte order mark is passed over in UTF-8.
        header: whether the first row names the columns. None means that it does not, but a first
            row whose label no other row has is refused, since it looks like a header.
        test: the share of each class that is tested on, in (0, 1).
        quotes: whether values may be quoted as in CSV, and then have several lines.
        of_html: whether elements and entities of HTML are taken out of the texts.
        characters: whether each character is a word, for scripts without blanks between words.
        skip_broken: whether rows with an empty text or another number of values are left out, with
            a warning, instead of refused.
    """

    text: str
    label: str
    true_label: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    header: bool | None = True
    test: float = 0.2
    quotes: bool = True
    of_html: bool = False
    characters: bool = False
    skip_broken: bool = False

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1 or self.delimiter in '\r\n"':
            raise ValueError(f"delimiter must be one character, got {self.delimiter!r}")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(
                f"encoding must be one that Python has, such as utf-8, utf-16, latin-1 or cp1252, "
                f"got {self.encoding!r}"
            ) from None
        if not 0 < self.test < 1:
            raise ValueError(f"test must be a share between 0 and 1, got {self.test}")
        if self.text == self.label:
            raise ValueError(f"text and label must be different columns, got {self.text!r} twice")


class LabelledTexts(NamedTuple):
    """M labelled texts of one file.

    Attributes:
        labels: of each.
        texts: without blanks around them.
        ids: `[M]`, the number of each row in the file, from 0, a header not counted.
        true_labels: of each, where there is such a column.
        notes: what was left out, for `Dataset.notes`.
    """

    labels: Sequence[str]
    texts: Sequence[str]
    ids: Int[np.ndarray, " M"]
    true_labels: Sequence[str] | None
    notes: tuple[str, ...] = ()

    def select(self, rows: Int[np.ndarray, " chosen"]) -> LabelledTexts:
        """The texts at these positions."""

        def chosen(values: Sequence[str]) -> list[str]:
            return [values[int(row)] for row in rows]

        true_labels = None if self.true_labels is None else chosen(self.true_labels)
        return LabelledTexts(
            chosen(self.labels), chosen(self.texts), self.ids[rows], true_labels, self.notes
        )


def read_texts(name: str, path: Path, form: TextFormat) -> LabelledTexts:
    """All rows of a file that have a label.

    Raises:
        ValueError: naming the line if a row has no text or another number of values than the first,
            or if there is no such column, or no text, or the encoding is another.
    """
    rows = _rows(name, path, form)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{name}: {path} is empty")
    wanted = [option for option in ("text", "label", "true_label") if getattr(form, option)]
    at = {option: _column(name, path, form, option, first[1]) for option in wanted}
    if not form.header:
        rows = itertools.chain([first], rows)
    columns: dict[str, list[str]] = {option: [] for option in wanted}
    ids, broken, unlabelled = [], [], 0
    for number, (line, row) in enumerate(rows):
        if len(row) != len(first[1]):
            problem = f"must have {len(first[1])} values, as the first row has, got {len(row)}"
        else:
            values = {option: row[place].strip() for option, place in at.items()}
            if form.of_html:
                values["text"] = html.unescape(_HTML_TAG.sub(" ", values["text"])).strip()
            if not values["label"]:
                unlabelled += 1
                continue
            empty = [option for option, value in values.items() if not value]
            problem = f"has an empty {empty[0]}" if empty else ""
        if problem and not form.skip_broken:
            raise ValueError(
                f"{name}: {path}, line {line} {problem}; skip_broken=1 leaves such rows out"
            )
        if problem:
            broken.append(line)
            continue
        ids.append(number)
        for option, value in values.items():
            columns[option].append(value)
    if broken:
        warnings.warn(
            f"{name}: left {len(broken)} broken rows of {path.name} out, the first in line "
            f"{broken[0]}",
            stacklevel=2,
        )
    if not ids:
        raise ValueError(f"{name}: {path} has no text with a label")
    left_out = {"rows without a label": unlabelled, "broken rows": len(broken)}
    notes = tuple(f"{n} {what} left out of {path.name}" for what, n in left_out.items() if n)
    ids = np.array(ids, np.int64)
    return LabelledTexts(columns["label"], columns["text"], ids, columns.get("true_label"), notes)


def check_labels(name: str, path: Path, form: TextFormat, texts: LabelledTexts) -> None:
    """Raises ValueError where labels look like texts, or the first row like a header."""
    labels = texts.labels
    counts = Counter(labels)
    if len(counts) > max(_FEW_CLASSES, len(labels) // 2):
        raise ValueError(
            f"{name}: the label column {form.label} of {path} has {len(counts)} different values "
            f"in {len(labels)} rows, such as {shortened(labels[0])}: is it a column of texts?"
        )
    alone = texts.ids[0] == 0 and counts[labels[0]] == 1 and max(counts.values()) > 1
    if form.header is None and alone:
        raise ValueError(
            f"{name}: the first row of {path}, with the label {shortened(labels[0])} that no other "
            "row has, looks like a header: header=1 says that it is one, header=0 that it is not"
        )


def _column(name: str, path: Path, form: TextFormat, option: str, columns: list[str]) -> int:
    """The place of the column that an option names."""
    wanted = getattr(form, option)
    names = [column.strip() for column in columns] if form.header else []
    if names.count(wanted) == 1:
        return names.index(wanted)
    if re.fullmatch("[1-9][0-9]{0,5}", wanted) and int(wanted) <= len(columns):
        return int(wanted) - 1
    problem = "has several such" if wanted in names else f"has {len(columns)}"
    what = "the columns" if form.header else "without a header, in the first row"
    others = [
        word
        for word, character in _DELIMITERS.items()
        if len(columns) == 1 and character != form.delimiter and character in columns[0]
    ]
    meant = f"; is delimiter={others[0]} meant?" if others else ""
    raise ValueError(
        f"{name}: {option} must be the name or number of a column, got {shortened(wanted)}, and "
        f"{path} {problem}, {what} {first_few(columns, _COLUMNS_SHOWN)}; {option}=COLUMN names "
        f"another{meant}"
    )


def _rows(name: str, path: Path, form: TextFormat) -> Iterator[tuple[int, list[str]]]:
    """Each row of a file with the number of its last line, from 1."""
    content = _decoded(name, path, form.encoding)
    if not form.quotes:
        lines = content.split("\n")
        if not lines[-1]:
            lines.pop()
        for number, line in enumerate(lines, start=1):
            yield number, line.split(form.delimiter)
        return
    with _without_limit():
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=form.delimiter, strict=True)
        last = 0
        try:
            for row in reader:
                last = reader.line_num
                if row:
                    yield last, row
        except csv.Error as error:
            raise ValueError(f"{name}: {path}, after line {last}: {error}") from error


@contextlib.contextmanager
def _without_limit() -> Iterator[None]:
    """Values of any size, where the module csv allows 131,072 characters."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _decoded(name: str, path: Path, encoding: str) -> str:
    """The content of a file."""
    content = path.read_bytes()
    if codecs.lookup(encoding).name == "utf-8":
        encoding = "utf-8-sig"  # with or without a byte order mark
    try:
        return content.decode(encoding)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = content.count(b"\n", 0, start) + 1
        utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        likely = "utf-16" if utf_16 else "latin-1"
        raise ValueError(
            f"{name}: {path} must be {encoding.removesuffix('-sig').upper()}, and line {line} is "
            f"not; encoding={likely} or another one says what it is"
        ) from error

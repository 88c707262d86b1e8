"""Tables of a run for pandas, and files of them that are read back the same."""

from __future__ import annotations

import csv
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ensemble_jax.runs.examples import TRAIN
from ensemble_jax.runs.files import replace_file

if TYPE_CHECKING:
    from ensemble_jax.runs.arrays import RunArrays

_PARQUET, _CSV = ".parquet", ".csv"
# A field of a CSV file, quoted or not, and what ends it.
_FIELD = re.compile(rb'("(?:[^"]|"")*"|[^,\r\n]*)(?:,|\r?\n|\Z)')


def example_table(run: RunArrays, split: str, extents: Sequence[int] | None) -> pd.DataFrame:
    """A row for each example, with all scores; see `Run.to_pandas`."""
    from ensemble_jax.analysis import example_scores  # SciPy loads slowly

    columns = _describe_examples(run, split)
    if split == TRAIN:
        columns["train_share"] = run.train_mask.mean(axis=0)
    for name, (value, error) in example_scores(run, split, extents=extents).items():
        # In 64 bits, of which a CSV file holds all digits.
        columns[name] = value.astype(np.float64)
        if not np.isnan(error).all():
            columns[f"{name}_error"] = error.astype(np.float64)
    return pd.DataFrame(columns)


def record_table(run: RunArrays, split: str, extents: Sequence[int] | None) -> pd.DataFrame:
    """A row for each extent, member and example; see `Run.to_pandas`."""
    chosen = list(run.extents if extents is None else extents)
    shape = len(chosen), len(run.members), len(run.labels[split])

    def repeated(values, axis):
        """Values along one axis, in every row."""
        places: list[Any] = [np.newaxis] * 3
        places[axis] = slice(None)
        return np.broadcast_to(np.asarray(values)[tuple(places)], shape).ravel()

    columns = {"extent": repeated(chosen, 0), "member": repeated(run.members, 1)}
    columns |= {name: repeated(of, 2) for name, of in _describe_examples(run, split).items()}
    if split == TRAIN:
        columns["train_mask"] = np.broadcast_to(run.train_mask, shape).ravel()
    columns["correct"] = run.correct(split, chosen).ravel()
    columns["prediction"] = run.predictions(split, chosen).ravel()
    for quantity in run.recorded_quantities[split]:
        # pandas computes hardly anything with float16.
        values = run.recorded(quantity, split, chosen).astype(np.float32)
        if values.ndim == len(shape):
            columns[quantity] = values.ravel()
            continue
        for name, of_class in zip(run.class_names, np.moveaxis(values, -1, 0), strict=True):
            columns[f"{quantity}_{name}"] = of_class.ravel()
    return pd.DataFrame(columns)


def _describe_examples(run: RunArrays, split: str) -> dict[str, np.ndarray]:
    labels, truth = run.labels[split], run.true_labels(split)
    columns = {
        "id": run.ids[split],
        # As CSV gives it back.
        "label": labels.astype(np.int64),
        "class": np.array(run.class_names, object)[labels],
    }
    return columns if truth is None else columns | {"true_label": truth.astype(np.int64)}


def write_frame(frame: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a table as `.parquet` or `.csv`, and return its path.

    Missing folders are made; the file appears whole or not at all. Numbers of a CSV file have all
    their digits, texts are quoted, and what is missing is empty.

    Args:
        frame: of `Run.to_pandas`, or any other of numbers, truth values and texts.
        path: ends in `.parquet` or `.csv`.

    Raises:
        ValueError: another ending.
        ModuleNotFoundError: `.parquet` without pyarrow.
    """
    target = _with_known_ending(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == _CSV:
        text = frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        content = text.encode()
    else:
        _check_pyarrow(target)
        content = frame.to_parquet(index=False, engine="pyarrow")
    replace_file(target, content)
    return target


def read_frame(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table that `write_frame` has written, with the same values and kinds of columns.

    A class that is called `NA` stays a text, and so does an id `0001`, which pandas would take for
    something missing and for a number. Numbers come back in 64 bits from CSV, and a missing text
    as an empty one.

    Raises:
        ValueError: another ending than `.parquet` or `.csv`.
        ModuleNotFoundError: `.parquet` without pyarrow.
    """
    source = _with_known_ending(path)
    if source.suffix == _PARQUET:
        _check_pyarrow(source)
        return pd.read_parquet(source, engine="pyarrow")
    is_text = _text_columns(source)
    frame: Any = pd.read_csv(source, dtype=str, keep_default_na=False)
    for name in frame.columns.difference(list(is_text)):
        frame[name] = _restored(frame[name])
    return frame


def _text_columns(path: Path) -> set[str]:
    """The columns of a CSV file that hold texts: `write_frame` quotes them, and no numbers.

    Reads as far as each column has a value; those without any hold no texts.
    """
    with path.open(newline="", encoding="utf-8") as file:
        names = next(csv.reader(file))
    undecided, texts = set(range(len(names))), set()
    fields = itertools.islice(_FIELD.finditer(path.read_bytes()), len(names), None)
    for place, field in zip(itertools.cycle(range(len(names))), fields, strict=False):
        if field[1] in (b"", b'""'):
            continue
        if place in undecided and field[1].startswith(b'"'):
            texts.add(names[place])
        undecided.discard(place)
        if not undecided:
            break
    return texts


def _restored(column: pd.Series) -> Any:
    """Truth values, integers or floats from how they are written, to the last digit."""
    if len(column) and column.isin(["True", "False"]).all():
        return column == "True"
    try:
        return column.astype(np.int64)
    except ValueError:
        return column.replace("", "nan").astype(np.float64)


def _with_known_ending(path: str | os.PathLike[str]) -> Path:
    known = Path(path)
    if known.suffix not in (_PARQUET, _CSV):
        raise ValueError(f"path must end in {_PARQUET} or {_CSV}, got {known}")
    return known


def _check_pyarrow(path: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} takes pyarrow: pip install 'ensemble_jax[parquet]', or use {_CSV}",
            name=error.name,
        ) from error

"""The examples of a run as other tools take them: cleanlab, datasets, FiftyOne, Spotlight."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Num

from ensemble_jax.analysis import (
    arrays_of_run,
    check_held_out,
    member_mean,
    most_frequent_class,
)
from ensemble_jax.data import Dataset, read_inputs
from ensemble_jax.data.showing import as_bytes, as_png, as_texts, why_no_pictures
from ensemble_jax.runs.tables import example_table, record_table

if TYPE_CHECKING:
    import datasets

    from ensemble_jax.runs.arrays import RunArrays

_LABELS = ("label", "true_label", "prediction")
_EXAMPLES_PER_READ = 1024


class HeldOutProbabilities(NamedTuple):
    """What cleanlab judges labels by: `find_label_issues(*run.to_cleanlab())`.

    Attributes:
        labels: `[M]`, those of the data set, in 0..K-1.
        pred_probs: `[M, K]`, the mean probabilities of the members that were not trained on an
            example; each row sums to 1.
    """

    labels: Int[np.ndarray, " M"]
    pred_probs: Float[np.ndarray, "M K"]


def held_out_probabilities(run: RunArrays, split: str, extent: int) -> HeldOutProbabilities:
    """The labels of a split and held-out probabilities; see `Run.to_cleanlab`."""
    arrays = arrays_of_run(run, split, [extent])
    if "probabilities" not in arrays:
        raise ValueError(
            f"{run.directory} recorded neither probabilities nor logits of {split}: train with "
            f"record=('probabilities:{split}',)"
        )
    check_held_out(arrays["train_mask"])
    mean = member_mean(arrays["probabilities"], ~arrays["train_mask"]).mean
    return HeldOutProbabilities(arrays["labels"], mean / mean.sum(axis=1, keepdims=True))


def huggingface_table(
    run: RunArrays, split: str, extents: Sequence[int], records: bool, data: Dataset | None
) -> datasets.Dataset:
    """The examples as a table of Hugging Face's `datasets`; see `Run.to_huggingface`."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "to_huggingface takes datasets: pip install datasets", name=error.name
        ) from error
    if records and data is not None:
        raise ValueError("data must be None with records, which repeat every example")
    make = record_table if records else example_table
    # A ClassLabel has the names of the classes.
    table = datasets.Dataset.from_pandas(
        make(run, split, extents).drop(columns="class"), preserve_index=False
    )
    for name in set(_LABELS).intersection(table.column_names):
        table = table.cast_column(name, datasets.ClassLabel(names=list(run.class_names)))
    if data is not None:
        name, shown = _shown(run, split, data)
        table = table.add_column(name, shown)
        if name == "image":
            table = table.cast_column(name, datasets.Image())
    return table


def sample_table(
    run: RunArrays,
    split: str,
    extents: Sequence[int],
    data: Dataset | None,
    files: str | os.PathLike[str] | None,
    embedding: Num[Any, "M D"] | None,
) -> pd.DataFrame:
    """A row for each example with all that tools for looking at examples take; see `Run`."""
    scores = example_table(run, split, extents)
    names = np.array([*run.class_names, ""], object)
    columns: dict[str, Any] = {}
    if files is not None:
        columns["filepath"] = _paths(run.ids[split], Path(files))
    if data is not None:
        name, shown = _shown(run, split, data)
        columns[name] = shown
    columns["example_id"] = scores.pop("id")
    scores = scores.drop(columns="class")
    votes = run.predictions(split, extents[-1])[0]
    scores.insert(1, "prediction", most_frequent_class(votes, run.num_classes).classes)
    for name in set(_LABELS).intersection(scores):
        # What is unknown is -1, the last name.
        scores[name] = names[scores[name].to_numpy()]
    vectors = _embedding(run, split, extents[-1]) if embedding is None else np.asarray(embedding)
    if vectors.ndim != 2 or len(vectors) != len(scores) or vectors.dtype.kind not in "iuf":
        raise ValueError(
            f"embedding must be numbers [{len(scores)}, D], got {vectors.dtype} "
            f"{list(vectors.shape)}"
        )
    columns |= {str(name): column for name, column in scores.items()}
    return pd.DataFrame(columns | {"embedding": list(vectors.astype(np.float32))})


def _embedding(run: RunArrays, split: str, extent: int) -> Float[np.ndarray, "M K"]:
    """What the members say of each class, on average: probabilities, or else their votes."""
    probabilities = arrays_of_run(run, split, [extent]).get("probabilities")
    if probabilities is None:
        return run.votes(split, extent)[0] / len(run.members)
    return member_mean(probabilities).mean


def _paths(ids: np.ndarray, folder: Path) -> list[str]:
    if ids.dtype.kind != "U":
        raise ValueError(f"files must be None where ids are no paths, got {folder}")
    paths = [folder.absolute() / name for name in ids]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise ValueError(
            f"files must be the folder that ids are relative to, got {folder}, where "
            f"{len(missing)} of {len(paths)} are missing, such as {missing[0]}"
        )
    return list(map(str, paths))


def _shown(run: RunArrays, split: str, data: Dataset) -> tuple[str, list[Any]]:
    """`image` and the PNG file of each example, or `text` and the words that members see."""
    examples = data.splits[split]
    if not np.array_equal(examples.ids, run.ids[split]):
        raise ValueError(f"data must be those of {run.directory}, got other ids in {data.name}")
    pieces = _pieces(examples.inputs)
    if data.word_vectors is not None:
        return "text", [text for piece in pieces for text in as_texts(piece, data)]
    if remark := why_no_pictures(data):
        raise ValueError(f"data must be pictures or texts. {remark}")
    return "image", [as_png(picture) for piece in pieces for picture in as_bytes(piece)]


def _pieces(inputs: Any) -> Iterator[np.ndarray]:
    for start in range(0, len(inputs), _EXAMPLES_PER_READ):
        positions = np.arange(start, min(start + _EXAMPLES_PER_READ, len(inputs)))
        yield read_inputs(inputs, positions)

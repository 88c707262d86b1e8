"""Single examples of a run as people see them: pictures and texts, from the run's data set."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from ensemble_jax.cli.dataset import load_data_of_run
from ensemble_jax.data import Dataset, read_inputs
from ensemble_jax.runs import Run

# Pixels of the longer side; a larger picture is made smaller.
_LONGEST_SIDE = 128


class Exhibits(NamedTuple):
    """How the chosen examples of each split are shown.

    Attributes:
        pictures: PNG files by split, empty where the examples are no pictures.
        texts: by split, empty where the examples are no texts.
        remark: what is to be said of them, above all why there are none.
    """

    pictures: Mapping[str, Sequence[bytes]]
    texts: Mapping[str, Sequence[str]]
    remark: str = ""


def show_examples(
    run: Run,
    chosen: Mapping[str, Sequence[int]],
    dataset: Dataset | None = None,
    data_dir: str = "",
) -> Exhibits:
    """The examples at these positions of each split.

    A run can be read where its data set is not, so that there may be nothing to show: then the
    remark says why.

    Args:
        run: which may know its data set by a name.
        chosen: positions by split.
        dataset: what it is on, where that is at hand.
        data_dir: where tensorflow-datasets has prepared its sets; empty means its own default.
    """
    try:
        dataset = dataset or load_data_of_run(run, data_dir)
    # Whatever a data set or a config from elsewhere has in store, all else can be reported.
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        return Exhibits({}, {}, f"The examples are not shown, as their data cannot be read: {told}")
    inputs = {
        split: read_inputs(dataset.splits[split].inputs, np.asarray(of))
        for split, of in chosen.items()
    }
    if dataset.word_vectors is not None:
        return Exhibits({}, {split: _texts(of, dataset) for split, of in inputs.items()})
    shape = dataset.input_shape
    if not (len(shape) == 3 and shape[-1] in (1, 3)):
        return Exhibits({}, {}, f"Examples of the shape {list(shape)} cannot be shown as pictures.")
    remark = ""
    if dataset.train.inputs.dtype != np.uint8:
        inputs = {split: _as_bytes(of) for split, of in inputs.items()}
        remark = "The values of each picture are stretched from black to white."
    return Exhibits({split: list(map(_as_png, of)) for split, of in inputs.items()}, {}, remark)


def _texts(ids: Shaped[np.ndarray, "M L"], dataset: Dataset) -> list[str]:
    """The words that members see."""
    rows = [[dataset.words[int(word)] for word in text] for text in ids]
    return [" ".join(filter(None, words)) for words in rows]


def _as_bytes(pictures: Shaped[np.ndarray, "M H W C"]) -> Shaped[np.ndarray, "M H W C"]:
    """Each picture with its least value as 0 and its largest as 255."""
    axes = (1, 2, 3)
    values = pictures.astype(np.float64)
    values -= values.min(axis=axes, keepdims=True)
    largest = values.max(axis=axes, keepdims=True)
    return np.rint(255 * values / np.where(largest > 0, largest, 1)).astype(np.uint8)


def _as_png(picture: Shaped[np.ndarray, "H W C"]) -> bytes:
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return file.getvalue()

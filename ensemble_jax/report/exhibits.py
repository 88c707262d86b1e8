"""Single examples of a run as people see them: pictures and texts, from the run's data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ensemble_jax.cli.dataset import load_data_of_run
from ensemble_jax.data import Dataset, read_inputs
from ensemble_jax.data.showing import as_bytes, as_png, as_texts, why_no_pictures
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


class Material(NamedTuple):
    """The data set of a run, where it can be read.

    Attributes:
        dataset: None where it cannot.
        remark: why it cannot.
    """

    dataset: Dataset | None
    remark: str = ""


def find_material(run: Run, dataset: Dataset | None = None, data_dir: str = "") -> Material:
    """The data set of a run.

    A run can be read where its data set is not, so that there may be nothing to show: then the
    remark says why.

    Args:
        run: which may know its data set by a name.
        dataset: what it is on, where that is at hand.
        data_dir: where tensorflow-datasets has prepared its sets; empty means its own default.
    """
    try:
        return Material(dataset or load_data_of_run(run, data_dir))
    # Whatever a data set or a config from elsewhere has in store, all else can be reported.
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        return Material(None, f"The examples are not shown, as their data cannot be read: {told}")


def show_examples(material: Material, chosen: Mapping[str, Sequence[int]]) -> Exhibits:
    """The examples at these positions of each split.

    Args:
        material: the data set, if there is one.
        chosen: positions by split.
    """
    dataset = material.dataset
    if dataset is None:
        return Exhibits({}, {}, material.remark)
    inputs = {
        split: read_inputs(dataset.splits[split].inputs, np.asarray(of))
        for split, of in chosen.items()
    }
    if dataset.word_vectors is not None:
        return Exhibits({}, {split: as_texts(of, dataset) for split, of in inputs.items()})
    remark = why_no_pictures(dataset)
    if remark:
        return Exhibits({}, {}, remark)
    if dataset.train.inputs.dtype != np.uint8:
        remark = "The values of each picture are stretched from black to white."
    pictures = {
        split: [as_png(picture, _LONGEST_SIDE) for picture in as_bytes(of)]
        for split, of in inputs.items()
    }
    return Exhibits(pictures, {}, remark)

"""The data set of a config: loaded, viewed as the config says, and with its probes."""

from __future__ import annotations

import numpy as np

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.data import (
    Dataset,
    add_probes,
    keep_train_fraction,
    load_dataset,
    select_classes,
    with_label_noise,
    with_random_labels,
)
from ensemble_jax.runs import Run

_OF_DATA = (
    "dataset",
    "word_vectors",
    "classes",
    "train_fraction",
    "label_noise",
    "random_labels",
    "seed",
)


def load_data(config: TrainConfig) -> Dataset:
    """What the members of a run learn and what they are evaluated on.

    The views come in this order: classes, part of the train set, labels. All draw from the seed;
    settings of a sweep that are trained as one collection have the view of the first one's seed.

    Raises:
        ValueError: if the config asks for what the data does not have.
        ModuleNotFoundError: if a set needs a package that is not installed.
    """
    data_dir = config.data_dir or None
    dataset = load_dataset(
        config.dataset, data_dir=data_dir, word_vectors=config.word_vectors or None
    )
    if config.classes:
        dataset = select_classes(dataset, config.classes)
    if config.train_fraction < 1:
        dataset = keep_train_fraction(dataset, config.train_fraction, config.seed)
    if config.label_noise:
        dataset = with_label_noise(dataset, config.label_noise, config.seed)
    if config.random_labels:
        dataset = with_random_labels(dataset, config.seed)
    return add_probes(dataset, config.probes, data_dir=data_dir)


def load_data_of_run(run: Run, data_dir: str = "") -> Dataset:
    """What the members of a run learned, without its probes.

    Args:
        run: made by one of these binaries.
        data_dir: where tensorflow-datasets has prepared its sets; empty means its own default.

    Raises:
        ValueError: if the run does not say what it learned, or that has changed since.
        ModuleNotFoundError: if a set needs a package that is not installed.
    """
    if "dataset" not in run.config:
        raise ValueError(f"{run.directory} does not say which data set it is on")
    # Older runs lack fields, which then had the value that is now the default.
    given = {name: run.config[name] for name in _OF_DATA if name in run.config}
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    dataset = load_data(TrainConfig(**given, data_dir=data_dir))
    check_same_data(dataset, run)
    return dataset


def check_same_data(dataset: Dataset, run: Run) -> None:
    """See that a data set is the one that a run is on.

    Raises:
        ValueError: naming the split whose examples are others.
    """
    for split, examples in dataset.splits.items():
        if split not in run.splits or not (
            np.array_equal(examples.ids, run.ids[split])
            and np.array_equal(examples.labels, run.labels[split])
        ):
            raise ValueError(
                f"{dataset.name} has changed since {run.directory} was made: its {split} examples "
                f"are others"
            )
    if changed := run.manifest.changed_inputs(dataset.digests, run.directory):
        raise ValueError(
            f"{dataset.name} has changed since {run.directory} was made ({', '.join(changed)} "
            f"differ)"
        )

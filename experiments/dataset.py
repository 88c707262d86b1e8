"""The data set of a config: loaded, viewed as the config says, and with its probes."""

from __future__ import annotations

from ensemble_jax.data import (
    Dataset,
    add_probes,
    keep_train_fraction,
    load_dataset,
    select_classes,
    with_label_noise,
    with_random_labels,
)
from experiments.train_config import TrainConfig


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

"""st-VGG on small_mammals with random labels, train and test, without dropout: figures 9 and 20.

Run: ensemble-jax train --config=random_labels --config.data_dir=DIR
As small_mammals.py, also for time and for fewer members. Members learn the train labels by heart,
each in an order of its own: bimodality stays above 1 (1.07 train, 1.35 test in the paper).
"""

import dataclasses

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.configs import small_mammals


def get_config() -> TrainConfig:
    """The paper's hyperparameters of small_mammals, but for labels and dropout."""
    return dataclasses.replace(
        small_mammals.get_config(),
        random_labels=True,
        dropout_scale=0.0,
        extents=(0, 1, 5, 20, 30, 40, 50, 60, 90, 120, 140),
    )

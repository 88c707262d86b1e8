"""Fully connected networks on two overlapping Gaussian classes, made here: figure 10.

Networks agree no more than independent classifiers of their accuracy: the scores have one peak.
Run: ensemble-jax train --config=gaussian
The paper's 100 members take about an hour on two CPU cores, `--config.num_members=10` six minutes.
"""

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model


def get_config() -> TrainConfig:
    """The paper's hyperparameters: SGD with a learning rate of 0.04, batches of 100."""
    return TrainConfig(
        dataset="gaussian",
        model=Model.FULLY_CONNECTED,
        num_members=100,
        extents=(0, 1, 2, 3, 5, 10, 20),
        learning_rate=0.04,
        decay_factor=1.0,
    )

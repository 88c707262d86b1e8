"""The paper's MNIST network on MNIST, with a small learning rate: figure 11.

Run: ensemble-jax train --config=mnist --config.data_dir=DIR
DIR is where tensorflow-datasets has prepared mnist; `--config.dataset=fashion_mnist` will do where
it is absent. 100 members to epoch 20 want a GPU.
"""

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model, Optimizer


def get_config() -> TrainConfig:
    """The paper's hyperparameters: AdaDelta with a learning rate of 0.001, batches of 100."""
    return TrainConfig(
        dataset="mnist",
        model=Model.MNIST_NET,
        num_members=100,
        extents=(0, 1, 2, 3, 5, 10, 20),
        optimizer=Optimizer.ADADELTA,
        learning_rate=0.001,
        decay_factor=1.0,
    )

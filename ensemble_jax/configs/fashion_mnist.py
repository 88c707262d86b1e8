"""st-VGG on Fashion-MNIST: figure 12.

Run: ensemble-jax train --config=fashion_mnist --config.data_dir=DIR
DIR is where tensorflow-datasets has prepared fashion_mnist; 100 members to epoch 25 want a GPU.
"""

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model


def get_config() -> TrainConfig:
    """The paper's hyperparameters: SGD, 0.05 divided by 1.8 every 20 epochs, batches of 100."""
    return TrainConfig(
        dataset="fashion_mnist",
        model=Model.ST_VGG,
        num_members=100,
        extents=(0, 1, 5, 10, 15, 20, 25),
    )

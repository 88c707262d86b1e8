"""st-VGG on small_mammals, a CIFAR-100 superclass, with the paper's hyperparameters.

For figures 7, 13 (e, f), 25 (c), 27 and 29 to 31, which `ensemble-jax reproduce` makes.
Run: ensemble-jax train --config=small_mammals --config.data_dir=DIR
DIR is where tensorflow-datasets has prepared cifar100; 100 members to epoch 140 want a GPU. Fewer:
`--config.num_members=8 --config.extents=0,1,2,5,10,20,30`.
"""

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model


def get_config() -> TrainConfig:
    """The paper's hyperparameters: SGD, 0.05 divided by 1.8 every 20 epochs, batches of 100."""
    return TrainConfig(
        dataset="small_mammals",
        model=Model.ST_VGG,
        num_members=100,
        extents=(0, 1, 2, 5, 10, 20, 30, 60, 90, 120, 140),
    )

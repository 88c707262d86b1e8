"""st-VGG on Gabor patches, a set made here: figure 8. Not bi-modal; the mean moves to 1.

Run: ensemble-jax train --config=gabor
The paper's size, 100 members to epoch 100, wants a GPU; on two CPU cores
`--config.num_members=8 --config.extents=0,1,5,10,20,40` takes about 15 minutes.
"""

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model


def get_config() -> TrainConfig:
    """The paper's hyperparameters: SGD, 0.05 divided by 1.8 every 20 epochs, batches of 100."""
    return TrainConfig(
        dataset="gabor",
        model=Model.ST_VGG,
        num_members=100,
        extents=(0, 1, 5, 10, 20, 40, 100),
    )

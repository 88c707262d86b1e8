"""st-VGG on 60 parts of Fashion-MNIST, 1,000 images each, tested on the whole test set: figure 22.

Member i is trained on part i % 60; all 60 collections of 100 are trained as one of 6,000, in
chunks. `settings` of the run says which part a member has, `train_mask` which examples.
Run: ensemble-jax train --config=fashion_mnist_parts \
    --config.data_dir=DIR
DIR is where tensorflow-datasets has prepared fashion_mnist. Two members of each of four parts, on
two CPU cores in about 20 minutes: `--config.partitions=60 --config.members=0:8`.
"""

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model


def get_config() -> TrainConfig:
    """The paper's hyperparameters: SGD, 0.05 divided by 1.8 every 20 epochs, batches of 100."""
    return TrainConfig(
        dataset="fashion_mnist",
        model=Model.ST_VGG,
        num_members=6000,
        partitions=60,
        extents=(0, 1, 5, 10, 20, 30, 40),
    )

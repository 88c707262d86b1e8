"""VGG-19 on CIFAR-100 or CIFAR-10: figures 2, 15 and 25 (a, b).

Run: ensemble-jax train --config=cifar_vgg19 --config.data_dir=DIR
DIR is where tensorflow-datasets has prepared cifar100; 20 members to epoch 100 want a GPU. For
figure 15: `--config.dataset=cifar10 --config.num_members=19`.
"""

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model, Optimizer


def get_config() -> TrainConfig:
    """The usual training of VGG with batch normalisation on CIFAR; the paper does not give its own.

    Momentum 0.9, batches of 128, a rate of 0.05 divided by 2 every 20 epochs, a weight decay of
    0.0005, which is an L2 of half that. Extents are those of both figures.
    """
    return TrainConfig(
        dataset="cifar100",
        model=Model.VGG19,
        num_members=20,
        extents=(0, 1, 2, 5, *range(10, 101, 10)),
        batch_size=128,
        optimizer=Optimizer.MOMENTUM,
        learning_rate=0.05,
        decay_factor=2.0,
        decay_epochs=20,
        l2=0.00025,
    )

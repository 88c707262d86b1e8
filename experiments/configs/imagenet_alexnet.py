r"""AlexNet on ImageNet: figure 26, and with imagenet_resnet50.py figure 24.

Run: python -m experiments.train --config=experiments/configs/imagenet_alexnet.py \
    --config.data_dir=DIR
As imagenet_resnet50.py; time, not measured: 22 * 1,281,167 * 100 = 2.8e9 images at the images/s
that the line `plan:` tells.
"""

import dataclasses

from ensemble_jax.options import Model
from experiments.configs import imagenet_resnet50
from experiments.train_config import TrainConfig


def get_config() -> TrainConfig:
    """As published: Krizhevsky, Sutskever and Hinton, 'ImageNet classification', NeurIPS 2012.

    Momentum 0.9, batches of 128, 0.01 divided by 10 three times on the way (here every 30 epochs),
    weight decay 0.0005 (which is twice `l2`).
    """
    return dataclasses.replace(
        imagenet_resnet50.get_config(),
        model=Model.ALEXNET,
        num_members=22,
        extents=(1, 2, 10, 30, 50, 70, 100),
        batch_size=128,
        learning_rate=0.01,
        l2=0.00025,
    )

r"""DenseNet-121 on ImageNet: figure 26, and with imagenet_resnet50.py figure 24.

Run: python -m experiments.train --config=experiments/configs/imagenet_densenet.py \
    --config.data_dir=DIR
As imagenet_resnet50.py; time, not measured: 6 * 1,281,167 * 100 = 7.7e8 images at the images/s that
the line `plan:` tells.
"""

import dataclasses

from ensemble_jax.options import Model
from experiments.configs import imagenet_resnet50
from experiments.train_config import TrainConfig


def get_config() -> TrainConfig:
    """As published: Huang et al., 'Densely connected convolutional networks', CVPR 2017.

    Momentum 0.9, batches of 256, 0.1 divided by 10 every 30 epochs, weight decay 0.0001 (which is
    twice `l2`): all as ResNet-50.
    """
    return dataclasses.replace(
        imagenet_resnet50.get_config(),
        model=Model.DENSENET121,
        num_members=6,
        extents=(1, 2, 10, 30, 50, 70, 100),
    )

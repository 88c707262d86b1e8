"""ResNet-50, AlexNet or DenseNet-121 on ImageNet: figures 1, 3, 5, 6, 23, 24 and 26.

Run: python -m experiments.train --config=experiments/configs/imagenet.py:resnet50 \
    '--config.dataset=folder:PATH?size=224&channels=3' (or :alexnet, :densenet121)
PATH has the folders train and val of ImageNet-2012. 27 members to epoch 100 want many GPUs; the
same networks, narrower, on a small set: `python -m experiments.reproduce --figure=6 --scale=hour`.
"""

import dataclasses

from ensemble_jax.options import Model, Optimizer
from experiments.train_config import TrainConfig

# The paper gives the number of members. Of the rest it says nothing: the rates, batches and
# decays are those with which the architectures' own papers train on ImageNet. A weight decay of
# 0.0001 is an L2 of half that.
_PUBLISHED = {
    "resnet50": {"model": Model.RESNET50, "num_members": 27},
    "alexnet": {
        "model": Model.ALEXNET,
        "num_members": 22,
        "batch_size": 128,
        "learning_rate": 0.01,
        "l2": 0.00025,
    },
    "densenet121": {"model": Model.DENSENET121, "num_members": 6},
}


def get_config(model: str = "resnet50") -> TrainConfig:
    """Momentum 0.9, a rate divided by 10 every 30 epochs; extents of all figures."""
    if model not in _PUBLISHED:
        raise ValueError(f"the model must be one of {', '.join(_PUBLISHED)}, got {model!r}")
    shared = TrainConfig(
        dataset="imagenet2012",
        extents=(0, 1, 2, 3, 4, 5, *range(10, 101, 5)),
        batch_size=256,
        optimizer=Optimizer.MOMENTUM,
        learning_rate=0.1,
        decay_factor=10.0,
        decay_epochs=30,
        l2=0.00005,
    )
    return dataclasses.replace(shared, **_PUBLISHED[model])

r"""ResNet-50, AlexNet or DenseNet-121 on ImageNet: figures 1, 3, 5, 6, 23, 24 and 26.

Run: ensemble-jax train --config=imagenet:resnet50 \
    --config.data_dir=DIR (or :alexnet, :densenet121)
DIR is where tensorflow-datasets has prepared imagenet2012 (about 150 GB, which are read once an
epoch for all members; a local disk is best). Half of the members each on two machines:
`--config.members=0:14` and `--config.members=14:27`, joined by `ensemble-jax merge`.

Time, not measured: 27 * 1,281,167 * 100 = 3.5e9 images at the images/s that the line `plan:` tells,
so 40 days at 1,000 images/s in all, 4 at 10,000; 22 AlexNet are 2.8e9 images, 6 DenseNet-121 7.7e8.
Each extent is a third of an epoch on top. Images come in pools of 50,000, of which two take 15 GB
on a device. The same networks, narrower, on a small set:
`ensemble-jax reproduce --figure=6 --scale=hour`.
"""

import dataclasses

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model, Optimizer

# The paper gives the number of members. Of the rest it says nothing: rates, batches and decays are
# those of He et al. (CVPR 2016), Krizhevsky et al. (NeurIPS 2012; the three decays every 30 epochs)
# and Huang et al. (CVPR 2017). Their weight decay of 0.0001 is an L2 of half that.
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
        evaluation_batch_size=250,
        optimizer=Optimizer.MOMENTUM,
        momentum=0.9,
        learning_rate=0.1,
        decay_factor=10.0,
        decay_epochs=30,
        l2=0.00005,
        augmentation=("resized_crop", "flip"),
        pool_images=50_000,
    )
    return dataclasses.replace(shared, **_PUBLISHED[model])

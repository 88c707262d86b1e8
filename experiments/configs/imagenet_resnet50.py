r"""ResNet-50 on ImageNet: figures 1, 3, 6, 23 and 24, and the networks of figure 5.

Run: python -m experiments.train --config=experiments/configs/imagenet_resnet50.py \
    --config.data_dir=DIR
DIR is where tensorflow-datasets has prepared imagenet2012 (about 150 GB, which are read once an
epoch for all members; a local disk is best). Half of the members each on two machines:
`--config.members=0:14` and `--config.members=14:27`, joined by experiments.merge.

Time, not measured: 27 * 1,281,167 * 100 = 3.5e9 images at the images/s that the line `plan:` tells,
so 40 days at 1,000 images/s in all, 4 at 10,000; and for each of the seven extents a third of the
time of an epoch. Images come in pools of 50,000, of which two take 15 GB on a device.
"""

from ensemble_jax.options import Model, Optimizer
from experiments.train_config import TrainConfig


def get_config() -> TrainConfig:
    """As published: He et al., 'Deep residual learning for image recognition', CVPR 2016.

    Momentum 0.9, batches of 256, 0.1 divided by 10 every 30 epochs, weight decay 0.0001 (which is
    twice `l2`). Kernels are drawn as in the paper about consistency, from Glorot's distribution.
    """
    return TrainConfig(
        dataset="imagenet2012",
        model=Model.RESNET50,
        num_members=27,
        extents=(1, 2, 5, 30, 40, 70, 100),
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

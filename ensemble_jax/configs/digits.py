"""Small st-VGG on scikit-learn's handwritten digits: the first run, with nothing to prepare.

Shows figures 1 and 3 of the paper on 8x8 images: consistency and consensus of 20 members.
Run: ensemble-jax train
Takes about two minutes on two CPU cores; mean test accuracy above 0.95.
"""

from ensemble_jax.cli.train_config import TrainConfig


def get_config() -> TrainConfig:
    """The paper's, but for a lower learning rate: digits are learned within few epochs."""
    return TrainConfig(
        extents=(0, 1, 3, 5, 8, 12, 25),
        learning_rate=0.02,
    )

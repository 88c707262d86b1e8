"""Ten members of a cross-validation of 5 folds, asked for their probabilities at eight epochs.

Finds mislabelled examples of any set of images: --config.dataset=folder:PATH, npz:PATH or a name;
with label noise put into digits by default, so that there is something to find.
Run: ensemble-jax audit
Takes about two minutes on two CPU cores.
"""

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Optimizer


def get_config() -> TrainConfig:
    """Few members and many extents: the audit chooses among these."""
    return TrainConfig(
        num_members=10,
        folds=5,
        optimizer=Optimizer.ADAM,
        learning_rate=1e-3,
        extents=(1, 2, 3, 5, 7, 10, 14, 20),
        record=("label_probability", "probabilities:train"),
    )

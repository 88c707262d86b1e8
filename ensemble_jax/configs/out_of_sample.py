"""st-VGG on small_mammals, asked about images of other things: figure 5 on a smaller set.

Run: ensemble-jax train --config=out_of_sample --config.data_dir=DIR
As small_mammals.py, also for time and for fewer members. Consensus, in `figures/consensus.png`, is
expected to rise from noise over other classes of CIFAR-100 to the test set. A folder of one's own
images: `--config.probes=noise,images:PATH`.
"""

import dataclasses

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.configs import small_mammals


def get_config() -> TrainConfig:
    """The paper's hyperparameters of small_mammals, with probes from far to near."""
    return dataclasses.replace(
        small_mammals.get_config(),
        probes=(
            "noise",
            "test_of:household_furniture",
            "test_of:fish",
            "test_of:medium_mammals",
        ),
    )

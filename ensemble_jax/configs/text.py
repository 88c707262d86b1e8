"""BiLSTM with attention on Stack Overflow posts of 20 tags: figure 4.

Run: ensemble-jax train --config=text \
    --config.dataset=csv:POSTS.csv --config.word_vectors=GLOVE.txt
POSTS.csv has the columns post and tags, GLOVE.txt is a file of GloVe vectors. Other texts:
`--config.dataset=tsv:PATH`. 100 members want a GPU.
"""

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model, Optimizer


def get_config() -> TrainConfig:
    """The paper's hyperparameters: Adam with a learning rate of 0.005, batches of 256."""
    return TrainConfig(
        dataset="csv:posts.csv",
        word_vectors="glove.txt",
        model=Model.BILSTM,
        num_members=100,
        extents=(0, 1, 2, 3, 4, 5, 10),
        batch_size=256,
        optimizer=Optimizer.ADAM,
        learning_rate=0.005,
        decay_factor=1.0,
    )

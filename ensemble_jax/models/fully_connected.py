"""The paper's fully connected architecture (Appendix B)."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax.models.layers import Dropout, TrainingPass, glorot_uniform


class FullyConnected(nn.Module):
    """Flatten, then hidden dense layers with ELU and dropout, then the output layer.

    Attributes:
        num_classes: K.
        width: units of each hidden layer.
        depth: number of hidden layers.
    """

    num_classes: int
    width: int = 1024
    depth: int = 2

    dense_dropout = 0.5
    smallest_image = None  # inputs of any shape will do

    @nn.compact
    def __call__(self, inputs: jax.Array, training: TrainingPass | None) -> jax.Array:
        """Logits `[B, K]` of inputs `[B, ...]`."""
        x = inputs.reshape(len(inputs), -1)
        for _ in range(self.depth):
            x = nn.elu(nn.Dense(self.width, kernel_init=glorot_uniform)(x))
            x = Dropout(self.dense_dropout)(x, training)
        return nn.Dense(self.num_classes, kernel_init=glorot_uniform)(x)

"""The paper's fully connected architecture (Appendix B)."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax.models.architecture import Architecture
from ensemble_jax.models.layers import TrainingPass
from ensemble_jax.options import Activation


class FullyConnected(Architecture):
    """Flatten, then hidden dense layers with ELU and dropout, then the output layer.

    Inputs of any shape will do.

    Attributes:
        width: units of each hidden layer.
        depth: number of hidden layers.
    """

    activation: Activation = Activation.ELU
    width: int = 1024
    depth: int = 2

    dense_dropout = 0.5

    @nn.compact
    def __call__(self, inputs: jax.Array, training: TrainingPass | None) -> jax.Array:
        """Logits `[B, K]` of inputs `[B, ...]`."""
        x = inputs.reshape(len(inputs), -1)
        for _ in range(self.depth):
            x = self.drop(self.activate(self.connect(x, self.width)), self.dense_dropout, training)
        return self.connect(x, self.num_classes)

"""The paper's fully connected architecture (Appendix B)."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax.options import Activation
from ensemble_jax.zoo.architecture import Architecture


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
    def __call__(self, inputs: jax.Array, train: bool) -> jax.Array:
        """Logits `[B, K]` of inputs `[B, ...]`."""
        x = inputs.reshape(len(inputs), -1)
        for _ in range(self.depth):
            x = self.activate(nn.Dense(self.width, kernel_init=self.kernel_init)(x))
            x = nn.Dropout(self.dense_dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, kernel_init=self.kernel_init)(x)

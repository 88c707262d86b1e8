"""The paper's MNIST architecture (Appendix B)."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax import ops
from ensemble_jax.models.layers import Dropout, TrainingPass, convolution_layer, glorot_uniform


class MnistNet(nn.Module):
    """Two 3x3 convolutions of 32 and 64 filters, one pooling, a dense layer of 128 units.

    The paper gives neither padding nor activation; no padding and ReLU are those of the Keras
    example that has the same layers, optimizer and number of epochs.
    """

    num_classes: int
    convolution: ops.Convolution

    conv_dropout = 0.25
    dense_dropout = 0.5
    smallest_image = 6

    @nn.compact
    def __call__(self, images: jax.Array, training: TrainingPass | None) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""
        x = nn.relu(convolution_layer(self.convolution, 32, 3, "VALID")(images))
        x = nn.relu(convolution_layer(self.convolution, 64, 3, "VALID")(x))
        x = Dropout(self.conv_dropout)(ops.max_pool(x), training)
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(128, kernel_init=glorot_uniform)(x))
        x = Dropout(self.dense_dropout)(x, training)
        return nn.Dense(self.num_classes, kernel_init=glorot_uniform)(x)

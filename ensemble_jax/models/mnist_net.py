"""The paper's MNIST architecture (Appendix B)."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax.models.architecture import ImageNetwork
from ensemble_jax.models.layers import TrainingPass


class MnistNet(ImageNetwork):
    """Two 3x3 convolutions of 32 and 64 filters, one pooling, a dense layer of 128 units.

    The paper gives neither padding nor activation; no padding and ReLU are those of the Keras
    example that has the same layers, optimizer and number of epochs.

    Attributes:
        width: filters of the first convolution; the second has twice as many.
        kernel_size: of both convolutions.
        dense: units of the hidden dense layer.
    """

    width: int = 32
    kernel_size: int = 3
    dense: int = 128

    conv_dropout = 0.25
    dense_dropout = 0.5

    @property
    def smallest_image(self) -> int:
        """Each convolution takes `kernel_size - 1` pixels, the pooling needs two."""
        return 2 * self.kernel_size

    @nn.compact
    def __call__(self, images: jax.Array, training: TrainingPass | None) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""
        x = images
        for features in (self.width, 2 * self.width):
            x = self.activate(self.convolve(x, features, self.kernel_size, padding="VALID"))
        x = self.drop(self.pool(x), self.conv_dropout, training)
        x = x.reshape(len(x), -1)
        x = self.drop(self.activate(self.connect(x, self.dense)), self.dense_dropout, training)
        return self.connect(x, self.num_classes)

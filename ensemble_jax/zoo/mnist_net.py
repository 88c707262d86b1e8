"""The paper's MNIST architecture (Appendix B)."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax.zoo.architecture import ImageNetwork


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
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""
        x = images
        window = (self.kernel_size, self.kernel_size)
        for features in (self.width, 2 * self.width):
            x = nn.Conv(features, window, padding="VALID", kernel_init=self.kernel_init)(x)
            x = self.activate(x)
        x = nn.Dropout(self.conv_dropout, deterministic=not train)(self.pool(x))
        x = x.reshape(len(x), -1)
        x = self.activate(nn.Dense(self.dense, kernel_init=self.kernel_init)(x))
        x = nn.Dropout(self.dense_dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, kernel_init=self.kernel_init)(x)

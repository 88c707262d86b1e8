"""The paper's stripped VGG networks (Appendix B)."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax.options import Activation
from ensemble_jax.zoo.architecture import ImageNetwork


class StrippedVGG(ImageNetwork):
    """Convolutions in pairs, each pair pooled and followed by dropout; then two dense layers.

    'same' padding, Glorot uniform kernels and biases of zero, as in the authors' public code. The
    defaults are those of st-VGG.

    Attributes:
        width: filters of each convolution of the first pair; every pair has twice as many as the
            one before it.
        depth: pairs of convolutions.
        kernel_size: of all convolutions; None is 3 in the first three pairs and 2 after them.
        dense: units of the hidden dense layer.
    """

    activation: Activation = Activation.ELU
    width: int = 32
    depth: int = 4
    kernel_size: int | None = None
    dense: int = 512

    conv_dropout = 0.25
    dense_dropout = 0.5

    @property
    def smallest_image(self) -> int:
        """Each pooling halves height and width."""
        return 2**self.depth

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""
        x = images
        for pair in range(self.depth):
            size = self.kernel_size or (3 if pair < 3 else 2)
            for _ in range(2):
                features = self.width * 2**pair
                x = nn.Conv(features, (size, size), kernel_init=self.kernel_init)(x)
                x = self.activate(x)
            x = nn.Dropout(self.conv_dropout, deterministic=not train)(self.pool(x))
        x = x.reshape(len(x), -1)
        x = self.activate(nn.Dense(self.dense, kernel_init=self.kernel_init)(x))
        x = nn.Dropout(self.dense_dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, kernel_init=self.kernel_init)(x)

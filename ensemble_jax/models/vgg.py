"""The paper's stripped VGG networks (Appendix B)."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax import ops
from ensemble_jax.models.layers import (
    Activation,
    Dropout,
    Pooling,
    TrainingPass,
    convolution_layer,
    glorot_uniform,
)


class StrippedVGG(nn.Module):
    """Convolutions in pairs, each pair pooled and followed by dropout; then two dense layers.

    'same' padding, Glorot uniform kernels and biases of zero, as in the authors' public code.

    Attributes:
        num_classes: K.
        filters: channels of each convolution, two for each pooling.
        kernel_sizes: of each convolution.
        dense: units of the hidden dense layer.
        activation: after each convolution and the hidden dense layer.
        pool: halves height and width.
        convolution: how convolutions are computed.
    """

    num_classes: int
    filters: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    dense: int
    convolution: ops.Convolution
    activation: Activation = nn.elu
    pool: Pooling = ops.max_pool

    conv_dropout = 0.25
    dense_dropout = 0.5

    @property
    def smallest_image(self) -> int:
        """The least height and width that leave a pixel after the last pooling."""
        return 2 ** (len(self.filters) // 2)

    @nn.compact
    def __call__(self, images: jax.Array, training: TrainingPass | None) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""
        x = images
        for i, (features, size) in enumerate(zip(self.filters, self.kernel_sizes, strict=True)):
            x = self.activation(convolution_layer(self.convolution, features, size)(x))
            if i % 2:
                x = Dropout(self.conv_dropout)(self.pool(x), training)
        x = x.reshape(len(x), -1)
        x = self.activation(nn.Dense(self.dense, kernel_init=glorot_uniform)(x))
        x = Dropout(self.dense_dropout)(x, training)
        return nn.Dense(self.num_classes, kernel_init=glorot_uniform)(x)


def st_vgg(num_classes: int, convolution: ops.Convolution) -> StrippedVGG:
    """st-VGG: eight convolutions, the last two with 2x2 kernels."""
    return StrippedVGG(
        num_classes,
        filters=(32, 32, 64, 64, 128, 128, 256, 256),
        kernel_sizes=(3, 3, 3, 3, 3, 3, 2, 2),
        dense=512,
        convolution=convolution,
    )


def linear_st_vgg(num_classes: int, convolution: ops.Convolution) -> StrippedVGG:
    """st-VGG with identity activations and average pooling: a linear function of the image."""
    return st_vgg(num_classes, convolution).clone(activation=lambda x: x, pool=ops.average_pool)


def small_st_vgg(num_classes: int, convolution: ops.Convolution) -> StrippedVGG:
    """Small st-VGG: four 3x3 convolutions and 128 dense units."""
    return StrippedVGG(
        num_classes,
        filters=(32, 32, 64, 64),
        kernel_sizes=(3, 3, 3, 3),
        dense=128,
        convolution=convolution,
    )

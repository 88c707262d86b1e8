"""DenseNet-121: G. Huang et al., 'Densely Connected Convolutional Networks', CVPR 2017."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from ensemble_jax.options import ImageForm
from ensemble_jax.zoo.architecture import ImageNetwork, batch_norm, form_for

_LAYERS = (6, 12, 24, 16)
_BOTTLENECK = 4


class DenseNet(ImageNetwork):
    """Four blocks whose layers read what all earlier ones of the block have written.

    DenseNet-BC: a 1x1 convolution before each 3x3, and half of the channels kept between blocks.
    The ImageNet form begins with a 7x7 convolution of stride 2 and a pooling; the CIFAR form, the
    usual one for 32x32 pixels (kuangliu/pytorch-cifar), with a 3x3 convolution of stride 1.

    Attributes:
        growth: filters that each layer adds; the first convolution has twice as many.
        depth: layers of every block; None is the 6, 12, 24 and 16 of DenseNet-121.
        form: by default the size of the images decides.
    """

    growth: int = 32
    depth: int | None = None
    form: ImageForm | None = None

    @property
    def smallest_image(self) -> int:
        """What leaves a pixel after three poolings, and the two strides of the ImageNet form."""
        return 29 if self.form is ImageForm.IMAGENET else 8

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""
        if (self.form or form_for(images)) is ImageForm.IMAGENET:
            x = self.convolve(images, 2 * self.growth, 7, strides=2)
            x = self.activate(batch_norm(x, train))
            x = self.pool(x, 3, padding=1)
        else:
            x = self.convolve(images, 2 * self.growth, 3)
        for block, published in enumerate(_LAYERS):
            if block > 0:
                x = self.activate(batch_norm(x, train))
                x = nn.avg_pool(self.convolve(x, x.shape[-1] // 2, 1), (2, 2), (2, 2))
            for _ in range(self.depth or published):
                x = jnp.concatenate([x, self._layer(x, train)], axis=-1)
        x = self.activate(batch_norm(x, train))
        return nn.Dense(self.num_classes, kernel_init=self.kernel_init)(x.mean((1, 2)))

    def _layer(self, x, train):
        """The channels `[B, H, W, growth]` that one layer adds."""
        x = self.activate(batch_norm(x, train))
        x = self.convolve(x, _BOTTLENECK * self.growth, 1)
        x = self.activate(batch_norm(x, train))
        return self.convolve(x, self.growth, 3)

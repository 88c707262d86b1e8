"""ResNet-50: K. He et al., 'Deep Residual Learning for Image Recognition', CVPR 2016."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax.options import ImageForm
from ensemble_jax.zoo.architecture import ImageNetwork, batch_norm, form_for

_BLOCKS = (3, 4, 6, 3)
_EXPANSION = 4


class ResNet(ImageNetwork):
    """Four stages of bottleneck blocks; then the mean over the pixels and one dense layer.

    Version 1.5, as everybody trains it: where a block halves the image, its 3x3 convolution does.
    The ImageNet form begins with a 7x7 convolution of stride 2 and a pooling; the CIFAR form, the
    usual one for 32x32 pixels (kuangliu/pytorch-cifar), with a 3x3 convolution of stride 1.

    Attributes:
        width: filters of the first convolution, and of the 3x3 convolutions in the first stage;
            they double from stage to stage, and the last convolutions of blocks have 4 times as
            many.
        depth: blocks of every stage; None is the 3, 4, 6 and 3 of ResNet-50.
        form: by default the size of the images decides.
    """

    width: int = 64
    depth: int | None = None
    form: ImageForm | None = None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""
        large = (self.form or form_for(images)) is ImageForm.IMAGENET
        size, strides = (7, 2) if large else (3, 1)
        x = self._convolve_and_norm(images, self.width, size, strides, train)
        x = self.activate(x)
        if large:
            x = self.pool(x, 3, padding=1)
        for stage, published in enumerate(_BLOCKS):
            for block in range(self.depth or published):
                strides = 2 if stage > 0 and block == 0 else 1
                x = self._bottleneck(x, self.width * 2**stage, strides, train)
        return nn.Dense(self.num_classes, kernel_init=self.kernel_init)(x.mean((1, 2)))

    def _bottleneck(self, x, features, strides, train):
        """Less channels, 3x3, more channels; added to the inputs, or to a linear map of them."""
        outputs = _EXPANSION * features
        inner = self.activate(self._convolve_and_norm(x, features, 1, 1, train))
        inner = self.activate(self._convolve_and_norm(inner, features, 3, strides, train))
        inner = self._convolve_and_norm(inner, outputs, 1, 1, train)
        if x.shape != inner.shape:
            x = self._convolve_and_norm(x, outputs, 1, strides, train)
        return self.activate(x + inner)

    def _convolve_and_norm(self, x, features, size, strides, train):
        """A convolution and batch normalisation."""
        return batch_norm(self.convolve(x, features, size, strides), train)

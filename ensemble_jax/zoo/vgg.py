"""VGG networks: K. Simonyan and A. Zisserman, 'Very Deep Convolutional Networks', ICLR 2015."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax import ops
from ensemble_jax.options import ImageForm
from ensemble_jax.zoo.architecture import ImageNetwork, batch_norm, form_for


class VGG(ImageNetwork):
    """Five stages of 3x3 convolutions, each pooled; then dense layers.

    The ImageNet form is the published one: the last images are 7x7 pixels, by adaptive averages
    where they come in another size, and go through two hidden dense layers with dropout.

    The CIFAR form is the one that has become usual for 32x32 pixels (kuangliu/pytorch-cifar, 14.7
    million parameters for VGG-16 and 10 classes): every convolution is normalised over the batch,
    and the 512 averages of the last images go to the output layer directly.

    Attributes:
        convolutions: of each stage; those of VGG-16 or VGG-19.
        width: filters in the first stage; the others have 2, 4, 8 and 8 times as many.
        depth: convolutions of every stage, instead of `convolutions`.
        kernel_size: of all convolutions.
        dense: units of both hidden dense layers; None is 4096 of each in the ImageNet form, and no
            such layers in the CIFAR form.
        form: by default the size of the images decides.
    """

    convolutions: tuple[int, ...] = (2, 2, 3, 3, 3)
    width: int = 64
    depth: int | None = None
    kernel_size: int = 3
    dense: int | None = None
    form: ImageForm | None = None

    dense_dropout = 0.5

    @property
    def smallest_image(self) -> int:
        """Each stage halves height and width."""
        return 2 ** len(self.convolutions)

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""
        large = (self.form or form_for(images)) is ImageForm.IMAGENET
        window = (self.kernel_size, self.kernel_size)
        x = images
        for stage, published in enumerate(self.convolutions):
            for _ in range(self.depth or published):
                features = self.width * min(2**stage, 8)
                x = nn.Conv(features, window, kernel_init=self.kernel_init)(x)
                x = self.activate(x if large else batch_norm(x, train))
            x = self.pool(x)
        x = ops.adaptive_average_pool(x, 7) if large else x.mean((1, 2), keepdims=True)
        x = x.reshape(len(x), -1)
        dense = self.dense or (4096 if large else None)
        for units in (dense, dense) if dense else ():
            x = self.activate(nn.Dense(units, kernel_init=self.kernel_init)(x))
            x = nn.Dropout(self.dense_dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, kernel_init=self.kernel_init)(x)

"""AlexNet: A. Krizhevsky, 'One weird trick for parallelizing convolutional networks', 2014."""

from __future__ import annotations

import jax
from flax import linen as nn

from ensemble_jax import ops
from ensemble_jax.options import ImageForm
from ensemble_jax.zoo.architecture import ImageNetwork, form_for


class AlexNet(ImageNetwork):
    """Five convolutions, three of them pooled; then dense layers.

    The ImageNet form is that of the paper above, with the layers of one of the two processors that
    the first AlexNet (2012) was spread over, without response normalisation, as torchvision has it.
    The last images are 6x6 pixels, by adaptive averages where they come in another size.

    The CIFAR form is the usual one for 32x32 pixels (bearpaw/pytorch-classification, 2.47 million
    parameters for 10 classes): more padding, poolings that do not overlap, and the averages of the
    last images go to the output layer directly.

    Attributes:
        width: filters of the first convolution; the others have 3, 6, 4 and 4 times as many.
        dense: units of both hidden dense layers; None is 4096 of each in the ImageNet form, and no
            such layers in the CIFAR form.
        form: by default the size of the images decides.
    """

    width: int = 64
    dense: int | None = None
    form: ImageForm | None = None

    dense_dropout = 0.5

    @property
    def smallest_image(self) -> int:
        """What leaves a pixel after the first convolution and three poolings."""
        return 63 if self.form is ImageForm.IMAGENET else 29

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""
        large = (self.form or form_for(images)) is ImageForm.IMAGENET
        first, window = (2, 3) if large else (5, 2)
        x = nn.Conv(self.width, (11, 11), 4, padding=first, kernel_init=self.kernel_init)(images)
        x = self.pool(self.activate(x), window)
        x = nn.Conv(3 * self.width, (5, 5), kernel_init=self.kernel_init)(x)
        x = self.pool(self.activate(x), window)
        for factor in (6, 4, 4):
            x = nn.Conv(factor * self.width, (3, 3), kernel_init=self.kernel_init)(x)
            x = self.activate(x)
        x = self.pool(x, window)
        x = ops.adaptive_average_pool(x, 6) if large else x.mean((1, 2), keepdims=True)
        x = x.reshape(len(x), -1)
        dense = self.dense or (4096 if large else None)
        for units in (dense, dense) if dense else ():
            x = nn.Dropout(self.dense_dropout, deterministic=not train)(x)
            x = self.activate(nn.Dense(units, kernel_init=self.kernel_init)(x))
        return nn.Dense(self.num_classes, kernel_init=self.kernel_init)(x)

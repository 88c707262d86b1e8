"""What architectures have in common: their choices, and layers made accordingly."""

from __future__ import annotations

import jax
from flax import linen as nn
from jax import lax

from ensemble_jax import ops
from ensemble_jax.models.layers import (
    ACTIVATIONS,
    INITIALISERS,
    BatchNorm,
    Dropout,
    TrainingPass,
)
from ensemble_jax.options import Activation, ImageForm, Initialiser

# The published forms are for 32x32 and 224x224 pixels; between them the larger takes over where it
# still ends in more than a pixel or two.
_LEAST_IMAGENET = 128


class Architecture(nn.Module):
    """A network with its layers as methods, to be called from `__call__`.

    The fields of a subclass that are also fields of `ArchitectureOptions` are what may be other
    than published; their defaults are what is published.

    Attributes:
        num_classes: K.
        activation: after every hidden layer.
        initialiser: of all kernels. The paper draws those of all its networks from Glorot's
            distribution (Section 2). Biases begin at 0.
    """

    num_classes: int
    activation: Activation = Activation.RELU
    initialiser: Initialiser = Initialiser.GLOROT_UNIFORM

    def check_input_shape(self, name: str, input_shape: tuple[int, ...]) -> None:
        """Raise a ValueError if examples of this shape cannot be taken; `name` is the network's."""

    def activate(self, x: jax.Array) -> jax.Array:
        """The activation of every entry."""
        return ACTIVATIONS[self.activation](x)

    def connect(self, x: jax.Array, units: int) -> jax.Array:
        """A dense layer."""
        return nn.Dense(units, kernel_init=INITIALISERS[self.initialiser])(x)

    def drop(self, x: jax.Array, rate: float, training: TrainingPass | None) -> jax.Array:
        """Dropout."""
        return Dropout(rate)(x, training)


class ImageNetwork(Architecture, kw_only=True):
    """A network of images `[B, H, W, C]`.

    Attributes:
        convolution: how convolutions are computed.
        linear: take the identity for `activation`, and average where the network takes maxima.
    """

    convolution: ops.Convolution
    linear: bool = False

    @property
    def smallest_image(self) -> int:
        """The least height and width that leave a pixel after the last pooling."""
        return 1

    def check_input_shape(self, name: str, input_shape: tuple[int, ...]) -> None:
        """Images must have three axes, and be as large as `smallest_image`."""
        smallest = self.smallest_image
        if len(input_shape) != 3:
            raise ValueError(
                f"model {name} needs images of height x width x channels, got examples of shape "
                f"{input_shape}"
            )
        if min(input_shape[:2]) < smallest:
            raise ValueError(
                f"model {name} needs images of at least {smallest}x{smallest}, "
                f"got {input_shape[0]}x{input_shape[1]}"
            )

    def activate(self, x: jax.Array) -> jax.Array:
        """The activation of every entry."""
        return x if self.linear else super().activate(x)

    def convolve(
        self,
        x: jax.Array,
        features: int,
        size: int,
        *,
        strides: int = 1,
        padding: str | int = "SAME",
        use_bias: bool = True,
    ) -> jax.Array:
        """A convolution with `features` kernels of `size` x `size`.

        Args:
            x: `[B, H, W, C]`.
            features: channels of the outputs.
            size: height and width of the kernel.
            strides: pixels from one output to the next.
            padding: `SAME`, `VALID`, or rows and columns of zeros on every side.
            use_bias: whether there are biases.
        """

        def conv_general_dilated(inputs, kernel, strides, padding, **_):
            if isinstance(padding, str):
                padding = lax.padtype_to_pads(inputs.shape[1:3], kernel.shape[:2], strides, padding)
            (top, bottom), (left, right) = padding
            return self.convolution(inputs, kernel, tuple(strides), ((top, bottom), (left, right)))

        return nn.Conv(
            features,
            (size, size),
            strides=strides,
            padding=padding,
            use_bias=use_bias,
            kernel_init=INITIALISERS[self.initialiser],
            conv_general_dilated=conv_general_dilated,
        )(x)

    def normalise(self, x: jax.Array, training: TrainingPass | None) -> jax.Array:
        """Batch normalisation."""
        return BatchNorm()(x, training)

    def pool(
        self, x: jax.Array, size: int = 2, strides: int | None = None, padding: int = 0
    ) -> jax.Array:
        """The largest, or in linear networks the mean, of each window."""
        pool = ops.average_pool if self.linear else ops.max_pool
        return pool(x, size, strides, padding)


def form_for(images: jax.Array) -> ImageForm:
    """The form for images `[B, H, W, C]`: ImageNet's from 128 pixels in height and width on."""
    return ImageForm.IMAGENET if min(images.shape[1:3]) >= _LEAST_IMAGENET else ImageForm.CIFAR

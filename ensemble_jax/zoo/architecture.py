"""What architectures have in common: their choices, and what these stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from ensemble_jax import ops
from ensemble_jax.options import Activation, ImageForm, Initialiser

ACTIVATIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    Activation.ELU: ops.elu,
    Activation.RELU: nn.relu,
    Activation.LEAKY_RELU: nn.leaky_relu,
    Activation.GELU: nn.gelu,
    Activation.TANH: nn.tanh,
    Activation.SIGMOID: nn.sigmoid,
    Activation.IDENTITY: lambda x: x,
}

INITIALISERS: dict[Initialiser, nn.initializers.Initializer] = {
    Initialiser.GLOROT_UNIFORM: nn.initializers.glorot_uniform(),
    Initialiser.GLOROT_NORMAL: nn.initializers.glorot_normal(),
    Initialiser.HE_UNIFORM: nn.initializers.he_uniform(),
    Initialiser.HE_NORMAL: nn.initializers.he_normal(),
    Initialiser.LECUN_UNIFORM: nn.initializers.lecun_uniform(),
    Initialiser.LECUN_NORMAL: nn.initializers.lecun_normal(),
    Initialiser.TRUNCATED_NORMAL: nn.initializers.truncated_normal(0.05),
}

# The published forms are for 32x32 and 224x224 pixels; between them the larger takes over where it
# still ends in more than a pixel or two.
_LEAST_IMAGENET = 128


class Architecture(nn.Module):
    """A network whose fields are its options.

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

    @property
    def kernel_init(self) -> nn.initializers.Initializer:
        """What draws the kernels."""
        return INITIALISERS[self.initialiser]

    def activate(self, x: jax.Array) -> jax.Array:
        """The activation of every entry."""
        return ACTIVATIONS[self.activation](x)


class ImageNetwork(Architecture):
    """A network of images `[B, H, W, C]`.

    Attributes:
        linear: take the identity for `activation`, and average where the network takes maxima.
    """

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

    def pool(self, x: jax.Array, size: int = 2, strides: int = 2, padding: int = 0) -> jax.Array:
        """The largest, or in linear networks the mean, of each window; padding does not count."""
        window, steps = (size, size), (strides, strides)
        sides: Any = ((padding, padding),) * 2  # flax does not say that it takes numbers
        if self.linear:
            # Without padding every window counts the same.
            return nn.avg_pool(x, window, steps, sides, count_include_pad=padding == 0)
        return nn.max_pool(x, window, steps, sides)

    def convolve(self, x: jax.Array, features: int, size: int, strides: int = 1) -> jax.Array:
        """A convolution without bias, with the same padding on all sides, also with strides."""
        return nn.Conv(
            features,
            (size, size),
            strides,
            padding=(size - 1) // 2,
            use_bias=False,
            kernel_init=self.kernel_init,
        )(x)


def batch_norm(x: jax.Array, train: bool) -> jax.Array:
    """Batch normalisation (Ioffe and Szegedy, 2015), to be called from a module.

    The averages that evaluation uses move a tenth of the way to each batch's statistics, and 1e-5
    is added to variances, as in PyTorch. Variances are taken in a second pass: the mean of the
    squares would lose what is small against the mean.
    """
    return nn.BatchNorm(
        use_running_average=not train, momentum=0.9, epsilon=1e-5, use_fast_variance=False
    )(x)


def form_for(images: jax.Array) -> ImageForm:
    """The form for images `[B, H, W, C]`: ImageNet's from 128 pixels in height and width on."""
    return ImageForm.IMAGENET if min(images.shape[1:3]) >= _LEAST_IMAGENET else ImageForm.CIFAR

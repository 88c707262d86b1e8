"""Images changed at random on the device, for one member: every member draws its own changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Num, PRNGKeyArray

from ensemble_jax.ops.random import fast_bits
from ensemble_jax.options import Augmentation, AugmentationKind

Augment = Callable[[PRNGKeyArray, Num[Array, "B H W C"]], Num[Array, "B H W C"]]
"""From a key and a batch of images to as many of the same shape and type."""

# Of the area and of width over height, in training of Inception and of nearly all since.
_LEAST_AREA = 0.08
_MOST_RATIO = 4 / 3


def make_augmentation(
    augmentations: Sequence[Augmentation],
    input_shape: tuple[int, ...],
    border: Float[np.ndarray, " C"] | float = 0.0,
) -> Augment:
    """All changes, one after another; without any, images stay as they are.

    Args:
        augmentations: which.
        input_shape: of one example.
        border: the value of what a crop shows beyond an image, or one for each channel: the mean of
            the training images, which becomes 0 when they are normalised. It is rounded for images
            of integers.

    Raises:
        ValueError: if there are changes and the examples are no images.
    """
    if augmentations and len(input_shape) != 3:
        raise ValueError(
            f"augmentation needs images of height x width x channels, got examples of shape "
            f"{input_shape}"
        )

    def augment(key, images):
        for number, augmentation in enumerate(augmentations):
            change = _CHANGES[augmentation.kind]
            key_of_change = jax.random.fold_in(key, number)
            images = change(key_of_change, images, augmentation.pixels, border)
        return images

    return augment


def _crop(key, images, pixels, border):
    """A window of the images' own size out of each with a border around it.

    All `(2 * pixels + 1)^2` windows are equally likely (Lee et al., 'Deeply-supervised nets', 2015;
    He et al., 'Deep residual learning', 2016, with 4 pixels).
    """
    if jnp.issubdtype(images.dtype, jnp.integer):
        border = np.rint(border)
    count, height, width, channels = images.shape
    shape = (count, height + 2 * pixels, width + 2 * pixels, channels)
    around = jnp.broadcast_to(jnp.asarray(border, images.dtype), shape)
    padded = lax.dynamic_update_slice(around, images, (0, pixels, pixels, 0))
    corners = fast_bits(key, (len(images), 2)) % jnp.uint32(2 * pixels + 1)

    def window(image, corner):
        return lax.dynamic_slice(image, (*corner.astype(jnp.int32), 0), images.shape[1:])

    return jax.vmap(window)(padded, corners)


def _flip(key, images, *_):
    """Each image as it is or with left and right exchanged, equally likely."""
    flipped = fast_bits(key, (len(images), 1, 1, 1)) >= jnp.uint32(2**31)
    return jnp.where(flipped, images[:, :, ::-1], images)


def _resized_crop(key, images, *_):
    """A random rectangle of each image, resized to the size of all.

    Its share of the area is uniform in [0.08, 1] and the logarithm of its ratio of width to height,
    against that of the image, in [log 3/4, log 4/3]; sides longer than the image's are cut to it.
    Where it lies is uniform. The filter is triangular and covers all pixels of the rectangle.

    Source: Szegedy et al., 'Going deeper with convolutions', 2015.
    """
    uniform = _uniforms(fast_bits(key, (len(images), 4)))
    shape = images.shape[1:]
    sides = jnp.array(shape[:2], jnp.float32)

    def window(image, uniform):
        area = _LEAST_AREA + (1 - _LEAST_AREA) * uniform[0]
        ratio = jnp.exp(math.log(_MOST_RATIO) * (2 * uniform[1] - 1))
        share = jnp.minimum(jnp.sqrt(jnp.stack([area / ratio, area * ratio])), 1)
        start = uniform[2:] * (1 - share) * sides
        return jax.image.scale_and_translate(
            image.astype(jnp.float32), shape, (0, 1), 1 / share, -start / share, "linear"
        )

    changed = jax.vmap(window)(images, uniform)
    if images.dtype == jnp.uint8:
        changed = jnp.clip(jnp.rint(changed), 0, 255)
    return changed.astype(images.dtype)


def _uniforms(bits) -> Float[Array, "*shape"]:
    """Numbers in [0, 1) of 24 bits."""
    return (bits >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)


_CHANGES: Mapping[AugmentationKind, Callable[..., jax.Array]] = {
    AugmentationKind.CROP: _crop,
    AugmentationKind.FLIP: _flip,
    AugmentationKind.RESIZED_CROP: _resized_crop,
}

"""Building blocks of networks, each written for one member and fast under `vmap` and in loops."""

from collections.abc import Mapping
from functools import partial

from ensemble_jax.ops.activation import elu
from ensemble_jax.ops.augmentation import Augment, make_augmentation
from ensemble_jax.ops.convolution import (
    Convolution,
    Padding,
    Strides,
    by_shape,
    shape_name,
    xla_convolution,
)
from ensemble_jax.ops.direct import direct_convolution
from ensemble_jax.ops.dropout import dropout
from ensemble_jax.ops.fused import fused_convolution, why_not_fused
from ensemble_jax.ops.patches import patches_convolution
from ensemble_jax.ops.pooling import adaptive_average_pool, average_pool, max_pool, sum_pool
from ensemble_jax.ops.random import fast_key, random_bits
from ensemble_jax.ops.winograd import mixed_convolution, winograd_convolution
from ensemble_jax.options import ConvolutionAlgorithm

CONVOLUTIONS: dict[ConvolutionAlgorithm, Convolution] = {
    ConvolutionAlgorithm.XLA: xla_convolution,
    ConvolutionAlgorithm.PATCHES: patches_convolution,
    ConvolutionAlgorithm.WINOGRAD: winograd_convolution,
    ConvolutionAlgorithm.WINOGRAD_4: partial(winograd_convolution, largest_tile=4),
    ConvolutionAlgorithm.DIRECT: direct_convolution,
    ConvolutionAlgorithm.MIXED: mixed_convolution,
    ConvolutionAlgorithm.FUSED: fused_convolution,
}


def why_unavailable(algorithm: ConvolutionAlgorithm, platform: str) -> str | None:
    """Why convolutions cannot be computed so here; None where they can.

    Args:
        algorithm: how they are to be computed.
        platform: what JAX calls the kind of device, such as 'cpu'.
    """
    return why_not_fused(platform) if algorithm is ConvolutionAlgorithm.FUSED else None


def convolution_by_layer(
    algorithm: ConvolutionAlgorithm, layers: Mapping[str, ConvolutionAlgorithm]
) -> Convolution:
    """One algorithm for all layers but those whose shapes are named; see `shape_name`."""
    others = {name: CONVOLUTIONS[other] for name, other in layers.items()}
    return by_shape(CONVOLUTIONS[algorithm], others) if others else CONVOLUTIONS[algorithm]


__all__ = [
    "CONVOLUTIONS",
    "Augment",
    "Convolution",
    "Padding",
    "Strides",
    "adaptive_average_pool",
    "average_pool",
    "by_shape",
    "convolution_by_layer",
    "direct_convolution",
    "dropout",
    "elu",
    "fast_key",
    "fused_convolution",
    "make_augmentation",
    "max_pool",
    "mixed_convolution",
    "patches_convolution",
    "random_bits",
    "shape_name",
    "sum_pool",
    "why_unavailable",
    "winograd_convolution",
    "xla_convolution",
]

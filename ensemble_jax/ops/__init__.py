"""Building blocks of networks, each written for one member and fast under `vmap` and in loops."""

from ensemble_jax.ops.activation import elu
from ensemble_jax.ops.augmentation import Augment, make_augmentation
from ensemble_jax.ops.convolution import (
    Convolution,
    Padding,
    Strides,
    xla_convolution,
)
from ensemble_jax.ops.direct import direct_convolution
from ensemble_jax.ops.dropout import dropout
from ensemble_jax.ops.fused import fused_convolution, why_not_fused
from ensemble_jax.ops.patches import patches_convolution
from ensemble_jax.ops.pooling import adaptive_average_pool, average_pool, max_pool, sum_pool
from ensemble_jax.ops.random import fast_bits, fast_key
from ensemble_jax.ops.winograd import winograd_convolution
from ensemble_jax.options import ConvolutionAlgorithm

CONVOLUTIONS: dict[ConvolutionAlgorithm, Convolution] = {
    ConvolutionAlgorithm.XLA: xla_convolution,
    ConvolutionAlgorithm.PATCHES: patches_convolution,
    ConvolutionAlgorithm.WINOGRAD: winograd_convolution,
    ConvolutionAlgorithm.DIRECT: direct_convolution,
    ConvolutionAlgorithm.FUSED: fused_convolution,
}


def why_unavailable(algorithm: ConvolutionAlgorithm, platform: str) -> str | None:
    """Why convolutions cannot be computed so here; None where they can.

    Args:
        algorithm: how they are to be computed.
        platform: what JAX calls the kind of device, such as 'cpu'.
    """
    return why_not_fused(platform) if algorithm is ConvolutionAlgorithm.FUSED else None


__all__ = [
    "CONVOLUTIONS",
    "Augment",
    "Convolution",
    "Padding",
    "Strides",
    "adaptive_average_pool",
    "average_pool",
    "direct_convolution",
    "dropout",
    "elu",
    "fast_bits",
    "fast_key",
    "fused_convolution",
    "make_augmentation",
    "max_pool",
    "patches_convolution",
    "sum_pool",
    "why_unavailable",
    "winograd_convolution",
    "xla_convolution",
]

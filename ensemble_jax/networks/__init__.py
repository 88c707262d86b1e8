"""A network of one member as two pure functions, and the adapters that make it from modules."""

from ensemble_jax.networks.adapters import as_network
from ensemble_jax.networks.dropout import scaled_dropout
from ensemble_jax.networks.fast import fast_layers, slow_layers, with_fast_layers
from ensemble_jax.networks.linen import linen_network
from ensemble_jax.networks.network import (
    ApplyFunction,
    InitFunction,
    Network,
    Variables,
    count_parameters,
    variable_shapes,
)
from ensemble_jax.networks.nnx import nnx_network
from ensemble_jax.networks.prepare import Sequences, prepared, rounding_products

__all__ = [
    "ApplyFunction",
    "InitFunction",
    "Network",
    "Sequences",
    "Variables",
    "as_network",
    "count_parameters",
    "fast_layers",
    "linen_network",
    "nnx_network",
    "prepared",
    "rounding_products",
    "scaled_dropout",
    "slow_layers",
    "variable_shapes",
    "with_fast_layers",
]

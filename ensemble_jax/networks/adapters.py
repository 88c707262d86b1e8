"""One network from whatever a user writes."""

from __future__ import annotations

from collections.abc import Callable

from flax import linen, nnx

from ensemble_jax.networks.linen import linen_network
from ensemble_jax.networks.network import Network
from ensemble_jax.networks.nnx import nnx_network

_ALLOWED = "network must be a flax.linen module, a function rngs -> flax.nnx module, or a Network"


def as_network(network: Network | linen.Module | Callable[..., nnx.Module]) -> Network:
    """The pure functions of a network.

    Args:
        network: an instance of a flax.linen module (see `linen_network`), a class or function that
            makes a flax.nnx module from `rngs` (see `nnx_network`), or a `Network`, which is
            returned as it is.

    Raises:
        ValueError: if it is none of these, or a module that cannot be called as networks are.
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, linen.Module):
        return linen_network(network)
    if isinstance(network, nnx.Module):
        name = type(network).__name__
        raise ValueError(
            f"{_ALLOWED}, got an nnx module {name}: every member draws its own, so give "
            f"{name} or lambda rngs: {name}(..., rngs=rngs)"
        )
    if isinstance(network, type) and issubclass(network, linen.Module):
        name = network.__name__
        raise ValueError(f"{_ALLOWED}, got the class {name}: give an instance, {name}(...)")
    if not callable(network):
        raise ValueError(f"{_ALLOWED}, got {type(network).__name__}")
    return nnx_network(network)

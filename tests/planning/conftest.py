"""Networks of the zoo, with the convolutions that a plan gives them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ensemble_jax.networks import Network, as_network, prepared, with_fast_layers
from ensemble_jax.options import ArchitectureOptions, Model
from ensemble_jax.zoo import make_architecture


def make_network(
    model: Model,
    input_shape,
    convolution=None,
    *,
    num_classes: int = 3,
    options: ArchitectureOptions | None = None,
) -> Network:
    architecture = make_architecture(
        model,
        num_classes=num_classes,
        input_shape=input_shape,
        options=options or ArchitectureOptions(),
    )
    network = prepared(as_network(architecture))
    return network if convolution is None else with_fast_layers(network, convolution)


@pytest.fixture(scope="session")
def zoo_network() -> Callable[..., Network]:
    return make_network

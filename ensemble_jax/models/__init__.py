"""The paper's architectures, as Flax modules behind pure functions."""

from ensemble_jax.models.layers import TrainingPass
from ensemble_jax.models.network import (
    Network,
    Variables,
    count_parameters,
    make_network,
    network_of,
)

__all__ = ["Network", "TrainingPass", "Variables", "count_parameters", "make_network", "network_of"]

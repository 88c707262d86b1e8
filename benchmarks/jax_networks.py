"""A workload's network in JAX, and what JAX knows of its device."""

from __future__ import annotations

from typing import Any

import jax
from ensemble_jax.models import Network, TrainingPass, make_network, network_of
from ensemble_jax.models.architecture import Architecture
from flax import linen as nn

from benchmarks.workloads import TrainingSet, Workload
from ensemble_jax import ops
from ensemble_jax.options import ConvolutionAlgorithm, Precision


class DenseLayers(Architecture):
    """Flatten, then hidden dense layers with ReLU, then the output layer.

    Attributes:
        hidden_units: of each hidden layer.
    """

    hidden_units: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, inputs: jax.Array, training: TrainingPass | None) -> jax.Array:
        """Logits `[B, K]` of inputs `[B, ...]`."""
        x = inputs.reshape(len(inputs), -1)
        for units in self.hidden_units:
            x = self.activate(self.connect(x, units))
        return self.connect(x, self.num_classes)


def make_workload_network(
    workload: Workload,
    data: TrainingSet,
    convolution: ConvolutionAlgorithm | ops.Convolution,
    precision: Precision = Precision.FLOAT32,
) -> Network:
    """The network of a workload, with its normalisation and one way to compute convolutions."""
    if workload.hidden_units:
        return network_of(
            DenseLayers(data.num_classes, hidden_units=workload.hidden_units),
            data.images.shape[1:],
            mean=data.mean,
            deviation=data.deviation,
            precision=precision,
        )
    return make_network(
        workload.model,
        num_classes=data.num_classes,
        input_shape=data.images.shape[1:],
        mean=data.mean,
        deviation=data.deviation,
        convolution=convolution,
        options=workload.options,
        precision=precision,
    )


def temporary_bytes(compiled: Any) -> int:
    """What a compiled program needs beyond its arguments and results."""
    return compiled.memory_analysis().temp_size_in_bytes


def device_bytes() -> int | None:
    """The most memory held on the accelerator so far; None on CPU."""
    stats = jax.local_devices()[0].memory_stats()
    return None if stats is None else stats["peak_bytes_in_use"]

"""A workload's network in JAX, and what JAX knows of its device."""

from __future__ import annotations

from typing import Any

import jax

from benchmarks.workloads import TrainingSet, Workload
from ensemble_jax.models import Network, make_network
from ensemble_jax.options import ConvolutionAlgorithm, Precision


def make_workload_network(
    workload: Workload,
    data: TrainingSet,
    convolution: ConvolutionAlgorithm,
    precision: Precision = Precision.FLOAT32,
) -> Network:
    """The network of a workload, with its normalisation and one way to compute convolutions."""
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

"""Evaluation of one network on the device: what it predicts for every example, packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Num

from ensemble_jax.evaluation.quantities import Answers, record_quantities
from ensemble_jax.extent import ProbeRecord, SplitRecord
from ensemble_jax.losses import Loss, cross_entropy
from ensemble_jax.networks import Network, Variables
from ensemble_jax.options import Quantity

Evaluator = Callable[[Variables, Num[Array, "M ..."], Int[Array, " M"]], SplitRecord]
Predictor = Callable[[Variables, Num[Array, "M ..."]], ProbeRecord]


def make_evaluator(
    network: Network,
    num_classes: int,
    batch_size: int,
    loss: Loss = cross_entropy,
    quantities: Sequence[Quantity] = (),
) -> Evaluator:
    """The evaluation of one network on labelled examples, in batches of at most `batch_size`.

    The batches need not divide M. `quantities` is what is recorded of every example.
    """
    classify = _classifier(num_classes)

    def evaluate(variables, inputs, labels):
        def of_batch(images, batch_labels):
            outputs = _outputs(network, variables, images)
            losses = loss(outputs, batch_labels)
            answers = Answers(outputs.astype(jnp.float32), batch_labels, losses)
            return classify(outputs), losses, record_quantities(quantities, answers)

        predictions, losses, recorded = in_batches(of_batch, batch_size, inputs, labels)
        correct = predictions == labels
        return SplitRecord(
            jnp.packbits(correct), predictions, losses.mean(), correct.mean(), recorded
        )

    return evaluate


def _outputs(network, variables, inputs):
    """What a network says in evaluation."""
    outputs, _ = network.apply(variables, inputs, key=None, train=False)
    return outputs


def join_evaluations(parts: Sequence[SplitRecord], sizes: Sequence[int]) -> SplitRecord:
    """The evaluations `[N, ...]` of consecutive parts of a set as that of the set, on the host.

    Args:
        parts: of equally many examples, a multiple of 8, but for the last.
        sizes: how many examples each part has.
    """
    return SplitRecord(
        np.concatenate([part.bits for part in parts], axis=1),
        np.concatenate([part.predictions for part in parts], axis=1),
        _weighted([part.loss for part in parts], sizes),
        _weighted([part.accuracy for part in parts], sizes),
        {
            name: np.concatenate([part.recorded[name] for part in parts], axis=1)
            for name in parts[0].recorded
        },
    )


def _weighted(means, sizes):
    return np.average(means, axis=0, weights=sizes).astype(np.float32)


def make_predictor(
    network: Network, num_classes: int, batch_size: int, quantities: Sequence[Quantity] = ()
) -> Predictor:
    """What one network says of examples without labels, in the batches of `make_evaluator`."""
    classify = _classifier(num_classes)

    def predict(variables, inputs):
        def of_batch(images):
            outputs = _outputs(network, variables, images)
            answers = Answers(outputs.astype(jnp.float32))
            return ProbeRecord(classify(outputs), record_quantities(quantities, answers))

        return in_batches(of_batch, batch_size, inputs)

    return predict


def _classifier(num_classes):
    """From logits to classes; of equal logits the first class wins, as everywhere."""
    small = smallest_unsigned(num_classes)
    return lambda logits: logits.argmax(-1).astype(small)


def in_batches(function: Callable[..., Any], batch_size: int, *arrays: Num[Array, "M ..."]) -> Any:
    """Apply a function of `[B, ...]` arrays to `[M, ...]` arrays, batch after batch.

    The function returns pytrees of arrays `[B, ...]`; the result has M entries instead.
    """
    total = len(arrays[0])
    size = min(batch_size, total)
    # The last batch begins early enough to be full, so that there is one program to compile.
    starts = jnp.minimum(jnp.arange(0, total, size), total - size)

    def of_batch(start):
        return function(*(jax.lax.dynamic_slice_in_dim(array, start, size) for array in arrays))

    return jax.tree.map(
        lambda batches: _without_overlap(batches, total), jax.lax.map(of_batch, starts)
    )


def _without_overlap(batches, total):
    """`[batches, size, ...]` as `[total, ...]`: the last repeats the end of the one before it."""
    size = batches.shape[1]
    new = total - (len(batches) - 1) * size
    return jnp.concatenate(
        [batches[:-1].reshape(-1, *batches.shape[2:]), batches[-1, size - new :]]
    )


def smallest_unsigned(num_classes: int) -> jnp.dtype:
    """The smallest unsigned integer type that holds the classes 0..K-1."""
    for dtype in (jnp.uint8, jnp.uint16):
        if num_classes - 1 <= jnp.iinfo(dtype).max:
            return jnp.dtype(dtype)
    return jnp.dtype(jnp.uint32)

"""What the benchmarks in JAX are made of: networks, members, plans, and what they compile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from benchmarks.workloads import TrainingSet, Workload
from ensemble_jax.collection import Placement, place
from ensemble_jax.evaluation import CollectionEvaluation, make_evaluator
from ensemble_jax.kit import Kit
from ensemble_jax.losses import cross_entropy
from ensemble_jax.membership import members
from ensemble_jax.networks import Network, as_network
from ensemble_jax.ops import CONVOLUTIONS
from ensemble_jax.optimizers import named_optimizer
from ensemble_jax.options import Optimizer
from ensemble_jax.plan import Plan, parse_plan_request
from ensemble_jax.planning import default_plan
from ensemble_jax.pool_feed import PoolFeed
from ensemble_jax.training import (
    CollectionTraining,
    Examples,
    Member,
    Recipe,
    SourceIds,
    make_member_training,
)
from ensemble_jax.zoo import make_architecture

# What the main job gives to all members, by default.
_HYPERPARAMETERS: dict[str, Any] = {
    "decay_factor": 1.8,
    "decay_epochs": 20,
    "momentum": 0.0,
    "l2": 0.0,
    "dropout_scale": 1.0,
}


class DenseLayers(nn.Module):
    """Flatten, then hidden dense layers with ReLU, then the output layer.

    Attributes:
        num_classes: K.
        hidden_units: of each hidden layer.
    """

    num_classes: int
    hidden_units: Sequence[int]

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Logits `[B, K]` of inputs `[B, ...]`."""
        x = inputs.reshape(len(inputs), -1)
        for units in self.hidden_units:
            x = nn.relu(nn.Dense(units)(x))
        return nn.Dense(self.num_classes)(x)


def workload_module(workload: Workload, data: TrainingSet) -> nn.Module:
    """The architecture of a workload."""
    if workload.hidden_units:
        return DenseLayers(data.num_classes, workload.hidden_units)
    return make_architecture(
        workload.model,
        num_classes=data.num_classes,
        input_shape=data.images.shape[1:],
        options=workload.options,
    )


def workload_kit(workload: Workload, data: TrainingSet, network: Any = None) -> Kit:
    """How a workload is trained, with its normalisation.

    Args:
        workload: what is trained.
        data: on what.
        network: as `as_network` takes it, in place of the workload's architecture.
    """
    return make_kit(
        as_network(network or workload_module(workload, data)),
        Optimizer.SGD,
        workload.batch_size,
        mean=data.mean,
        std=data.std,
    )


def make_kit(
    network: Network,
    optimizer: Optimizer,
    batch_size: int,
    *,
    mean: Any = 0.0,
    std: Any = 1.0,
    word_vectors: np.ndarray | None = None,
    steps_per_epoch: int = 1,
    augment: Any = None,
) -> Kit:
    """How a network is trained by the main job's defaults; see `Kit` and `Recipe`.

    The number of steps changes no speed: it decides when the learning rate falls.
    """
    recipe_of = partial(
        Recipe,
        optimizer=named_optimizer(optimizer),
        loss=cross_entropy,
        batch_size=batch_size,
        num_steps=steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        augment=augment,
    )
    return Kit(network, mean, std, word_vectors, recipe_of, cross_entropy)


def make_members(
    num_members: int, learning_rate: float, train_indices: np.ndarray | None = None, **others: Any
) -> Member:
    """N members with the hyperparameters that the main job gives them, but for those given."""
    made = members(num_members, learning_rate=learning_rate, **_HYPERPARAMETERS | others)
    streams = SourceIds.own(made.numbers)
    return Member(made.seeds, streams, dict(made.hyperparameters), train_indices)


def forced_plan(text: str, num_members: int, devices: Sequence[Any]) -> Plan:
    """The default plan with what a text forces; nothing is measured."""
    return parse_plan_request(text).apply(default_plan(num_members, devices))


class Planned(NamedTuple):
    """The training of one member under a plan, and where all members are."""

    recipe: Recipe
    placement: Placement

    @classmethod
    def of(cls, kit: Kit, plan: Plan, num_members: int, devices: Sequence[Any]) -> Planned:
        """As the main job puts it together."""
        recipe = kit.recipe(CONVOLUTIONS[plan.convolution], plan.precision, plan.microbatches)
        return cls(recipe, place(plan, num_members, devices))

    def compile(self, members: Member, examples: Examples | PoolFeed) -> CollectionTraining:
        """The training of all members."""
        return CollectionTraining(
            make_member_training(self.recipe), self.placement, members, examples
        )

    def compile_evaluation(
        self,
        training: CollectionTraining,
        examples: Mapping[str, Examples],
        num_classes: int,
        batch_size: int,
    ) -> CollectionEvaluation:
        """The evaluation of all members on every split."""
        return CollectionEvaluation(
            make_evaluator(self.recipe.network, num_classes, batch_size),
            self.placement,
            training.placed_state_shape.variables,
            examples,
        )


def temporary_bytes(compiled: Any) -> int:
    """What a compiled program needs beyond its arguments and results."""
    return compiled.memory_analysis().temp_size_in_bytes


def tree_bytes(tree: Any) -> int:
    """What the arrays of a pytree, or their shapes, hold."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def device_bytes() -> int | None:
    """The most memory held on the accelerator so far; None on CPU."""
    stats = jax.local_devices()[0].memory_stats()
    return None if stats is None else stats["peak_bytes_in_use"]

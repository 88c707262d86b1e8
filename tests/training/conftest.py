"""A network of a few lines, so that what is tested here is training and not architectures."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ensemble_jax.collection import Placement
from ensemble_jax.losses import Loss, cross_entropy
from ensemble_jax.networks import Network, as_network
from ensemble_jax.ops import Augment
from ensemble_jax.optimizers import OptimizerFactory, named_optimizer
from ensemble_jax.options import Optimizer, Schedule
from ensemble_jax.training import (
    CollectionTraining,
    Member,
    MemberState,
    MemberTraining,
    Recipe,
    SourceIds,
    make_member_training,
    place_examples,
)

NUM_EXAMPLES, NUM_INPUTS, NUM_HIDDEN, NUM_CLASSES = 10, 5, 8, 3
BATCH_SIZE = 4
MOST_EPOCHS = 3


class TinyModule(nn.Module):
    """One hidden layer with dropout, and a running mean of its inputs."""

    @nn.compact
    def __call__(self, x, train):
        mean = self.variable("averages", "mean", jnp.zeros, x.shape[1])
        if train:
            mean.value = 0.9 * mean.value + 0.1 * x.mean(0)
        x = jnp.tanh(nn.Dense(NUM_HIDDEN)(x))
        return nn.Dense(NUM_CLASSES)(nn.Dropout(0.5)(x, deterministic=not train))


def make_tiny_network() -> Network:
    return as_network(TinyModule())


def make_examples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(NUM_EXAMPLES, NUM_INPUTS)).astype(np.float32)
    return inputs, rng.integers(0, NUM_CLASSES, NUM_EXAMPLES)


def make_hyperparameters(num_members: int, **values) -> dict[str, np.ndarray]:
    """`[N]` of each; a value is one number for all or one for each member."""
    defaults = {
        "learning_rate": 0.1,
        "decay_factor": 1.5,
        "decay_epochs": 2,
        "momentum": 0.5,
        "l2": 0.01,
        "dropout_scale": 1.0,
    }
    types = {"decay_epochs": np.int32}
    return {
        name: np.broadcast_to(np.asarray(value, types.get(name, np.float32)), num_members)
        for name, value in (defaults | values).items()
    }


def make_members(ids, seed: int = 0, **hyperparameters) -> Member:
    """`[N]` members with the randomness of their numbers."""
    numbers = np.array(ids, np.uint32)
    seeds = np.full_like(numbers, seed)
    return Member(seeds, SourceIds.own(numbers), make_hyperparameters(len(ids), **hyperparameters))


def make_member(number: int, seed: int = 0, **hyperparameters) -> Member:
    """One member, as no collection has it."""
    return jax.tree.map(lambda x: x[0], make_members([number], seed, **hyperparameters))


def make_training(
    *,
    network: Network | None = None,
    optimizer: Optimizer | OptimizerFactory = Optimizer.MOMENTUM,
    schedule: Schedule = Schedule.STEP,
    loss: Loss = cross_entropy,
    num_examples: int = NUM_EXAMPLES,
    microbatches: int = 1,
    augment: Augment | None = None,
) -> MemberTraining:
    """One member's training of `MOST_EPOCHS` epochs, if a schedule asks."""
    if isinstance(optimizer, Optimizer):
        optimizer = named_optimizer(optimizer, schedule)
    steps = -(-num_examples // BATCH_SIZE)
    return make_member_training(
        Recipe(
            network or make_tiny_network(),
            optimizer,
            loss,
            BATCH_SIZE,
            num_steps=MOST_EPOCHS * steps,
            steps_per_epoch=steps,
            microbatches=microbatches,
            augment=augment,
        )
    )


class Trained(NamedTuple):
    """Host copies: the state after each epoch, the first being 0, and each epoch's losses."""

    states: list[MemberState]
    losses: list[np.ndarray]


class Tiny:
    """Trains collections of the tiny network."""

    network = staticmethod(make_tiny_network)
    examples = staticmethod(make_examples)
    make_training = staticmethod(make_training)
    members = staticmethod(make_members)
    member = staticmethod(make_member)
    batch_size = BATCH_SIZE
    num_examples = NUM_EXAMPLES

    @staticmethod
    def compile(
        ids,
        *,
        members_per_call: int = 1,
        devices: int = 1,
        seed: int = 0,
        examples: tuple[np.ndarray, np.ndarray] | None = None,
        members: Member | None = None,
        recipe: Mapping[str, Any] = MappingProxyType({}),
        **hyperparameters,
    ) -> tuple[Placement, CollectionTraining]:
        """The recipe is what `make_training` takes."""
        placement = Placement(len(ids), members_per_call, tuple(jax.devices()[:devices]))
        inputs, labels = examples or make_examples()
        members = members or make_members(ids, seed, **hyperparameters)
        num_examples = len(labels)
        if members.train_indices is not None:
            num_examples = members.train_indices.shape[1]
        return placement, CollectionTraining(
            make_training(num_examples=num_examples, **recipe),
            placement,
            members,
            place_examples(placement, inputs, labels),
        )

    @staticmethod
    def run(
        placement: Placement,
        training: CollectionTraining,
        epochs: int,
        state: MemberState | None = None,
        first_epoch: int = 0,
    ) -> Trained:
        """Train from a host copy of a state, or from initialisation."""
        on_devices = training.init() if state is None else placement.spread(state)
        states, losses = [placement.gather(on_devices)], []
        for epoch in range(first_epoch, first_epoch + epochs):
            on_devices, loss = training.epoch(on_devices, epoch)
            states.append(placement.gather(on_devices))
            losses.append(placement.gather(loss))
        return Trained(states, losses)

    @classmethod
    def train(cls, ids, epochs: int = 2, **options) -> Trained:
        return cls.run(*cls.compile(ids, **options), epochs)


@pytest.fixture(scope="session")
def tiny() -> type[Tiny]:
    return Tiny


@pytest.fixture
def counted_compilations():
    """A context whose value is a list that gets an entry for each program that XLA compiles."""

    @contextlib.contextmanager
    def counting():
        compilations = []

        def listener(event, duration, **_):
            if event == "/jax/core/compile/backend_compile_duration":
                compilations.append(duration)

        jax.monitoring.register_event_duration_secs_listener(listener)
        try:
            yield compilations
        finally:
            jax.monitoring.unregister_event_duration_listener(listener)

    return counting

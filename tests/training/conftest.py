"""A network of a few lines, so that what is tested here is training and not architectures."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from ensemble_jax.models import Network, Variables

from ensemble_jax import ops
from ensemble_jax.collection import Placement
from ensemble_jax.options import Optimizer
from ensemble_jax.training import (
    CollectionTraining,
    Member,
    MemberState,
    Settings,
    StreamIds,
    make_member_training,
    place_examples,
)

NUM_EXAMPLES, NUM_INPUTS, NUM_HIDDEN, NUM_CLASSES = 10, 5, 8, 3
BATCH_SIZE = 4


def make_tiny_network() -> Network:
    """One hidden layer with dropout, and a running mean of its inputs."""

    def init(key):
        keys = [jax.random.fold_in(key, i) for i in range(2)]
        shapes = [(NUM_INPUTS, NUM_HIDDEN), (NUM_HIDDEN, NUM_CLASSES)]
        layers = {
            name: {"kernel": jax.random.normal(k, shape) / 2, "bias": jnp.zeros(shape[1])}
            for name, k, shape in zip(("Dense_0", "Dense_1"), keys, shapes, strict=True)
        }
        return Variables(layers, {"mean": jnp.zeros(NUM_INPUTS)})

    def hidden(params, inputs):
        return jnp.tanh(inputs @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])

    def output(params, x):
        return x @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"]

    def evaluate(variables, inputs):
        return output(variables.params, hidden(variables.params, inputs))

    def train(variables, inputs, dropout_key, training):
        x = hidden(variables.params, inputs)
        rate = 0.5 * training.dropout_scale
        x = ops.dropout(x, rate, dropout_key, training.first_example)
        mean = 0.9 * variables.batch_stats["mean"] + 0.1 * inputs.mean(0)
        return output(variables.params, x), {"mean": mean}

    return Network(init, evaluate, train)


def make_examples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(NUM_EXAMPLES, NUM_INPUTS)).astype(np.float32)
    return inputs, rng.integers(0, NUM_CLASSES, NUM_EXAMPLES)


def make_settings(num_members: int, **values) -> Settings:
    """`[N]` of each; a value is one number for all or one for each member."""
    defaults = {
        "learning_rate": 0.1,
        "decay_factor": 1.5,
        "decay_epochs": 2,
        "momentum": 0.5,
        "l2": 0.01,
        "dropout_scale": 1.0,
    }
    assert values.keys() <= defaults.keys()
    types = {"decay_epochs": np.int32}
    return Settings(
        **{
            name: np.broadcast_to(np.asarray(value, types.get(name, np.float32)), num_members)
            for name, value in (defaults | values).items()
        }
    )


def make_members(ids, seed: int = 0, **settings) -> Member:
    """`[N]` members with the randomness of their numbers."""
    numbers = np.array(ids, np.uint32)
    seeds = np.full_like(numbers, seed)
    return Member(seeds, StreamIds.own(numbers), make_settings(len(ids), **settings))


def make_member(number: int, seed: int = 0, **settings) -> Member:
    """One member, as no collection has it."""
    return jax.tree.map(lambda x: x[0], make_members([number], seed, **settings))


class Trained(NamedTuple):
    """Host copies: the state after each epoch, the first being 0, and each epoch's losses."""

    states: list[MemberState]
    losses: list[np.ndarray]


class Tiny:
    """Trains collections of the tiny network."""

    network = staticmethod(make_tiny_network)
    examples = staticmethod(make_examples)
    settings = staticmethod(make_settings)
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
        optimizer: Optimizer = Optimizer.MOMENTUM,
        network: Network | None = None,
        examples: tuple[np.ndarray, np.ndarray] | None = None,
        members: Member | None = None,
        **settings,
    ) -> tuple[Placement, CollectionTraining]:
        placement = Placement(len(ids), members_per_call, tuple(jax.devices()[:devices]))
        return placement, CollectionTraining(
            make_member_training(network or make_tiny_network(), optimizer, BATCH_SIZE),
            placement,
            members or make_members(ids, seed, **settings),
            place_examples(placement, *(examples or make_examples())),
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

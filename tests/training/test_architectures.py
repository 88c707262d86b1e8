"""Every architecture trains: its members are who they are alone."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import pytest

from ensemble_jax.hyperparameters import Hyperparameters
from ensemble_jax.networks import Network, as_network, prepared, variable_shapes
from ensemble_jax.optimizers import named_optimizer
from ensemble_jax.options import ArchitectureOptions, Model, Optimizer, Schedule
from ensemble_jax.training import NOT_DIVERGED, Examples
from ensemble_jax.zoo import make_architecture

# Compile time is all the time there is.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

NUM_EXAMPLES, NUM_CLASSES = 7, 3  # so that the last batch of four is short
WORD_VECTORS = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


def assert_close(ours, theirs) -> None:
    """By the norm of each whole tensor: its smallest entries are sums that cancel."""

    def compare(a, b):
        assert np.linalg.norm(a - b) <= 1e-3 * np.linalg.norm(b) + 1e-5

    jax.tree.map(compare, ours, theirs)


class Case(NamedTuple):
    """An architecture as small as it can be."""

    shape: tuple[int, ...]
    options: ArchitectureOptions


CASES = {
    Model.ST_VGG: Case((16, 16, 1), ArchitectureOptions(width=2, dense=4)),
    Model.SMALL_ST_VGG: Case((4, 4, 1), ArchitectureOptions(width=2, dense=4)),
    Model.LINEAR_ST_VGG: Case((16, 16, 1), ArchitectureOptions(width=2, dense=4)),
    Model.MNIST_NET: Case((6, 6, 1), ArchitectureOptions(width=2, dense=4)),
    Model.FULLY_CONNECTED: Case((5,), ArchitectureOptions(width=4)),
    Model.VGG16: Case((32, 32, 1), ArchitectureOptions(width=2, depth=1)),
    Model.VGG19: Case((32, 32, 1), ArchitectureOptions(width=2, depth=1, dense=4)),
    Model.ALEXNET: Case((32, 32, 1), ArchitectureOptions(width=4)),
    Model.RESNET50: Case((8, 8, 1), ArchitectureOptions(width=2, depth=1)),
    Model.DENSENET121: Case((8, 8, 1), ArchitectureOptions(growth=2, depth=1)),
    Model.BILSTM: Case((5,), ArchitectureOptions(width=3, dense=4)),
}
NORMALISED = [Model.VGG16, Model.RESNET50, Model.DENSENET121]


def build(model: Model) -> Network:
    case = CASES[model]
    architecture = make_architecture(
        model, num_classes=NUM_CLASSES, input_shape=case.shape, options=case.options
    )
    words = WORD_VECTORS if model is Model.BILSTM else None
    return prepared(as_network(architecture), word_vectors=words)


def make_examples(model: Model) -> Examples:
    rng = np.random.default_rng(0)
    shape = (NUM_EXAMPLES, *CASES[model].shape)
    labels = rng.integers(0, NUM_CLASSES, NUM_EXAMPLES)
    if model is Model.BILSTM:
        return Examples(rng.integers(0, len(WORD_VECTORS), shape, np.int32), labels)
    return Examples(rng.normal(size=shape).astype(np.float32), labels)


# One of each kind is short: convolutions, dense layers, averages of batches, texts.
SHORT = (Model.SMALL_ST_VGG, Model.FULLY_CONNECTED, Model.VGG16, Model.BILSTM)


@pytest.mark.parametrize(
    "model", [m if m in SHORT else pytest.param(m, marks=pytest.mark.slow) for m in Model]
)
def test_a_member_of_three_is_what_it_is_alone(tiny, model):
    training = tiny.make_training(network=build(model), num_examples=NUM_EXAMPLES)
    examples = make_examples(model)

    def train(member, examples):
        state = training.init(member, examples.inputs[:1])
        trained, loss = training.epoch(state, member, 0, examples)
        return state, trained, loss

    hyperparameters = {"learning_rate": 0.01}
    members = tiny.members([5, 6, 7], **hyperparameters)
    together = jax.device_get(quick_jit(jax.vmap(train, (0, None)))(members, examples))
    alone = jax.device_get(quick_jit(train)(tiny.member(6, **hyperparameters), examples))
    assert_close(jax.tree.map(lambda x: x[1], together), alone)

    start, end, losses = together
    assert np.isfinite(losses).all()
    assert (end.diverged_at == NOT_DIVERGED).all()
    for before, after in zip(
        jax.tree.leaves(start.variables), jax.tree.leaves(end.variables), strict=True
    ):
        assert before.shape[0] == 3
        changed = (before != after).reshape(3, -1).any(1)
        assert changed.all(), before.shape


def test_a_short_batch_has_its_own_statistics(tiny):
    """No step sees padding: an epoch of one short batch is that batch, and nothing beside it."""
    network, examples = build(Model.VGG16), make_examples(Model.VGG16)
    short = Examples(examples.inputs[:3], examples.labels[:3])
    training = tiny.make_training(network=network, optimizer=Optimizer.SGD, num_examples=3)
    member = tiny.member(0, dropout_scale=0.0)
    start = quick_jit(training.init)(member, short.inputs)
    end, _ = jax.device_get(quick_jit(training.epoch)(start, member, 0, short))

    def statistics(variables):
        return network.apply(variables, short.inputs, key=jax.random.key(0), train=True)[1]

    # In another order than it was trained on, which statistics do not depend on.
    assert_close(end.variables.state, jax.device_get(quick_jit(statistics)(start.variables)))


@pytest.mark.parametrize("model", NORMALISED)
def test_l2_leaves_scales_and_biases_alone(tiny, model):
    params = variable_shapes(build(model), make_examples(model).inputs).params
    ones = jax.tree.map(lambda x: np.ones(x.shape, np.float32), params)
    hp = Hyperparameters({"learning_rate": 1.0, "l2": 0.25}, num_steps=1, steps_per_epoch=1)
    rule = named_optimizer(Optimizer.SGD, Schedule.CONSTANT)(hp)
    zeros = jax.tree.map(np.zeros_like, ones)
    updates, _ = quick_jit(rule.update)(zeros, rule.init(ones), ones)
    for layer in updates.values():
        for name, update in layer.items():
            assert (np.asarray(update) == (-0.5 if name == "kernel" else 0)).all()


@pytest.mark.parametrize("model", NORMALISED)
def test_batches_of_what_is_normalised_stay_whole(tiny, model):
    training = tiny.make_training(network=build(model), microbatches=2)
    with pytest.raises(ValueError, match="microbatches must be 1 where a network takes"):
        jax.eval_shape(training.init, tiny.member(0), make_examples(model).inputs[:1])

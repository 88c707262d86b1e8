"""Every architecture trains: its members are who they are alone, and padding does not count."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import pytest
from ensemble_jax.models import Network, make_network

from ensemble_jax.optimizers import make_update_rule
from ensemble_jax.options import ArchitectureOptions, ConvolutionAlgorithm, Model, Optimizer
from ensemble_jax.training import Examples, make_member_training
from ensemble_jax.training.member import NOT_DIVERGED, Batch, MemberState, train_step

# Compile time is all the time there is.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

NUM_EXAMPLES, BATCH_SIZE, NUM_CLASSES = 7, 4, 3  # so that the last batch has padding
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
    return make_network(
        model,
        num_classes=NUM_CLASSES,
        input_shape=CASES[model].shape,
        word_vectors=WORD_VECTORS if model is Model.BILSTM else None,
        convolution=ConvolutionAlgorithm.XLA,  # the least to compile
        options=CASES[model].options,
    )


def make_examples(model: Model) -> Examples:
    rng = np.random.default_rng(0)
    shape = (NUM_EXAMPLES, *CASES[model].shape)
    labels = rng.integers(0, NUM_CLASSES, NUM_EXAMPLES)
    if model is Model.BILSTM:
        return Examples(rng.integers(0, len(WORD_VECTORS), shape, np.int32), labels)
    return Examples(rng.normal(size=shape).astype(np.float32), labels)


@pytest.mark.parametrize("model", Model)
def test_a_member_of_three_is_what_it_is_alone(tiny, model):
    training = make_member_training(build(model), Optimizer.MOMENTUM, BATCH_SIZE)
    examples = make_examples(model)

    def train(member, examples):
        state = training.init(member)
        trained, loss = training.epoch(state, member, 0, examples)
        return state, trained, loss

    settings = {"learning_rate": 0.01}
    members = tiny.members([5, 6, 7], **settings)
    together = jax.device_get(quick_jit(jax.vmap(train, (0, None)))(members, examples))
    alone = jax.device_get(quick_jit(train)(tiny.member(6, **settings), examples))
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


def test_a_batch_with_padding_is_the_batch_without(tiny):
    network, examples = build(Model.VGG16), make_examples(Model.VGG16)
    settings = tiny.member(0).settings._replace(learning_rate=0.1)
    rule = make_update_rule(Optimizer.SGD, settings, 0.1)
    variables = jax.device_get(quick_jit(network.init)(jax.random.key(0)))
    start = MemberState(variables, rule.init(variables.params), np.int32(NOT_DIVERGED))

    @quick_jit
    def compiled(state, batch):
        return train_step(network, rule, state, batch, jax.random.key(0), 0.0)

    def step(batch):
        return jax.device_get(compiled(start, batch))

    size = 5
    inputs, labels = examples.inputs[:size], examples.labels[:size]
    whole, loss, _ = step(Batch(inputs, labels, np.ones(size, np.float32)))
    for padding in (np.zeros_like(inputs[:2]), 100 * inputs[:2]):
        padded, padded_loss, _ = step(
            Batch(
                np.concatenate([inputs, padding]),
                np.concatenate([labels, labels[:2]]),
                np.float32([1] * size + [0, 0]),
            )
        )
        assert_close((padded, padded_loss), (whole, loss))
    for before, after in zip(*map(jax.tree.leaves, (variables, whole.variables)), strict=True):
        assert (before != after).any()

    nothing, loss, finite = step(Batch(inputs, labels, np.zeros(size, np.float32)))
    jax.tree.map(np.testing.assert_array_equal, nothing.variables, variables)
    assert (loss, finite) == (0, True)


@pytest.mark.parametrize("model", NORMALISED)
def test_l2_leaves_scales_and_biases_alone(tiny, model):
    params = jax.eval_shape(build(model).init, jax.random.key(0)).params
    ones = jax.tree.map(lambda x: np.ones(x.shape, np.float32), params)
    settings = tiny.member(0).settings._replace(l2=0.25)
    rule = make_update_rule(Optimizer.SGD, settings, 1.0)
    zeros = jax.tree.map(np.zeros_like, ones)
    updates, _ = quick_jit(rule.update)(zeros, rule.init(ones), ones)
    for layer in updates.values():
        for name, update in layer.items():
            assert (np.asarray(update) == (-0.5 if name == "kernel" else 0)).all()


@pytest.mark.parametrize("model", NORMALISED)
def test_batches_of_what_is_normalised_stay_whole(model):
    with pytest.raises(ValueError, match="microbatches must be 1 where a network takes"):
        make_member_training(build(model), Optimizer.SGD, BATCH_SIZE, microbatches=2)

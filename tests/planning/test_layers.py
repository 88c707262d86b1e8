"""Layers of tiny networks, timed for real or not at all."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax import ops
from ensemble_jax.collection import place
from ensemble_jax.losses import cross_entropy
from ensemble_jax.networks import Variables, variable_shapes
from ensemble_jax.optimizers import as_optimizer
from ensemble_jax.options import (
    ArchitectureOptions,
    ConvolutionAlgorithm,
    ImageForm,
    Model,
)
from ensemble_jax.plan import Plan
from ensemble_jax.planning import PlanningTask, fastest_by_layer, layers
from ensemble_jax.training import Member, Recipe, StreamIds

PATCHES, XLA = ConvolutionAlgorithm.PATCHES, ConvolutionAlgorithm.XLA
WINOGRAD, WINOGRAD_4 = ConvolutionAlgorithm.WINOGRAD, ConvolutionAlgorithm.WINOGRAD_4
FIRST, SECOND = "3x3x3->2 8x8 s1", "3x3x2->2 8x8 s1"
TINY = ArchitectureOptions(width=2, depth=1, dense=4)


@pytest.fixture(scope="module")
def tiny_network(zoo_network):
    return partial(zoo_network, Model.SMALL_ST_VGG, (8, 8, 3), options=TINY)


def images_of(*shape):
    return jax.ShapeDtypeStruct(shape, np.uint8)


@pytest.fixture(scope="module")
def make_task(tiny_network):
    def recipe(convolution, precision, microbatches):
        optimizer = as_optimizer("sgd")
        return Recipe(tiny_network(convolution), optimizer, cross_entropy, 4, 2, 2, microbatches)

    def make(num_members=2, num_devices=1):
        ids = np.arange(num_members, dtype=np.uint32)
        rates = {"learning_rate": np.ones(num_members, np.float32)}
        return PlanningTask(
            recipe,
            Member(ids, StreamIds.own(ids), rates),
            inputs=np.zeros((8, 8, 8, 3), np.uint8),
            labels=np.zeros(8, np.int32),
            shared_bytes=0,
            devices=jax.devices()[:num_devices],
        )

    return make


def test_convolutions_of_st_vgg(zoo_network):
    found = layers.convolutions_of(
        partial(zoo_network, Model.ST_VGG, (32, 32, 3)),
        images_of(50, 32, 32, 3),
    )
    assert [layer.name for layer in found] == [
        "3x3x3->32 32x32 s1",
        "3x3x32->32 32x32 s1",
        "3x3x32->64 16x16 s1",
        "3x3x64->64 16x16 s1",
        "3x3x64->128 8x8 s1",
        "3x3x128->128 8x8 s1",
        "2x2x128->256 4x4 s1",
        "2x2x256->256 4x4 s1",
    ]
    assert [layer.inputs_shape[0] for layer in found] == [50] * 8
    assert [layer.padding for layer in found] == [((1, 1), (1, 1))] * 6 + [((0, 1), (0, 1))] * 2
    assert [layer.reads_images for layer in found] == [True] + [False] * 7


def test_a_shape_is_named_once(zoo_network):
    options = ArchitectureOptions(width=8, depth=3, form=ImageForm.CIFAR)
    found = layers.convolutions_of(
        partial(zoo_network, Model.RESNET50, (16, 16, 3), options=options),
        images_of(4, 16, 16, 3),
    )
    names = [layer.name for layer in found]
    assert len(set(names)) == len(names)
    assert names[:5] == [
        "3x3x3->8 16x16 s1",
        "1x1x8->8 16x16 s1",
        "3x3x8->8 16x16 s1",
        "1x1x8->32 16x16 s1",
        "1x1x32->8 16x16 s1",
    ]
    assert "3x3x16->16 16x16 s2" in names
    assert "1x1x32->64 16x16 s2" in names


def test_a_network_without_convolutions_has_none(zoo_network):
    found = layers.convolutions_of(
        partial(zoo_network, Model.FULLY_CONNECTED, (4,)),
        images_of(2, 4),
    )
    assert found == []


def test_layers_are_computed_as_named(tiny_network, monkeypatch):
    used = []
    for algorithm, convolution in list(ops.CONVOLUTIONS.items()):

        def note(inputs, kernel, strides, padding, algorithm=algorithm, convolution=convolution):
            used.append((ops.shape_name(inputs.shape, kernel.shape, strides), algorithm))
            return convolution(inputs, kernel, strides, padding)

        monkeypatch.setitem(ops.CONVOLUTIONS, algorithm, note)
    mixed = tiny_network(ops.convolution_by_layer(XLA, {SECOND: PATCHES}))
    variables = variable_shapes(mixed, images_of(1, 8, 8, 3))
    used.clear()
    jax.eval_shape(partial(mixed.apply, key=None, train=False), variables, images_of(1, 8, 8, 3))
    assert used == [(FIRST, XLA), (SECOND, PATCHES)]


def test_other_convolutions_give_the_same_results(tiny_network):
    uniform = tiny_network(ops.convolution_by_layer(XLA, {}))
    mixed = tiny_network(ops.convolution_by_layer(XLA, {FIRST: PATCHES, SECOND: WINOGRAD}))
    images = np.random.default_rng(0).integers(0, 3, (4, 8, 8, 3), np.uint8)
    variables = uniform.init(jax.random.key(0), images)

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def gradients(params):
        def loss(network, params):
            logits, _ = network.apply(
                Variables(params, {}), images, key=jax.random.key(1), train=True
            )
            return (jnp.sin(logits)).sum()

        return [jax.value_and_grad(partial(loss, network))(params) for network in (uniform, mixed)]

    ours, theirs = gradients(variables.params)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), ours, theirs)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({XLA: 1.0, PATCHES: 0.9}, {FIRST: PATCHES, SECOND: PATCHES}),
        ({XLA: 1.0, PATCHES: 0.99}, {}),
        ({XLA: 1.0, PATCHES: 1.1}, {}),
    ],
)
def test_what_is_clearly_faster_is_chosen(seconds, expected, make_task, monkeypatch):
    """Algorithms are told apart by the operations that they lower to."""
    timed = []

    class Lowered:
        def __init__(self, algorithm):
            self.as_text = lambda: algorithm.value
            self.compile = lambda: algorithm

    monkeypatch.setattr(layers, "_lower", lambda layer, algorithm, *_: Lowered(algorithm))

    def time(programs, *_):
        timed.extend(programs)
        return np.array([[3.0 * seconds[program] for program in programs]] * 2)

    monkeypatch.setattr(layers, "_seconds_of", time)
    plan = Plan(1, 1, XLA, 1)
    assert fastest_by_layer(plan, make_task(), [PATCHES], 60.0) == expected
    assert timed == [XLA, PATCHES] * 2
    assert fastest_by_layer(plan, make_task(), [PATCHES], -1.0) == {}


@pytest.mark.parametrize(
    ("num_devices", "members_per_call", "members"), [(1, 1, 2), (1, 0, 3), (2, 1, 4), (2, 0, 4)]
)
def test_layers_are_timed_for_real(num_devices, members_per_call, members, make_task, monkeypatch):
    """For one call, on every device that the plan has, and room for another member in a loop."""
    lower, shapes = layers._lower, []

    def note(layer, algorithm, placement, inputs, kernel):
        assert len(inputs.sharding.device_set) == num_devices
        shapes.append((len(inputs), len(kernel)))
        return lower(layer, algorithm, placement, inputs, kernel)

    monkeypatch.setattr(layers, "_lower", note)
    plan = Plan(num_devices, members_per_call, PATCHES, microbatches=2)
    chosen = fastest_by_layer(plan, make_task(3, num_devices), [WINOGRAD], 60.0)
    assert set(chosen) <= {FIRST, SECOND}
    assert set(chosen.values()) <= {WINOGRAD}
    assert set(shapes) == {(members, members)}


def test_the_same_program_is_timed_once(monkeypatch):
    """Winograd's algorithm leaves kernels of one pixel to patches, whatever its tiles."""
    timed = []
    monkeypatch.setattr(
        layers,
        "_seconds_of",
        lambda programs, *_: timed.extend(programs) or np.ones((2, len(programs))),
    )
    layer = layers.LayerConvolution((2, 4, 4, 3), (1, 1, 3, 2), (1, 1), ((0, 0), (0, 0)), False)
    algorithms = [WINOGRAD, WINOGRAD_4, PATCHES]
    two = place(Plan(1, 0, WINOGRAD, 1), 2, jax.devices())
    assert layers._fastest(layer, algorithms, two, "float32") is WINOGRAD
    assert len(timed) == 1

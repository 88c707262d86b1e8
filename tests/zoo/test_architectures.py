"""The published architectures: their sizes, what they take, how they begin, what they compute."""

from __future__ import annotations

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.networks import Network, Sequences, Variables, as_network, count_parameters
from ensemble_jax.options import ArchitectureOptions, Model
from ensemble_jax.zoo import make_architecture

# Compile time is all the time there is, so nothing is optimised that is run once.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
IMAGES = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)

IMAGE_MODELS = [m for m in Model if m not in (Model.FULLY_CONNECTED, Model.BILSTM)]
WORD_SIZE = 50
SMALLEST = {
    Model.ST_VGG: 16,
    Model.SMALL_ST_VGG: 4,
    Model.LINEAR_ST_VGG: 16,
    Model.MNIST_NET: 6,
    Model.VGG16: 32,
    Model.VGG19: 32,
    Model.ALEXNET: 29,
    Model.RESNET50: 1,
    Model.DENSENET121: 8,
}

# Kernel entries plus biases, layer after layer.
ST_VGG_CONVOLUTIONS = (
    (3 * 3 * 3 * 32 + 32)
    + (3 * 3 * 32 * 32 + 32)
    + (3 * 3 * 32 * 64 + 64)
    + (3 * 3 * 64 * 64 + 64)
    + (3 * 3 * 64 * 128 + 128)
    + (3 * 3 * 128 * 128 + 128)
    + (2 * 2 * 128 * 256 + 256)
    + (2 * 2 * 256 * 256 + 256)
)
COUNTS = [
    # 32, 16, 8, 4 and 2 pixels; then 2 * 2 * 256 = 1024 units.
    (Model.ST_VGG, (32, 32, 3), 5, ST_VGG_CONVOLUTIONS + (1024 * 512 + 512) + (512 * 5 + 5)),
    (Model.LINEAR_ST_VGG, (32, 32, 3), 5, 1_208_101),
    (Model.ST_VGG, (64, 64, 3), 200, ST_VGG_CONVOLUTIONS + (4096 * 512 + 512) + (512 * 200 + 200)),
    # 28, 14, 7, 3 and 1 pixels; one channel has 2 * 3 * 3 * 32 kernel entries fewer.
    (Model.ST_VGG, (28, 28, 1), 10, ST_VGG_CONVOLUTIONS - 576 + (256 * 512 + 512) + 5130),
    # 32, 16 and 8 pixels; then 8 * 8 * 64 = 4096 units.
    (
        Model.SMALL_ST_VGG,
        (32, 32, 3),
        5,
        (3 * 3 * 3 * 32 + 32)
        + (3 * 3 * 32 * 32 + 32)
        + (3 * 3 * 32 * 64 + 64)
        + (3 * 3 * 64 * 64 + 64)
        + (4096 * 128 + 128)
        + (128 * 5 + 5),
    ),
    # Not square: 8 x 12 pixels, then 2 x 3.
    (Model.SMALL_ST_VGG, (8, 12, 1), 3, 320 + 9248 + 18496 + 36928 + (384 * 128 + 128) + 387),
    # 28, 26, 24 and 12 pixels: 12 * 12 * 64 = 9216 units. The Keras example says 1,199,882, too.
    (Model.MNIST_NET, (28, 28, 1), 10, 320 + 18496 + (9216 * 128 + 128) + (128 * 10 + 10)),
    (
        Model.FULLY_CONNECTED,
        (28, 28, 1),
        10,
        (784 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 10 + 10),
    ),
    (Model.FULLY_CONNECTED, (7,), 3, (7 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 3 + 3)),
    # What torchvision publishes for ImageNet, to the parameter,
    (Model.VGG16, (224, 224, 3), 1000, 138_357_544),
    (Model.VGG19, (224, 224, 3), 1000, 143_667_240),
    (Model.ALEXNET, (224, 224, 3), 1000, 61_100_840),
    (Model.RESNET50, (224, 224, 3), 1000, 25_557_032),
    (Model.DENSENET121, (224, 224, 3), 1000, 7_978_856),
    # and what the usual forms for CIFAR-10 have.
    (Model.VGG16, (32, 32, 3), 10, 14_728_266),
    (Model.VGG19, (32, 32, 3), 10, 20_040_522),
    (Model.ALEXNET, (32, 32, 3), 10, 2_472_266),
    (Model.RESNET50, (32, 32, 3), 10, 23_520_842),
    (Model.DENSENET121, (32, 32, 3), 10, 6_956_298),
    # Two directions of four gates of 300 units; attention of 600; two dense layers.
    (
        Model.BILSTM,
        (30,),
        20,
        2 * 4 * 300 * (50 + 300 + 1)
        + (600 * 600 + 600)
        + 600
        + (600 * 256 + 256)
        + (256 * 20 + 20),
    ),
]


def build(model: Model, input_shape: tuple[int, ...], num_classes: int = 3, **options) -> Network:
    return as_network(
        make_architecture(
            model,
            num_classes=num_classes,
            input_shape=input_shape,
            options=ArchitectureOptions(**options),
        )
    )


def inputs_of(model: Model, input_shape: tuple[int, ...]) -> jax.ShapeDtypeStruct | Sequences:
    """Of two examples."""
    struct = jax.ShapeDtypeStruct
    if model is Model.BILSTM:
        shape = (2, *input_shape)
        return Sequences(struct((*shape, WORD_SIZE), jnp.float32), struct(shape, bool))
    return struct((2, *input_shape), jnp.float32)


def shape_of_logits(network: Network, inputs) -> tuple[int, ...]:
    key = jax.random.key(0)
    variables = jax.eval_shape(network.init, key, inputs)
    (evaluated, kept), (trained, changed) = (
        jax.eval_shape(partial(network.apply, train=train), variables, inputs, key=key)
        for train in (False, True)
    )
    assert evaluated == trained
    assert kept == changed == variables.state
    assert evaluated.dtype == jnp.float32
    return evaluated.shape


@pytest.mark.parametrize(("model", "input_shape", "num_classes", "count"), COUNTS)
def test_parameters_are_as_many_as_by_hand(model, input_shape, num_classes, count):
    network, inputs = build(model, input_shape, num_classes), inputs_of(model, input_shape)
    assert count_parameters(network, inputs) == count
    assert shape_of_logits(network, inputs) == (2, num_classes)


def test_the_table_covers_every_model():
    assert {model for model, *_ in COUNTS} == set(Model)


@pytest.mark.parametrize(("model", "size"), SMALLEST.items())
def test_the_smallest_image(model, size):
    shape = (size, size, 1)
    thin = {"depth": 1} if model in (Model.RESNET50, Model.DENSENET121) else {}
    assert shape_of_logits(build(model, shape, **thin), inputs_of(model, shape)) == (2, 3)


@pytest.mark.parametrize(("model", "size"), [item for item in SMALLEST.items() if item[1] > 1])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_smaller_image_is_refused(model, size, axis):
    shape = [size, size, 1]
    shape[axis] -= 1
    message = (
        f"model {model.value} needs images of at least {size}x{size}, got {shape[0]}x{shape[1]}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build(model, tuple(shape))


@pytest.mark.parametrize("model", SMALLEST)
@pytest.mark.parametrize("shape", [(300,), (32, 32)])
def test_what_is_no_image_is_refused(model, shape):
    message = (
        f"model {model.value} needs images of height x width x channels, "
        f"got examples of shape {shape}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build(model, shape)


@pytest.mark.parametrize("shape", [(1,), (5,), (1, 1, 1), (2, 3), (2, 3, 4, 5)])
def test_fully_connected_takes_anything(shape):
    model = Model.FULLY_CONNECTED
    assert shape_of_logits(build(model, shape), inputs_of(model, shape)) == (2, 3)


def test_layers_have_dropout_keys_of_their_own():
    """Two dense layers of one width, all weights positive: equal masks would drop equal units."""
    network, inputs = build(Model.FULLY_CONNECTED, (4,)), np.zeros((64, 4), np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), inputs)
    params = jax.tree.map(jnp.zeros_like, shapes.params)
    params["Dense_0"]["bias"] += 1.0
    params["Dense_1"]["kernel"] += jnp.eye(1024)
    params["Dense_2"]["kernel"] += 1.0
    logits, _ = network.apply(Variables(params, {}), inputs, key=jax.random.key(0), train=True)
    # A unit that both layers keep adds 1 / 0.5**2: of 1024 units one in four, not one in two.
    assert logits.mean() / 4 == pytest.approx(256, rel=0.05)


@pytest.mark.parametrize("model", [*IMAGE_MODELS[:4], Model.FULLY_CONNECTED])
def test_kernels_are_glorot_uniform_and_biases_zero(model):
    variables = quick_jit(build(model, (16, 16, 3)).init)(jax.random.key(0), IMAGES)
    assert variables.state == {}
    for layer in variables.params.values():
        assert set(layer) == {"kernel", "bias"}
        assert not layer["bias"].any()
        kernel = np.asarray(layer["kernel"])
        window = np.prod(kernel.shape[:-2])
        bound = np.sqrt(6 / (window * (kernel.shape[-2] + kernel.shape[-1])))
        assert np.abs(kernel).max() <= bound * (1 + 1e-6)
        assert np.abs(kernel).max() > 0.95 * bound
        # A uniform distribution's moments, to five standard errors.
        assert abs(kernel.mean()) < 5 * bound / np.sqrt(3 * kernel.size)
        assert abs(kernel.var() / (bound**2 / 3) - 1) < 5 * np.sqrt(0.8 / kernel.size)


# First and last entry of some kernels for the key 3: they depend on the layers' names, and runs of
# earlier versions began with them.
INITIAL = {
    Model.ST_VGG: {"Conv_7": (0.005214165, 0.03196813), "Dense_1": (-0.03969748, 0.01643994)},
    Model.SMALL_ST_VGG: {
        "Conv_3": (0.01318638, -0.008320059),
        "Dense_1": (-0.07871018, -0.08291665),
    },
    Model.LINEAR_ST_VGG: {
        "Conv_7": (0.005214165, 0.03196813),
        "Dense_1": (-0.03969748, 0.01643994),
    },
    Model.MNIST_NET: {"Conv_1": (0.06353088, 0.004331112), "Dense_1": (-0.07871018, -0.08291665)},
    Model.FULLY_CONNECTED: {"Dense_2": (0.06384633, -0.01526008)},
    Model.VGG16: {"Conv_12": (0.01214446, -0.02511765), "Dense_0": (0.07983167, -0.07845596)},
    Model.VGG19: {"Conv_15": (-0.01678178, -0.006834707), "Dense_0": (0.07983167, -0.07845596)},
    Model.ALEXNET: {"Conv_4": (-0.01341704, -0.01538198), "Dense_0": (0.1125716, 0.1092198)},
    Model.RESNET50: {"Conv_52": (0.02558852, -0.004000511), "Dense_0": (0.04000331, 0.04542387)},
    Model.DENSENET121: {
        "Conv_119": (-0.05145995, -0.005147567),
        "Dense_0": (0.0565319, 0.03207942),
    },
    Model.BILSTM: {
        "BidirectionalLSTM_0": (0.02564287, -0.004253171),
        "Attention_0/Dense_1": (0.005518394, -0.09860906),
        "Dense_1": (-0.0559779, -0.1280467),
    },
}


@pytest.mark.parametrize("model", Model)
def test_members_begin_as_they_always_did(model):
    text = model is Model.BILSTM
    shape = (7,) if text else (32, 32, 3)
    inputs = (
        Sequences(jnp.zeros((1, 7, 5)), jnp.ones((1, 7), bool)) if text else jnp.zeros((1, *shape))
    )
    network = build(model, shape)

    def ends(key, layer):
        params = network.init(key, inputs).params
        for name in layer.split("/"):
            params = params[name]
        return params["kernel"].ravel()[jnp.array([0, -1])]

    for layer, values in INITIAL[model].items():
        drawn = quick_jit(partial(ends, layer=layer))(jax.random.key(3))
        np.testing.assert_allclose(drawn, values, rtol=2e-5 if text else 1e-6)


def test_linear_st_vgg_is_affine():
    network = build(Model.LINEAR_ST_VGG, IMAGES.shape[1:])
    params = quick_jit(network.init)(jax.random.key(0), IMAGES).params
    # With biases, without which it would not show that the law is the affine one.
    params = jax.tree.map(lambda x: x + 0.05 if x.ndim == 1 else x, params)
    evaluate = quick_jit(partial(network.apply, key=None, train=False))

    def f(images):
        return np.asarray(evaluate(Variables(params, {}), images)[0])

    zero = f(np.zeros_like(IMAGES))
    assert np.abs(zero).max() > 0.01
    x, y = IMAGES, IMAGES[::-1] ** 2
    for a, b in ((1.0, 1.0), (-2.0, 0.5), (0.0, 3.0)):
        expected = a * (f(x) - zero) + b * (f(y) - zero)
        np.testing.assert_allclose(f(a * x + b * y) - zero, expected, rtol=1e-4, atol=1e-4)


def test_small_st_vgg_is_not_affine():
    network = build(Model.SMALL_ST_VGG, IMAGES.shape[1:])
    variables = quick_jit(network.init)(jax.random.key(0), IMAGES)
    evaluate = quick_jit(partial(network.apply, key=None, train=False))
    f = [evaluate(variables, s * IMAGES)[0] for s in (0.0, 1.0, -1.0)]
    assert np.abs(f[1] + f[2] - 2 * f[0]).max() > 0.01

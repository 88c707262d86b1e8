from __future__ import annotations

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ensemble_jax.models import Network, TrainingPass, Variables, count_parameters, make_network

from ensemble_jax.options import ArchitectureOptions, ConvolutionAlgorithm, Model, Precision

# Compile time is all the time there is, so nothing is optimised that is run once.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

IMAGE_MODELS = [m for m in Model if m not in (Model.FULLY_CONNECTED, Model.BILSTM)]
WORD_VECTORS = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
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
    if model is Model.BILSTM:
        options["word_vectors"] = WORD_VECTORS
    return make_network(model, num_classes=num_classes, input_shape=input_shape, **options)


def shape_of_logits(network: Network, input_shape: tuple[int, ...], batch: int):
    variables = jax.eval_shape(network.init, jax.random.key(0))
    inputs = jax.ShapeDtypeStruct((batch, *input_shape), jnp.uint8)
    evaluated = jax.eval_shape(network.evaluate, variables, inputs)
    trained, _ = jax.eval_shape(network.train, variables, inputs, jax.random.key(1), TrainingPass())
    assert (evaluated.shape, evaluated.dtype) == (trained.shape, trained.dtype)
    assert evaluated.dtype == jnp.float32
    return evaluated.shape


@pytest.mark.parametrize(("model", "input_shape", "num_classes", "count"), COUNTS)
def test_parameters_are_as_many_as_by_hand(model, input_shape, num_classes, count):
    network = build(model, input_shape, num_classes)
    assert count_parameters(network) == count
    assert shape_of_logits(network, input_shape, 4) == (4, num_classes)


def test_the_table_covers_every_model():
    assert {model for model, *_ in COUNTS} == set(Model)


@pytest.mark.parametrize("convolution", ConvolutionAlgorithm)
@pytest.mark.parametrize("model", [Model.ST_VGG, Model.MNIST_NET, Model.ALEXNET, Model.RESNET50])
def test_every_convolution(model, convolution):
    network = build(model, (32, 33, 2), convolution=convolution)
    assert shape_of_logits(network, (32, 33, 2), 2) == (2, 3)


@pytest.mark.parametrize(("model", "size"), SMALLEST.items())
def test_the_smallest_image(model, size):
    shape = (size, size, 1)
    thin = ArchitectureOptions(depth=1) if model in (Model.RESNET50, Model.DENSENET121) else None
    network = build(model, shape, options=thin or ArchitectureOptions())
    assert shape_of_logits(network, shape, 2) == (2, 3)


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
    assert shape_of_logits(build(Model.FULLY_CONNECTED, shape), shape, 2) == (2, 3)


class Built:
    """A small network with its variables and images, compiled once."""

    def __init__(self, model: Model, input_shape: tuple[int, ...]) -> None:
        self.network = build(model, input_shape)
        self.init = quick_jit(self.network.init)
        self.evaluate = quick_jit(self.network.evaluate)
        self.train = quick_jit(self.network.train)
        self.variables = self.init(jax.random.key(0))
        rng = np.random.default_rng(0)
        self.inputs = rng.normal(size=(4, *input_shape)).astype(np.float32)


@pytest.fixture(scope="module")
def small_vgg() -> Built:
    return Built(Model.SMALL_ST_VGG, (8, 8, 1))


def test_evaluation_has_no_randomness(small_vgg):
    program = str(jax.make_jaxpr(small_vgg.network.evaluate)(small_vgg.variables, small_vgg.inputs))
    assert "random" not in program
    assert "threefry" not in program
    trained = jax.make_jaxpr(small_vgg.network.train)(
        small_vgg.variables, small_vgg.inputs, jax.random.key(0), TrainingPass()
    )
    assert "random" in str(trained)


def test_training_differs_by_dropout_only(small_vgg):
    def logits(seed, dropout_scale):
        return small_vgg.train(
            small_vgg.variables, small_vgg.inputs, jax.random.key(seed), TrainingPass(dropout_scale)
        )[0]

    evaluated = small_vgg.evaluate(small_vgg.variables, small_vgg.inputs)
    np.testing.assert_allclose(logits(0, 0.0), evaluated, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(logits(0, 1.0), logits(0, 1.0))
    assert np.abs(logits(0, 1.0) - logits(1, 1.0)).max() > 0.01
    assert np.abs(logits(0, 1.0) - evaluated).max() > 0.01


def test_layers_have_dropout_keys_of_their_own():
    """Two dense layers of one width, all weights positive: equal masks would drop equal units."""
    network = build(Model.FULLY_CONNECTED, (4,))
    params = jax.tree.map(jnp.zeros_like, jax.eval_shape(network.init, jax.random.key(0)).params)
    params["Dense_0"]["bias"] += 1.0
    params["Dense_1"]["kernel"] += jnp.eye(1024)
    params["Dense_2"]["kernel"] += 1.0
    logits, _ = network.train(
        Variables(params, {}), np.zeros((64, 4)), jax.random.key(0), TrainingPass()
    )
    # A unit that both layers keep adds 1 / 0.5**2: of 1024 units one in four, not one in two.
    assert logits.mean() / 4 == pytest.approx(256, rel=0.05)


@pytest.mark.parametrize("model", [*IMAGE_MODELS[:4], Model.FULLY_CONNECTED])
def test_kernels_are_glorot_uniform_and_biases_zero(model):
    variables = quick_jit(build(model, (16, 16, 3)).init)(jax.random.key(0))
    assert variables.batch_stats == {}
    for layer in variables.params.values():
        assert set(layer) == {"kernel", "bias"}
        assert not layer["bias"].any()
        kernel = np.asarray(layer["kernel"])
        window = np.prod(kernel.shape[:-2])
        bound = np.sqrt(6 / (window * (kernel.shape[-2] + kernel.shape[-1])))
        assert np.abs(kernel).max() <= bound * (1 + 1e-6)
        assert np.abs(kernel).max() > 0.95 * bound
        # A uniform distribution's moments, to five deviations of their estimates.
        assert abs(kernel.mean()) < 5 * bound / np.sqrt(3 * kernel.size)
        assert abs(kernel.var() / (bound**2 / 3) - 1) < 5 * np.sqrt(0.8 / kernel.size)


def test_initialisation_depends_on_the_key_alone(small_vgg):
    same, other = (small_vgg.init(jax.random.key(seed)) for seed in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, small_vgg.variables, same)
    kernel = small_vgg.variables.params["Conv_0"]["kernel"]
    assert not np.isin(kernel, other.params["Conv_0"]["kernel"]).any()


def test_linear_st_vgg_is_affine():
    linear = Built(Model.LINEAR_ST_VGG, (16, 16, 1))
    # With biases, without which it would not show that the law is the affine one.
    params = jax.tree.map(lambda x: x + 0.05 if x.ndim == 1 else x, linear.variables.params)

    def f(images):
        return np.asarray(linear.evaluate(Variables(params, {}), images))

    zero = f(np.zeros_like(linear.inputs))
    assert np.abs(zero).max() > 0.01
    x, y = linear.inputs, linear.inputs[::-1] ** 2
    for a, b in ((1.0, 1.0), (-2.0, 0.5), (0.0, 3.0)):
        expected = a * (f(x) - zero) + b * (f(y) - zero)
        np.testing.assert_allclose(f(a * x + b * y) - zero, expected, rtol=1e-4, atol=1e-4)


def test_small_st_vgg_is_not_affine(small_vgg):
    f = [small_vgg.evaluate(small_vgg.variables, s * small_vgg.inputs) for s in (0.0, 1.0, -1.0)]
    assert np.abs(f[1] + f[2] - 2 * f[0]).max() > 0.01


@pytest.mark.parametrize("training", [False, True])
def test_inputs_are_normalised_inside(training):
    mean, deviation = np.float32([100, 50, 10]), np.float32([50, 20, 3])
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    raw = build(Model.FULLY_CONNECTED, (4, 4, 3), mean=mean, deviation=deviation)
    normalised = build(Model.FULLY_CONNECTED, (4, 4, 3))
    variables = quick_jit(raw.init)(jax.random.key(0))

    def logits(network, inputs):
        if training:
            return network.train(variables, inputs, jax.random.key(1), TrainingPass())[0]
        return network.evaluate(variables, inputs)

    for inputs in (images, images.astype(np.float32)):
        np.testing.assert_allclose(
            logits(raw, inputs),
            logits(normalised, (inputs - mean) / deviation),
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.parametrize("convolution", ConvolutionAlgorithm)
def test_bfloat16_is_what_layers_multiply_and_nothing_else(convolution):
    shape = (8, 8, 3)
    network = build(
        Model.SMALL_ST_VGG, shape, convolution=convolution, precision=Precision.BFLOAT16
    )

    def loss(params, images):
        variables = Variables(params, {})
        logits, _ = network.train(variables, images, jax.random.key(1), TrainingPass())
        return logits.sum()

    params = jax.eval_shape(network.init, jax.random.key(0)).params
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    value, gradient = jax.eval_shape(jax.value_and_grad(loss), params, images)
    assert {leaf.dtype for leaf in jax.tree.leaves((value, gradient))} == {jnp.dtype("float32")}
    program = jax.make_jaxpr(jax.grad(loss))(params, images)
    products = re.findall(r"(\w+)\[[\d,]*\] = (?:dot_general|conv_general_dilated)\[", str(program))
    assert len(products) > 6
    assert set(products) == {"bf16"}


def test_bfloat16_is_float32_with_fewer_digits():
    images = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    networks = [
        build(
            Model.FULLY_CONNECTED, (20,), precision=precision, options=ArchitectureOptions(width=16)
        )
        for precision in Precision
    ]
    variables = networks[0].init(jax.random.key(0))
    exact, rounded = (network.evaluate(variables, images) for network in networks)
    assert rounded.dtype == jnp.float32
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=0.05)
    assert np.abs(rounded - exact).max() > 1e-4

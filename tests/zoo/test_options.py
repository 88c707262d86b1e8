"""What of an architecture may be other than published."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.networks import Sequences, as_network, count_parameters
from ensemble_jax.options import Activation, ArchitectureOptions, ImageForm, Initialiser, Model
from ensemble_jax.zoo import Architecture, make_architecture
from ensemble_jax.zoo.architecture import ACTIVATIONS, INITIALISERS

WORD_SIZE = 7


def build(model: Model, shape: tuple[int, ...] = (8, 8, 1), **options) -> Architecture:
    return make_architecture(
        model, num_classes=10, input_shape=shape, options=ArchitectureOptions(**options)
    )


def inputs_of(model: Model, shape: tuple[int, ...]) -> jax.Array | Sequences:
    """Of two examples."""
    if model is Model.BILSTM:
        return Sequences(jnp.zeros((2, *shape, WORD_SIZE)), jnp.ones((2, *shape), bool))
    return jnp.zeros((2, *shape))


def programs(model: Model, shape: tuple[int, ...], **options) -> tuple[str, str]:
    """What initialisation and evaluation do."""
    network, inputs = as_network(build(model, shape, **options)), inputs_of(model, shape)
    variables = jax.eval_shape(network.init, jax.random.key(0), inputs)
    evaluate = partial(network.apply, key=None, train=False)
    return (
        str(jax.make_jaxpr(network.init)(jax.random.key(0), inputs)),
        str(jax.make_jaxpr(evaluate)(variables, inputs)),
    )


def dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def conv(size: int, inputs: int, outputs: int) -> int:
    return size**2 * inputs * outputs + outputs


SMALL, FULL = Model.SMALL_ST_VGG, Model.FULLY_CONNECTED
COUNTS = [
    (FULL, {"width": 7, "depth": 3}, dense(64, 7) + 2 * dense(7, 7) + dense(7, 10)),
    (
        SMALL,
        {"width": 3, "dense": 9},
        conv(3, 1, 3) + conv(3, 3, 3) + conv(3, 3, 6) + conv(3, 6, 6) + dense(24, 9) + 100,
    ),
    (
        SMALL,
        {"depth": 3, "kernel_size": 2, "width": 2, "dense": 9},
        conv(2, 1, 2)
        + conv(2, 2, 2)
        + conv(2, 2, 4)
        + conv(2, 4, 4)
        + conv(2, 4, 8)
        + conv(2, 8, 8)
        + dense(8, 9)
        + 100,
    ),
    (
        Model.MNIST_NET,
        {"kernel_size": 2, "width": 3, "dense": 9},
        conv(2, 1, 3) + conv(2, 3, 6) + dense(3 * 3 * 6, 9) + 100,
    ),
    (
        Model.DENSENET121,
        {"growth": 2, "depth": 1},
        # 4 channels and 2 more in each block, halved between blocks: 6 3, 5 2, 4 2, 4.
        9 * 4
        + sum(2 * c + 8 * c + 2 * 8 + 9 * 8 * 2 for c in (4, 3, 2, 2))
        + (2 * 6 + 6 * 3 + 2 * 5 + 5 * 2 + 2 * 4 + 4 * 2)
        + (2 * 4 + dense(4, 10)),
    ),
    (
        Model.BILSTM,
        {"width": 3, "dense": 4},
        # Two directions of four gates; attention of 6 units; two dense layers.
        2 * 4 * 3 * (7 + 3 + 1) + dense(6, 6) + 6 + dense(6, 4) + dense(4, 10),
    ),
]


@pytest.mark.parametrize(("model", "options", "count"), COUNTS)
def test_parameters_are_as_many_as_by_hand(model, options, count):
    shape = (9,) if model is Model.BILSTM else (8, 8, 1)
    network = as_network(build(model, shape, **options))
    assert count_parameters(network, inputs_of(model, shape)) == count


def test_st_vgg_keeps_its_small_kernels_after_the_third_pair():
    deep = build(Model.ST_VGG, (32, 32, 1), depth=5, width=1)
    images = jnp.zeros((1, 32, 32, 1))
    kernels = jax.eval_shape(as_network(deep).init, jax.random.key(0), images).params
    sizes = [kernels[f"Conv_{i}"]["kernel"].shape for i in range(10)]
    assert [s[0] for s in sizes] == [3] * 6 + [2] * 4
    assert [s[3] for s in sizes] == [1, 1, 2, 2, 4, 4, 8, 8, 16, 16]


def test_depth_and_kernel_size_decide_about_the_smallest_image():
    with pytest.raises(ValueError, match="small_st_vgg needs images of at least 16x16, got 8x8"):
        build(SMALL, depth=4)
    with pytest.raises(ValueError, match="mnist_net needs images of at least 10x10, got 8x8"):
        build(Model.MNIST_NET, kernel_size=5)


IMAGE = ["activation", "initialiser", "linear"]
OPTIONS = {
    Model.ST_VGG: ["width", "depth", "kernel_size", "dense", *IMAGE],
    Model.SMALL_ST_VGG: ["width", "depth", "kernel_size", "dense", *IMAGE],
    Model.LINEAR_ST_VGG: ["width", "depth", "kernel_size", "dense", *IMAGE],
    Model.MNIST_NET: ["width", "kernel_size", "dense", *IMAGE],
    Model.FULLY_CONNECTED: ["width", "depth", "activation", "initialiser"],
    Model.VGG16: ["width", "depth", "kernel_size", "dense", *IMAGE, "form"],
    Model.VGG19: ["width", "depth", "kernel_size", "dense", *IMAGE, "form"],
    Model.ALEXNET: ["width", "dense", *IMAGE, "form"],
    Model.RESNET50: ["width", "depth", *IMAGE, "form"],
    Model.DENSENET121: ["depth", "growth", *IMAGE, "form"],
    Model.BILSTM: ["width", "dense", "activation", "initialiser"],
}
OTHER = {
    **dict.fromkeys(("width", "depth", "kernel_size", "dense", "growth"), 3),
    "activation": Activation.IDENTITY,  # which linear networks take, too
    "initialiser": Initialiser.HE_NORMAL,
    "linear": True,
    "form": ImageForm.IMAGENET,
}


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("model", Model)
def test_an_architecture_has_these_options_and_no_others(model, name):
    shape = (9,) if model is Model.BILSTM else (64, 64, 1)
    if name in OPTIONS[model]:
        build(model, shape, **{name: OTHER[name]})
    else:
        message = f"options of model {model.value} are {', '.join(OPTIONS[model])}, got {name}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            build(model, shape, **{name: OTHER[name]})


@pytest.mark.parametrize("name", ["width", "depth", "kernel_size", "dense", "growth"])
def test_numbers_are_positive(name):
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, got 0$"):
        ArchitectureOptions(**{name: 0})


def test_what_is_linear_has_no_activation():
    message = "^activation must be identity or not given with linear, got relu$"
    with pytest.raises(ValueError, match=message):
        ArchitectureOptions(linear=True, activation=Activation.RELU)
    with pytest.raises(ValueError, match=message):
        build(Model.LINEAR_ST_VGG, (16, 16, 1), activation=Activation.RELU)


def test_linear_st_vgg_is_a_name_for_an_option():
    named = programs(Model.LINEAR_ST_VGG, (16, 16, 1), width=2, dense=4)
    assert named == programs(Model.ST_VGG, (16, 16, 1), width=2, dense=4, linear=True)


@pytest.mark.parametrize("model", [m for m in Model if "linear" in OPTIONS[m]])
def test_no_maximum_is_left_in_what_is_linear(model):
    options = {"depth": 1} if "depth" in OPTIONS[model] else {}

    def primitives(**linear):
        _, evaluation = programs(model, (64, 64, 1), **options, **linear)
        return set(re.findall(r"= (\w+)", evaluation))

    nonlinear = {"max", "exp", "expm1", "logistic", "tanh", "select_n", "jit", "custom_jvp_call"}
    nonlinear.add("reduce_window_max")
    assert not primitives(linear=True) & nonlinear
    if model is not Model.LINEAR_ST_VGG:
        assert primitives() & nonlinear


ACTIVATION_VALUES = {
    Activation.ELU: [np.expm1(-2), 0, 1.5],
    Activation.RELU: [0, 0, 1.5],
    Activation.LEAKY_RELU: [-0.02, 0, 1.5],
    # The tanh form of x times the normal distribution's integral.
    Activation.GELU: [-0.0454, 0, 1.3996],
    Activation.TANH: [np.tanh(-2), 0, np.tanh(1.5)],
    Activation.SIGMOID: [1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-1.5))],
    Activation.IDENTITY: [-2, 0, 1.5],
}


@pytest.mark.parametrize("activation", Activation)
def test_activations(activation):
    values = ACTIVATIONS[activation](jnp.array([-2.0, 0.0, 1.5]))
    np.testing.assert_allclose(values, ACTIVATION_VALUES[activation], rtol=1e-5, atol=1e-3)


# A 3x3 kernel of 20 and 30 channels: 180 entries in, 270 out.
STDS = {
    Initialiser.GLOROT_UNIFORM: np.sqrt(2 / 450),
    Initialiser.GLOROT_NORMAL: np.sqrt(2 / 450),
    Initialiser.HE_UNIFORM: np.sqrt(2 / 180),
    Initialiser.HE_NORMAL: np.sqrt(2 / 180),
    Initialiser.LECUN_UNIFORM: np.sqrt(1 / 180),
    Initialiser.LECUN_NORMAL: np.sqrt(1 / 180),
    # Of a normal distribution cut off at two stds, 0.8796 of the std is left.
    Initialiser.TRUNCATED_NORMAL: 0.05 * 0.8796,
}


@pytest.mark.parametrize("initialiser", Initialiser)
def test_initialisers(initialiser):
    kernel = np.asarray(INITIALISERS[initialiser](jax.random.key(0), (3, 3, 20, 30)))
    std = STDS[initialiser]
    assert kernel.std() == pytest.approx(std, rel=0.03)
    assert abs(kernel.mean()) < 5 * std / np.sqrt(kernel.size)
    # Uniform distributions end at sqrt(3) stds, the normal ones at 2 / 0.8796.
    end = np.sqrt(3) if initialiser.value.endswith("uniform") else 2 / 0.8796
    assert np.abs(kernel).max() == pytest.approx(end * std, rel=0.01)


@pytest.mark.parametrize("model", Model)
def test_activation_and_initialiser_reach_every_network(model):
    shape = (9,) if model is Model.BILSTM else (32, 32, 1)
    small = {name: 1 for name in ("depth", "growth", "width") if name in OPTIONS[model]}
    init, evaluation = programs(model, shape, **small)
    assert programs(model, shape, **small, initialiser=Initialiser.TRUNCATED_NORMAL)[0] != init
    if model is not Model.LINEAR_ST_VGG:
        _, other = programs(model, shape, **small, activation=Activation.SIGMOID)
        assert other.count("logistic") > evaluation.count("logistic")

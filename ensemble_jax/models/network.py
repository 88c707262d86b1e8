"""A network as three pure functions of one member: all that training and evaluation know of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Num, PRNGKeyArray

from ensemble_jax import ops
from ensemble_jax.models.fully_connected import FullyConnected
from ensemble_jax.models.layers import TrainingPass
from ensemble_jax.models.mnist_net import MnistNet
from ensemble_jax.models.vgg import linear_st_vgg, small_st_vgg, st_vgg
from ensemble_jax.options import ConvolutionAlgorithm, Model


class Variables(NamedTuple):
    """What a network consists of: `params` are trained, `batch_stats` are averages it keeps."""

    params: Any
    batch_stats: Any


@runtime_checkable
class InitFunction(Protocol):
    """Draws a network's variables from a key."""

    def __call__(self, key: PRNGKeyArray) -> Variables:
        """The variables of one member."""
        ...


@runtime_checkable
class EvaluateFunction(Protocol):
    """The network as it is evaluated: no dropout, kept averages."""

    def __call__(self, variables: Variables, inputs: Num[Array, "B ..."]) -> Float[Array, "B K"]:
        """Logits."""
        ...


@runtime_checkable
class TrainFunction(Protocol):
    """The network as it is trained: with dropout, averages taken from the batch."""

    def __call__(
        self,
        variables: Variables,
        inputs: Num[Array, "B ..."],
        dropout_key: PRNGKeyArray,
        training: TrainingPass,
    ) -> tuple[Float[Array, "B K"], Any]:
        """Logits and the new `batch_stats`."""
        ...


class Network(NamedTuple):
    """A network of one member. Its inputs are raw (uint8 or float32); it normalises them itself."""

    init: InitFunction
    evaluate: EvaluateFunction
    train: TrainFunction


_MODULES: dict[Model, Callable[[int, ops.Convolution], nn.Module]] = {
    Model.ST_VGG: st_vgg,
    Model.SMALL_ST_VGG: small_st_vgg,
    Model.LINEAR_ST_VGG: linear_st_vgg,
    Model.MNIST_NET: MnistNet,
    Model.FULLY_CONNECTED: lambda num_classes, convolution: FullyConnected(num_classes),
}


def make_network(
    model: Model,
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    mean: Float[np.ndarray, ...],
    deviation: Float[np.ndarray, ...],
    convolution: ConvolutionAlgorithm = ConvolutionAlgorithm.WINOGRAD,
    sizes: Mapping[str, int] = MappingProxyType({}),
) -> Network:
    """Build an architecture for inputs of one shape.

    Args:
        model: which architecture.
        num_classes: K, the number of logits.
        input_shape: of one example, without the batch.
        mean: subtracted from every input; broadcasts against `input_shape`.
        deviation: what the inputs are divided by after that.
        convolution: how the convolutions are computed.
        sizes: other than the paper's: `width` and `depth` of FULLY_CONNECTED, `dense` of the
            stripped VGG networks.

    Raises:
        ValueError: if the architecture cannot take inputs of this shape, or has no such size.
    """
    module = _resize(model, _MODULES[model](num_classes, ops.CONVOLUTIONS[convolution]), sizes)
    _check_input_shape(model, module, input_shape)

    def normalise(inputs):
        return (inputs.astype(jnp.float32) - mean) / deviation

    def init(key):
        variables = module.init(key, jnp.zeros((1, *input_shape)), training=None)
        return Variables(variables["params"], variables.get("batch_stats", {}))

    def evaluate(variables, inputs):
        logits = module.apply(variables._asdict(), normalise(inputs), training=None)
        # The type of `apply` allows for updates, which it returns only where they are mutable.
        return cast(jax.Array, logits)

    def train(variables, inputs, dropout_key, training):
        logits, updates = module.apply(
            variables._asdict(),
            normalise(inputs),
            training=training,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        return logits, updates.get("batch_stats", {})

    return Network(init, evaluate, train)


def count_parameters(network: Network) -> int:
    """The number of trained scalars of one member."""
    variables = jax.eval_shape(network.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(variables.params))


def _resize(model, module, sizes):
    """The module with other sizes, if it has such."""
    names = [field.name for field in dataclasses.fields(module) if field.type in (int, "int")]
    allowed = [name for name in names if name != "num_classes"]
    for name, size in sizes.items():
        if name not in allowed:
            raise ValueError(
                f"sizes of model {model.value} are {', '.join(allowed) or 'fixed'}, got {name!r}"
            )
        if size < 1:
            raise ValueError(f"{name} of model {model.value} must be at least 1, got {size}")
    return module.clone(**sizes)


def _check_input_shape(model, module, input_shape):
    smallest = module.smallest_image
    if smallest is None:
        return
    if len(input_shape) != 3:
        raise ValueError(
            f"model {model.value} needs images of height x width x channels, got examples of shape "
            f"{input_shape}"
        )
    if min(input_shape[:2]) < smallest:
        raise ValueError(
            f"model {model.value} needs images of at least {smallest}x{smallest}, "
            f"got {input_shape[0]}x{input_shape[1]}"
        )

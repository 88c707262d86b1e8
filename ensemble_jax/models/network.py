"""A network as three pure functions of one member: all that training and evaluation know of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, PRNGKeyArray

from ensemble_jax import ops
from ensemble_jax.models.alexnet import AlexNet
from ensemble_jax.models.architecture import Architecture, ImageNetwork
from ensemble_jax.models.bilstm import BiLSTM, Sequences
from ensemble_jax.models.densenet import DenseNet
from ensemble_jax.models.fully_connected import FullyConnected
from ensemble_jax.models.layers import TrainingPass
from ensemble_jax.models.mnist_net import MnistNet
from ensemble_jax.models.resnet import ResNet
from ensemble_jax.models.stripped_vgg import StrippedVGG
from ensemble_jax.models.vgg import VGG
from ensemble_jax.options import ArchitectureOptions, ConvolutionAlgorithm, Model, Precision


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


_AS_PUBLISHED = ArchitectureOptions()


class _Published(NamedTuple):
    """A class of networks, and the fields in which the named one differs from its defaults."""

    architecture: type[Architecture]
    fields: Mapping[str, Any] = MappingProxyType({})


_PUBLISHED: dict[Model, _Published] = {
    Model.ST_VGG: _Published(StrippedVGG),
    Model.SMALL_ST_VGG: _Published(StrippedVGG, {"depth": 2, "dense": 128}),
    Model.LINEAR_ST_VGG: _Published(StrippedVGG, {"linear": True}),
    Model.MNIST_NET: _Published(MnistNet),
    Model.FULLY_CONNECTED: _Published(FullyConnected),
    Model.VGG16: _Published(VGG, {"convolutions": (2, 2, 3, 3, 3)}),
    Model.VGG19: _Published(VGG, {"convolutions": (2, 2, 4, 4, 4)}),
    Model.ALEXNET: _Published(AlexNet),
    Model.RESNET50: _Published(ResNet),
    Model.DENSENET121: _Published(DenseNet),
    Model.BILSTM: _Published(BiLSTM),
}


def make_network(
    model: Model,
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    mean: Float[np.ndarray, ...] | float = 0.0,
    deviation: Float[np.ndarray, ...] | float = 1.0,
    word_vectors: Float[np.ndarray, "V D"] | None = None,
    convolution: ConvolutionAlgorithm | ops.Convolution = ConvolutionAlgorithm.WINOGRAD,
    precision: Precision = Precision.FLOAT32,
    options: ArchitectureOptions = _AS_PUBLISHED,
) -> Network:
    """Build an architecture for inputs of one shape.

    Args:
        model: which architecture.
        num_classes: K, the number of logits.
        input_shape: of one example, without the batch.
        mean: subtracted from every input, but for text; broadcasts against `input_shape`.
        deviation: what the inputs are divided by after that.
        word_vectors: for text, the vector of each word by its number. They are not trained, and
            become a constant of the compiled programs, of which all members share one: 20,000 words
            of 300 numbers (24 MB) add half a second to each compilation, 400,000 add 12 s and three
            times their memory. So give those of the data set's own words alone.
        convolution: how the convolutions are computed: by one algorithm, or a function.
        precision: what the layers compute in. Parameters and their gradients, the averages of
            batches and the logits are float32 either way.
        options: what is other than published.

    Raises:
        ValueError: if the architecture cannot take such inputs, or has not such an option.
    """
    if isinstance(convolution, ConvolutionAlgorithm):
        convolution = ops.CONVOLUTIONS[convolution]
    architecture = _make_architecture(model, num_classes, convolution, options)
    architecture.check_input_shape(model.value, input_shape)
    reads_text = isinstance(architecture, BiLSTM)
    if reads_text != (word_vectors is not None):
        raise ValueError(
            f"model {model.value} reads {'text' if reads_text else 'no text'}, so that "
            f"word_vectors must {'' if reads_text else 'not '}be given"
        )
    return network_of(
        architecture,
        input_shape,
        mean=mean,
        deviation=deviation,
        word_vectors=word_vectors,
        precision=precision,
    )


def network_of(
    architecture: Architecture,
    input_shape: tuple[int, ...],
    *,
    mean: Float[np.ndarray, ...] | float = 0.0,
    deviation: Float[np.ndarray, ...] | float = 1.0,
    word_vectors: Float[np.ndarray, "V D"] | None = None,
    precision: Precision = Precision.FLOAT32,
) -> Network:
    """The functions of an architecture, which may be one of your own; see `make_network`."""
    dtype = jnp.dtype(precision.value)

    def prepare(inputs):
        if word_vectors is not None:
            return Sequences(jnp.asarray(word_vectors, dtype)[inputs], inputs != 0)
        return ((inputs.astype(jnp.float32) - mean) / deviation).astype(dtype)

    def in_precision(variables):
        """What the module takes, its parameters rounded; gradients are rounded back."""
        return {
            "params": jax.tree.map(lambda param: param.astype(dtype), variables.params),
            "batch_stats": variables.batch_stats,
        }

    def init(key):
        variables = architecture.init(key, prepare(jnp.zeros((1, *input_shape), int)), None)
        return Variables(variables["params"], variables.get("batch_stats", {}))

    def evaluate(variables, inputs):
        logits = architecture.apply(in_precision(variables), prepare(inputs), None)
        # The type of `apply` allows for updates, which it returns only where they are mutable.
        return cast(jax.Array, logits).astype(jnp.float32)

    def train(variables, inputs, dropout_key, training):
        logits, updates = architecture.apply(
            in_precision(variables),
            prepare(inputs),
            training,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        return logits.astype(jnp.float32), updates.get("batch_stats", {})

    return Network(init, evaluate, train)


def count_parameters(network: Network) -> int:
    """The number of trained scalars of one member."""
    variables = jax.eval_shape(network.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(variables.params))


def _make_architecture(model, num_classes, convolution, options):
    """The published architecture with what is given, if it has such options."""
    architecture, published = _PUBLISHED[model]
    fields = [field.name for field in dataclasses.fields(architecture)]
    allowed = [f.name for f in dataclasses.fields(ArchitectureOptions) if f.name in fields]
    for name in options.given:
        if name not in allowed:
            raise ValueError(f"options of model {model.value} are {', '.join(allowed)}, got {name}")
    chosen = {"num_classes": num_classes, **published, **options.given}
    if not issubclass(architecture, ImageNetwork):
        return architecture(**chosen)
    # Where linear comes with the name, an activation is refused as where it is given.
    dataclasses.replace(options, linear=chosen.get("linear", False))
    return architecture(convolution=convolution, **chosen)

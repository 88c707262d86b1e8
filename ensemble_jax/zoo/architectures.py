"""The paper's architectures by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ensemble_jax.options import ArchitectureOptions, Model
from ensemble_jax.zoo.alexnet import AlexNet
from ensemble_jax.zoo.architecture import Architecture, ImageNetwork
from ensemble_jax.zoo.bilstm import BiLSTM
from ensemble_jax.zoo.densenet import DenseNet
from ensemble_jax.zoo.fully_connected import FullyConnected
from ensemble_jax.zoo.mnist_net import MnistNet
from ensemble_jax.zoo.resnet import ResNet
from ensemble_jax.zoo.stripped_vgg import StrippedVGG
from ensemble_jax.zoo.vgg import VGG

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


def make_architecture(
    model: Model,
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    options: ArchitectureOptions = _AS_PUBLISHED,
) -> Architecture:
    """The module of an architecture, a `flax.linen.Module` like any other.

    Args:
        model: which architecture.
        num_classes: K, the number of logits.
        input_shape: of one example, without the batch.
        options: what is other than published.

    Raises:
        ValueError: if the architecture cannot take such inputs, or has not such an option.
    """
    architecture, published = _PUBLISHED[model]
    fields = [field.name for field in dataclasses.fields(architecture)]
    allowed = [f.name for f in dataclasses.fields(ArchitectureOptions) if f.name in fields]
    for name in options.given:
        if name not in allowed:
            raise ValueError(f"options of model {model.value} are {', '.join(allowed)}, got {name}")
    chosen = {"num_classes": num_classes, **published, **options.given}
    if issubclass(architecture, ImageNetwork):
        # Where linear comes with the name, an activation is refused as where it is given.
        dataclasses.replace(options, linear=chosen.get("linear", False))
    module = architecture(**chosen)
    module.check_input_shape(model.value, input_shape)
    return module


def check_word_vectors(model: Model, word_vectors: object | None) -> None:
    """Raise a ValueError if a model of texts gets no word vectors, or one of images gets some."""
    reads_text = issubclass(_PUBLISHED[model].architecture, BiLSTM)
    if reads_text != (word_vectors is not None):
        raise ValueError(
            f"model {model.value} reads {'text' if reads_text else 'no text'}, so that "
            f"word_vectors must {'' if reads_text else 'not '}be given"
        )

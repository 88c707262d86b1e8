"""Networks of the zoo as anybody writes them, in plain flax.linen and in plain flax.nnx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn
from flax import nnx

from benchmarks.workloads import Workload
from ensemble_jax.options import Model

_GLOROT = nn.initializers.glorot_uniform()


class LinenStVGG(nn.Module):
    """Pairs of convolutions, each pooled and followed by dropout; then two dense layers."""

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""
        for features, size in ((32, 3), (64, 3), (128, 3), (256, 2)):
            x = nn.elu(nn.Conv(features, (size, size), kernel_init=_GLOROT)(x))
            x = nn.elu(nn.Conv(features, (size, size), kernel_init=_GLOROT)(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
            x = nn.Dropout(0.25, deterministic=not train)(x)
        x = x.reshape((len(x), -1))
        x = nn.elu(nn.Dense(512, kernel_init=_GLOROT)(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(self.num_classes, kernel_init=_GLOROT)(x)


class NnxStVGG(nnx.Module):
    """The same network for images of 32x32 pixels and 3 channels."""

    def __init__(self, num_classes: int, rngs: nnx.Rngs) -> None:
        convolutions = []
        channels = 3
        for features, size in ((32, 3), (64, 3), (128, 3), (256, 2)):
            for before in (channels, features):
                layer = nnx.Conv(before, features, (size, size), kernel_init=_GLOROT, rngs=rngs)
                convolutions.append(layer)
            channels = features
        self.convolutions = nnx.List(convolutions)
        self.hidden = nnx.Linear(2 * 2 * 256, 512, kernel_init=_GLOROT, rngs=rngs)
        self.output = nnx.Linear(512, num_classes, kernel_init=_GLOROT, rngs=rngs)
        self.dropout = nnx.Dropout(0.25, rngs=rngs)
        self.dense_dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits `[B, K]` of images `[B, 32, 32, 3]`."""
        for first, second in zip(self.convolutions[::2], self.convolutions[1::2], strict=True):
            x = nnx.elu(second(nnx.elu(first(x))))
            x = self.dropout(nnx.max_pool(x, (2, 2), (2, 2)))
        x = nnx.elu(self.hidden(x.reshape((len(x), -1))))
        return self.output(self.dense_dropout(x))


class LinenResNet(nn.Module):
    """A bottleneck block in each of four stages; the mean over the pixels; a dense layer."""

    num_classes: int
    width: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Logits `[B, K]` of images `[B, H, W, C]`."""

        def convolve(x, features, size, strides=1):
            x = nn.Conv(
                features,
                (size, size),
                strides,
                padding=size // 2,
                use_bias=False,
                kernel_init=_GLOROT,
            )(x)
            return nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)

        x = nn.relu(convolve(x, self.width, 3))
        for stage in range(4):
            features, strides = self.width * 2**stage, 2 if stage else 1
            inner = nn.relu(convolve(x, features, 1))
            inner = nn.relu(convolve(inner, features, 3, strides))
            x = nn.relu(convolve(inner, 4 * features, 1) + convolve(x, 4 * features, 1, strides))
        return nn.Dense(self.num_classes, kernel_init=_GLOROT)(x.mean((1, 2)))


def plain_network(workload: Workload, library: str) -> nn.Module | Callable[..., Any]:
    """A workload's network in plain layers of `linen` or `nnx`, as `as_network` takes it."""
    classes = workload.num_classes
    if library == "nnx":
        return lambda rngs: NnxStVGG(classes, rngs)
    if workload.model is Model.RESNET50:
        return LinenResNet(classes, workload.options.width or 64)
    return LinenStVGG(classes)

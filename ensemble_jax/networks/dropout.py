"""A factor for dropout rates, which may be traced and may differ from member to member."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax
import jax.numpy as jnp
from flax import linen, nnx
from jaxtyping import Array, Float

from ensemble_jax import ops

_scale: ContextVar[Float[Array, ""] | float | None] = ContextVar("dropout_scale", default=None)


@contextmanager
def scaled_dropout(scale: Float[Array, ""] | float | None) -> Iterator[None]:
    """Multiply the rates of all `Dropout` layers, linen's and nnx's, in networks traced inside.

    A layer whose class has a `__call__` of its own is left alone. Evaluation stays as it is.

    Args:
        scale: at least 0 and such that all rates stay below 1; it may be traced. None leaves layers
            as they are.
    """
    if scale is None:
        yield
        return
    token = _scale.set(scale)
    try:
        with linen.intercept_methods(_intercept):
            yield
    finally:
        _scale.reset(token)


def scale_dropout(module: nnx.Module) -> None:
    """Let the dropout layers of an nnx module obey the scale, if there is one."""
    if _scale.get() is None:
        return
    for _, layer in nnx.iter_modules(module):
        if type(layer) is nnx.Dropout:
            layer.__class__ = _ScaledDropout


def _intercept(call, args, kwargs, context):
    layer = context.module
    if context.method_name != "__call__" or type(layer).__call__ is not linen.Dropout.__call__:
        return call(*args, **kwargs)
    return _linen_dropout(layer, *args, **kwargs)


def _linen_dropout(layer, inputs, deterministic=None, rng=None):
    if linen.merge_param("deterministic", layer.deterministic, deterministic) or layer.rate == 0:
        return inputs
    key = layer.make_rng(layer.rng_collection) if rng is None else rng
    return _scaled(inputs, layer.rate, key, layer.broadcast_dims)


class _ScaledDropout(nnx.Dropout):
    """What a layer becomes in a network that is traced with a scale."""

    def __call__(self, inputs, *, deterministic=None, rngs=None):
        if deterministic is None:
            deterministic = self.deterministic
        if deterministic or self.rate == 0:
            return inputs
        source = self.rngs if rngs is None else rngs
        if isinstance(source, nnx.Rngs):
            source = source[self.rng_collection]
        if source is None:
            raise ValueError("nnx.Dropout needs rngs, given to its constructor or to its call")
        key = source if isinstance(source, jax.Array) else source()
        return _scaled(inputs, self.rate, key, self.broadcast_dims)


def _scaled(inputs, rate, key, broadcast_dims):
    rate = rate * _scale.get()
    if not broadcast_dims:
        return ops.dropout(inputs, rate, key)
    shape = list(inputs.shape)
    for dim in broadcast_dims:
        shape[dim] = 1
    return inputs * ops.dropout(jnp.ones(shape, inputs.dtype), rate, key)

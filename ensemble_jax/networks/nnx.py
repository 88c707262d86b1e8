"""Networks from modules of flax.nnx."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util

from ensemble_jax.networks.calls import call_style
from ensemble_jax.networks.dropout import scale_dropout
from ensemble_jax.networks.network import Network, Variables, keep_form

_STATE = nnx.All(nnx.Variable, nnx.Not(nnx.Any(nnx.Param, nnx.RngState, nnx.Intermediate)))


def nnx_network(factory: Callable[..., nnx.Module]) -> Network:
    """The network of a class of modules, or of a function that makes one.

    Variables of the type `nnx.Param` are trained; all others are state, except for those of random
    streams and for `nnx.Intermediate`. Both are nested dictionaries by the names of attributes and
    the places in lists. The module is built anew whenever a function of the network is traced. The
    values that it then draws for its variables are replaced and cost nothing. Arrays that are no
    variables are the same for all members.

    `module.train()` or `module.eval()` comes before each call. `__call__` takes the inputs and, if
    it likes, `train`, `training`, `is_training` or `deterministic`. In training every stream of the
    module begins with a key of its own, derived from that of the step.

    Args:
        factory: `rngs -> module`, such as `Net`, if its constructor needs nothing else, or
            `lambda rngs: Net(10, rngs=rngs)`.

    Raises:
        ValueError: if the factory needs other arguments, does not return a module, or the module
            cannot be called so; when it is traced, if it draws random numbers in evaluation or
            changes the form of its state in training.
    """
    build = _builder(factory)

    def init(key, inputs):
        del inputs  # nnx infers no shapes
        module = build(key)
        return Variables(_read(module, nnx.Param), _read(module, _STATE))

    def apply(variables, inputs, *, key, train):
        module = build(jax.random.key(0))
        _write(module, nnx.Param, variables.params)
        _write(module, _STATE, variables.state)
        style = call_style(module)
        if train:
            _start_streams(module, key)
            scale_dropout(module)
            module.train()
            outputs = style.call(module, inputs, train=True)
            state = _read(module, _STATE)
            return outputs, keep_form(state, variables.state, type(module).__name__)
        module.eval()
        before = _counts(module)
        outputs = style.call(module, inputs, train=False)
        if any(new is not old for new, old in zip(_counts(module), before, strict=True)):
            raise ValueError(
                f"module {type(module).__name__} draws random numbers in evaluation; its __call__ "
                f"needs an argument train or deterministic, or its layers an attribute "
                f"deterministic, that switches them off"
            )
        return outputs, variables.state

    def check():
        call_style(build(jax.random.key(0)))

    jax.eval_shape(check)  # so that mistakes are found at once; nothing is computed
    return Network(init, apply)


def _builder(factory) -> Callable[[jax.Array], nnx.Module]:
    """`key -> module`, given a factory that takes `rngs` by name or as its only argument."""
    name = getattr(factory, "__name__", type(factory).__name__)
    # The signature of a class of modules is that of Flax's metaclass.
    function = partial(factory.__init__, None) if isinstance(factory, type) else factory
    if isinstance(factory, partial) and isinstance(factory.func, type):
        function = partial(factory.func.__init__, None, *factory.args, **factory.keywords)
    parameters = inspect.signature(function).parameters
    first = next(iter(parameters), None)
    taken = "rngs" if "rngs" in parameters else first
    for other, parameter in parameters.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if other != taken and parameter.default is parameter.empty and not variadic:
            raise ValueError(
                f"network {name} requires the argument {other}; give a function of rngs alone, "
                f"such as lambda rngs: {name}(..., rngs=rngs)"
            )
    if taken is None:
        raise ValueError(f"network {name} must take rngs, from which its variables are drawn")

    def build(key):
        rngs = nnx.Rngs(key)
        module = factory(rngs=rngs) if taken == "rngs" else factory(rngs)
        if not isinstance(module, nnx.Module):
            raise ValueError(
                f"network {name} must return a flax.nnx Module, got {type(module).__name__}"
            )
        return module

    return build


def _flat(module, kinds) -> list[tuple[tuple, Any]]:
    return list(nnx.to_flat_state(nnx.state(module, kinds)))


def _read(module, kinds) -> dict:
    """The variables of some kinds; names are strings, so that lists can be stored as well."""
    named = {tuple(map(str, path)): leaf.get_value() for path, leaf in _flat(module, kinds)}
    return traverse_util.unflatten_dict(named)


def _write(module, kinds, values) -> None:
    """Let the module's variables of some kinds have these values."""
    named = traverse_util.flatten_dict(values)
    _update(module, [(p, leaf, named[tuple(map(str, p))]) for p, leaf in _flat(module, kinds)])


def _update(module, leaves) -> None:
    nnx.update(module, nnx.from_flat_state([(p, leaf.replace(value)) for p, leaf, value in leaves]))


def _start_streams(module, key) -> None:
    """Let stream i begin with the i-th key, whatever has been drawn while the module was built."""
    _update(
        module,
        [
            (p, leaf, jax.random.split(jax.random.fold_in(key, i), leaf.get_value().shape))
            for i, (p, leaf) in enumerate(_flat(module, nnx.RngKey))
        ],
    )
    counts = _flat(module, nnx.RngCount)
    _update(module, [(p, leaf, jnp.zeros_like(leaf.get_value())) for p, leaf in counts])


def _counts(module) -> list[jax.Array]:
    """How much each stream has given: other arrays as soon as it gives more."""
    return [leaf.get_value() for _, leaf in _flat(module, nnx.RngCount)]

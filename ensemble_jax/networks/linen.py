"""Networks from modules of flax.linen."""

from __future__ import annotations

from typing import Any

import jax
from flax import errors
from flax import linen as nn

from ensemble_jax.networks.calls import call_style
from ensemble_jax.networks.network import Network, Variables, keep_form


def linen_network(module: nn.Module) -> Network:
    """The network of a module.

    `__call__` takes the inputs and, if it likes, `train`, `training`, `is_training` or
    `deterministic`. The collection `params` is trained; all others are state, except for
    `intermediates`, which are dropped. Losses that layers sow are not supported.

    The stream of randomness `dropout` begins with the key of the step; streams of any other name
    share another key, which is derived from it.

    Args:
        module: an instance; it is not changed, and holds no variables.

    Raises:
        ValueError: if the module cannot be called so; when it is traced, if it draws random numbers
            or changes its state in evaluation, or changes the form of its state in training.
    """
    style = call_style(module)
    name = type(module).__name__

    def init(key, inputs):
        variables = dict(nn.meta.unbox(style.call(module.init, key, inputs, train=False)))
        return Variables(variables.pop("params", {}), variables)

    def apply(variables, inputs, *, key, train):
        collections = {"params": variables.params, **variables.state}
        if not train:
            return _evaluate(collections, inputs), variables.state
        outputs, state = style.call(
            module.apply,
            collections,
            inputs,
            train=True,
            # Flax takes `params` for streams that are not given.
            rngs={"dropout": key, "params": jax.random.fold_in(key, 1)},
            mutable=list(variables.state),
        )
        return outputs, keep_form(dict(state), variables.state, name)

    def _evaluate(collections, inputs) -> Any:
        try:
            return style.call(module.apply, collections, inputs, train=False)
        except errors.InvalidRngError as error:
            raise ValueError(
                f"module {name} draws random numbers in evaluation; its __call__ needs an argument "
                f"train or deterministic that switches them off"
            ) from error
        except errors.ModifyScopeVariableError as error:
            raise ValueError(
                f"module {name} changes its state in evaluation; its __call__ needs an argument "
                f"train or deterministic that switches this off"
            ) from error

    return Network(init, apply)

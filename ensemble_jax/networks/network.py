"""A network as two pure functions of one member: all that training and evaluation know of it."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float, PRNGKeyArray


class Variables(NamedTuple):
    """What a network consists of.

    Attributes:
        params: what is trained; nested dictionaries of arrays, or any other pytree, whose leaves a
            checkpoint then knows by their paths.
        state: what the network itself changes in training, such as the averages of batch
            normalisation; a tree of the same kind, `{}` for none.
    """

    params: Any
    state: Any


@runtime_checkable
class InitFunction(Protocol):
    """Draws a network's variables from a key."""

    def __call__(self, key: PRNGKeyArray, inputs: Any) -> Variables:
        """The variables of one member; of the inputs `[B, ...]` only shapes and types matter."""
        ...


@runtime_checkable
class ApplyFunction(Protocol):
    """Computes a network's outputs."""

    def __call__(
        self, variables: Variables, inputs: Any, *, key: PRNGKeyArray | None, train: bool
    ) -> tuple[Float[Array, "B K"], Any]:
        """Outputs, and the new state, which has the form of the old one.

        Args:
            variables: of one member.
            inputs: `[B, ...]`.
            key: of everything that is drawn in this step; None in evaluation.
            train: True for dropout and the statistics of this batch; False as in evaluation, which
                changes no state.
        """
        ...


class Network(NamedTuple):
    """A network of one member."""

    init: InitFunction
    apply: ApplyFunction


def count_parameters(network: Network, inputs: Any) -> int:
    """The number of trained scalars of one member.

    Args:
        network: the network.
        inputs: arrays or `jax.ShapeDtypeStruct`s `[B, ...]`; nothing is computed.
    """
    variables = jax.eval_shape(network.init, jax.random.key(0), inputs)
    return sum(leaf.size for leaf in jax.tree.leaves(variables.params))


def keep_form(new: Any, old: Any, module: str) -> Any:
    """The new state in the types of the old one.

    Raises:
        ValueError: naming the module, if structure or shapes have changed. A loop over steps could
            not go on with such a state.
    """
    if jax.tree.map(lambda leaf: leaf.shape, new) != jax.tree.map(lambda leaf: leaf.shape, old):
        raise ValueError(
            f"module {module} changes the structure or the shapes of its state in training, which "
            f"must stay the same (sown values are not supported, except for intermediates)"
        )
    return jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), new, old)


def variable_shapes(network: Network, inputs: Any) -> Variables:
    """Shapes and types of a network's variables for such inputs; nothing is computed."""
    return jax.eval_shape(network.init, jax.eval_shape(lambda: jax.random.key(0)), inputs)

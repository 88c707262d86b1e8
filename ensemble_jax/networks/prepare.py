"""What happens to raw inputs before a network sees them, and the precision it computes in."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ensemble_jax.networks.network import Network, Variables
from ensemble_jax.numerics import products_in
from ensemble_jax.options import Precision


class Sequences(NamedTuple):
    """Texts as the vectors of their words; what is not `present` is padding."""

    vectors: Float[Array, "B L D"]
    present: Bool[Array, "B L"]


def prepared(
    network: Network,
    *,
    mean: Float[np.ndarray, ...] | float | None = 0.0,
    std: Float[np.ndarray, ...] | float = 1.0,
    word_vectors: Float[np.ndarray, "V D"] | None = None,
    precision: Precision = Precision.FLOAT32,
    platform: str | None = None,
) -> Network:
    """The same network for raw inputs: uint8, float32, or int32 for the numbers of words.

    Args:
        network: it is given `(inputs - mean) / std` `[B, ...]`, or `Sequences`.
        mean: subtracted from every input, but for text; broadcasts against the inputs. None leaves
            integers as they are, for networks that take such.
        std: what the inputs are divided by after that.
        word_vectors: for text, the vector of each word by its number; word 0 is padding. They are
            not trained, and become a constant of the compiled programs, of which all members share
            one: 20,000 words of 300 numbers (24 MB) add half a second to each compilation, 400,000
            add 12 s and three times their memory. So give those of the data set's own words alone.
        precision: how products are rounded; see `Precision`. Parameters and their gradients, the
            state and the outputs are float32 in any case.
        platform: the kind of device, such as 'tpu'; by default that of JAX's default device.

    Raises:
        ValueError: when it is traced, if the network's outputs are not of the shape `[B, K]`.
    """
    # A TPU's compiler rounds what it multiplies, and has no other operations in bfloat16.
    rounds_products = (platform or jax.default_backend()) == "tpu"
    halved = precision is Precision.BFLOAT16 and not rounds_products
    dtype = jnp.dtype(jnp.bfloat16 if halved else jnp.float32)

    def prepare(inputs):
        if word_vectors is not None:
            return Sequences(jnp.asarray(word_vectors, dtype)[inputs], inputs != 0)
        if mean is None:
            return inputs.astype(dtype) if jnp.issubdtype(inputs.dtype, jnp.floating) else inputs
        center, scale = (jnp.broadcast_to(of, inputs.shape) for of in (mean, std))
        return ((inputs.astype(jnp.float32) - center) / scale).astype(dtype)

    def in_precision(params):
        """The parameters rounded; gradients are rounded back."""
        return jax.tree.map(
            lambda leaf: leaf.astype(dtype) if leaf.dtype == jnp.float32 else leaf, params
        )

    def init(key, inputs):
        return network.init(key, prepare(inputs))

    def apply(variables, inputs, *, key, train):
        rounded = Variables(in_precision(variables.params), variables.state)
        outputs, state = network.apply(rounded, prepare(inputs), key=key, train=train)
        shape = getattr(outputs, "shape", None)
        if shape is None or len(shape) != 2 or shape[0] != len(inputs):
            raise ValueError(
                f"the network must return an array of shape [B, K] for {len(inputs)} examples, got "
                f"{type(outputs).__name__ if shape is None else shape}"
            )
        return outputs.astype(jnp.float32), state

    return Network(init, apply)


def rounding_products(network: Network, precision: Precision) -> Network:
    """The same network with its products computed in this precision, forward.

    Gradients are traced later, by whoever asks for them.
    """
    return Network(products_in(precision)(network.init), products_in(precision)(network.apply))

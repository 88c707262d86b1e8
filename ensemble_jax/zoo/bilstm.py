"""The paper's network for text: a bidirectional LSTM with attention (Appendix B)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Bool, Float

from ensemble_jax.networks import Sequences
from ensemble_jax.zoo.architecture import Architecture
from ensemble_jax.zoo.orthogonal import random_orthogonal

_GATES = 4


class BiLSTM(Architecture):
    """A recurrence in both directions, the attended mean of its outputs, two dense layers.

    Attributes:
        width: units of each direction, so that a word's output has twice as many.
        dense: units of the hidden dense layer, whose activation the paper does not give.
    """

    width: int = 300
    dense: int = 256

    input_dropout = 0.25
    recurrent_dropout = 0.25
    dense_dropout = 0.25

    def check_input_shape(self, name: str, input_shape: tuple[int, ...]) -> None:
        """Texts must be rows of at least one word."""
        if len(input_shape) != 1 or input_shape[0] < 1:
            raise ValueError(
                f"model {name} needs texts as rows of the numbers of their words, got examples of "
                f"shape {input_shape}"
            )

    @nn.compact
    def __call__(self, inputs: Sequences, train: bool) -> jax.Array:
        """Logits `[B, K]` of B texts."""
        if not isinstance(inputs, Sequences):
            raise ValueError(
                f"model bilstm needs Sequences of word vectors, got {type(inputs).__name__}"
            )
        batch, _, size = inputs.vectors.shape
        # One mask for all words of a text (Gal and Ghahramani, 2016), another for each direction.
        masks = (
            nn.Dropout(rate, deterministic=not train)(jnp.ones((batch, 2, units)))
            for rate, units in ((self.input_dropout, size), (self.recurrent_dropout, self.width))
        )
        x = BidirectionalLSTM(self.width, self.kernel_init)(inputs, *masks)
        x = Attention(self.kernel_init)(x, inputs.present)
        x = self.activate(nn.Dense(self.dense, kernel_init=self.kernel_init)(x))
        x = nn.Dropout(self.dense_dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, kernel_init=self.kernel_init)(x)


class _State(NamedTuple):
    """Of both directions, `[2, B, H]` each."""

    output: jax.Array
    cell: jax.Array


class BidirectionalLSTM(nn.Module):
    """An LSTM (Hochreiter and Schmidhuber, 1997) from each end; padding leaves their states alone.

    The kernel `[2, D + H, 4 H]` maps a word and the output before it to input gate, forget gate,
    new content and output gate. Each gate's part is drawn by itself: for words as the initialiser
    has it, for outputs as a random orthogonal matrix (Saxe et al., 2014). Biases begin at 0, those
    of forget gates at 1 (Jozefowicz et al., 2015).

    Attributes:
        units: H, of each direction.
        kernel_init: of the kernels for words.
    """

    units: int
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(
        self,
        inputs: Sequences,
        input_mask: Float[Array, "B 2 D"],
        output_mask: Float[Array, "B 2 H"],
    ) -> Float[Array, "B L 2*H"]:
        """The outputs of both directions at every word.

        Args:
            inputs: the texts.
            input_mask: what every word of a text is multiplied by, for each direction.
            output_mask: what every output is multiplied by on its way to the next word.
        """
        batch, _, size = inputs.vectors.shape
        kernel = self.param("kernel", self._draw_kernel, size)
        bias = self.param("bias", self._draw_bias)
        words = _both_ways(inputs.vectors) * input_mask.swapaxes(0, 1)[:, :, None]
        # Of all words at once, so that the loop is left with the product that needs it.
        from_words = jnp.einsum("eblx,exg->lebg", words, kernel[:, :size])
        from_words = from_words + bias[None, :, None]
        present = jnp.moveaxis(_both_ways(inputs.present), 2, 0)[..., None]
        from_output, mask = kernel[:, size:], output_mask.swapaxes(0, 1)

        def step(state, word):
            from_word, present = word
            gates = from_word + jnp.einsum("ebh,ehg->ebg", state.output * mask, from_output)
            add, keep, content, show = jnp.split(gates, _GATES, axis=-1)
            cell = nn.sigmoid(keep) * state.cell + nn.sigmoid(add) * jnp.tanh(content)
            new = _State(nn.sigmoid(show) * jnp.tanh(cell), cell)
            state = jax.tree.map(lambda new, old: jnp.where(present, new, old), new, state)
            return state, state.output

        zeros = jnp.zeros((2, batch, self.units))
        _, outputs = lax.scan(step, _State(zeros, zeros), (from_words, present))
        forward, backward = outputs[:, 0], outputs[::-1, 1]
        return jnp.concatenate([forward, backward], axis=-1).swapaxes(0, 1)

    def _draw_kernel(self, key, size):
        def of_gate(key):
            for_words, for_outputs = jax.random.split(key)
            return jnp.concatenate(
                [
                    self.kernel_init(for_words, (size, self.units)),
                    random_orthogonal(for_outputs, self.units),
                ]
            )

        gates = jax.vmap(jax.vmap(of_gate))(jax.random.split(key, (2, _GATES)))
        return jnp.concatenate(jnp.moveaxis(gates, 1, 0), axis=-1)

    def _draw_bias(self, _):
        return jnp.zeros((2, _GATES, self.units)).at[:, 1].set(1).reshape(2, -1)


class Attention(nn.Module):
    """The mean of a text's words, weighted by what a layer of as many units makes of each.

    `weights = softmax_l(tanh(x[l] @ kernel + bias) @ context)` over the words that are present:
    additive (Bahdanau et al., 2015), a trained context in place of a query (Yang et al., 2016).

    Attributes:
        kernel_init: of all kernels.
    """

    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(
        self, x: Float[Array, "B L D"], present: Bool[Array, "B L"]
    ) -> Float[Array, "B D"]:
        """The mean `[B, D]`; that of all positions where no word is present."""
        hidden = jnp.tanh(nn.Dense(x.shape[-1], kernel_init=self.kernel_init)(x))
        scores = nn.Dense(1, use_bias=False, kernel_init=self.kernel_init)(hidden)[..., 0]
        weights = nn.softmax(jnp.where(present, scores, jnp.finfo(scores.dtype).min))
        return jnp.einsum("bl,bld->bd", weights, x)


def _both_ways(sequences):
    """`[2, B, L, ...]`: the texts `[B, L, ...]`, and read from their ends."""
    return jnp.stack([sequences, sequences[:, ::-1]])

"""The BiLSTM against loops over texts, words and directions in NumPy."""

from __future__ import annotations

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.networks import Network, Sequences, as_network, prepared, scaled_dropout
from ensemble_jax.options import ArchitectureOptions, Model
from ensemble_jax.zoo import check_word_vectors, make_architecture
from ensemble_jax.zoo.bilstm import Attention, BidirectionalLSTM

# Compile time is all the time there is, so nothing is optimised that is run once.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

B, L, V, D, H = 4, 6, 9, 3, 5
LENGTHS = [6, 3, 1, 0]
VECTORS = np.random.default_rng(0).normal(size=(V, D)).astype(np.float32)
VECTORS[0] = 0


def make_texts() -> np.ndarray:
    texts = np.random.default_rng(1).integers(1, V, (B, L)).astype(np.int32)
    for text, length in zip(texts, LENGTHS, strict=True):
        text[length:] = 0
    return texts


def sequences() -> Sequences:
    texts = make_texts()
    return Sequences(jnp.asarray(VECTORS[texts]), jnp.asarray(texts != 0))


def build(**options) -> Network:
    module = make_architecture(
        Model.BILSTM,
        num_classes=3,
        input_shape=(L,),
        options=ArchitectureOptions(width=H, dense=4, **options),
    )
    return prepared(as_network(module), word_vectors=VECTORS)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(words, kernel, bias, input_mask, output_mask):
    """The outputs of one direction at the words of one text, as the paper of the LSTM has them."""
    output, cell, outputs = np.zeros(H), np.zeros(H), []
    for word in words:
        joined = np.concatenate([word * input_mask, output * output_mask])
        add, keep, content, show = np.split(joined @ kernel + bias, 4)
        cell = sigmoid(keep) * cell + sigmoid(add) * np.tanh(content)
        output = sigmoid(show) * np.tanh(cell)
        outputs.append(output)
    return np.array(outputs).reshape(-1, H)


@pytest.fixture(scope="module")
def recurrence():
    return BidirectionalLSTM(H, jax.nn.initializers.glorot_uniform())


@pytest.fixture(scope="module")
def variables(recurrence):
    masks = jnp.ones((B, 2, D)), jnp.ones((B, 2, H))
    return quick_jit(recurrence.init)(jax.random.key(0), sequences(), *masks)


@pytest.mark.parametrize("dropped", [False, True])
def test_the_recurrence_is_the_loops(recurrence, variables, dropped):
    rng = np.random.default_rng(2)
    masks = [
        (2.0 * rng.integers(0, 2, (B, 2, n)) if dropped else np.ones((B, 2, n))).astype(np.float32)
        for n in (D, H)
    ]
    outputs = quick_jit(recurrence.apply)(variables, sequences(), *masks)
    assert outputs.shape == (B, L, 2 * H)
    kernel, bias = (np.asarray(variables["params"][n], float) for n in ("kernel", "bias"))
    for i, length in enumerate(LENGTHS):
        words = VECTORS[make_texts()[i, :length]]
        forward, backward = (
            lstm(w, kernel[d], bias[d], masks[0][i, d], masks[1][i, d])
            for d, w in enumerate((words, words[::-1]))
        )
        expected = np.concatenate([forward, backward[::-1]], axis=1)
        np.testing.assert_allclose(outputs[i, :length], expected, rtol=1e-4, atol=1e-5)


def test_kernels_are_drawn_gate_by_gate(variables):
    kernel, bias = (np.asarray(variables["params"][n]) for n in ("kernel", "bias"))
    assert kernel.shape == (2, D + H, 4 * H)
    bound = np.sqrt(6 / (D + H))
    assert 0.8 * bound < np.abs(kernel[:, :D]).max() <= bound
    for gate in kernel[:, D:].reshape(2, H, 4, H).transpose(0, 2, 1, 3).reshape(8, H, H):
        np.testing.assert_allclose(gate @ gate.T, np.eye(H), atol=1e-5)
    np.testing.assert_array_equal(bias, [[0] * H + [1] * H + [0] * 2 * H] * 2)


def test_attention_is_a_mean_of_words_by_their_scores():
    x = np.random.default_rng(3).normal(size=(B, L, 4)).astype(np.float32)
    present = make_texts() != 0
    attention = Attention(jax.nn.initializers.normal(1.0))
    variables = jax.tree.map(
        lambda p: p + 0.1, quick_jit(attention.init)(jax.random.key(0), jnp.asarray(x), present)
    )
    outputs = quick_jit(attention.apply)(variables, x, present)
    params = jax.tree.map(np.asarray, variables["params"])
    hidden, context = (params[f"Dense_{i}"] for i in (0, 1))
    for i, length in enumerate(LENGTHS[:3]):
        scores = np.tanh(x[i, :length] @ hidden["kernel"] + hidden["bias"]) @ context["kernel"]
        weights = np.exp(scores[:, 0]) / np.exp(scores[:, 0]).sum()
        np.testing.assert_allclose(outputs[i], weights @ x[i, :length], rtol=1e-4, atol=1e-5)
    assert np.isfinite(outputs).all()


@pytest.fixture(scope="module")
def network() -> Network:
    return build()


@pytest.fixture(scope="module")
def evaluate(network):
    """The logits of texts, compiled."""
    compiled = quick_jit(partial(network.apply, key=None, train=False))
    return lambda params, texts: compiled(params, texts)[0]


@pytest.fixture(scope="module")
def params(network):
    return quick_jit(network.init)(jax.random.key(0), make_texts())


def test_padding_changes_nothing(evaluate, params):
    texts = make_texts()
    longer = np.concatenate([texts, np.zeros((B, 3), np.int32)], axis=1)
    ours, theirs = (evaluate(params, t) for t in (texts, longer))
    np.testing.assert_allclose(ours[:3], theirs[:3], rtol=1e-4, atol=1e-6)
    assert np.isfinite(theirs).all()


def test_the_order_of_the_words_matters(evaluate, params):
    texts = make_texts()[:1]
    logits = evaluate(params, np.concatenate([texts, texts[:, ::-1]]))
    assert np.abs(logits[0] - logits[1]).max() > 1e-4


def test_every_text_has_masks_of_its_own_and_no_dropout_is_evaluation(network, evaluate, params):
    texts, key = make_texts()[[0, 0, 0, 0]], jax.random.key(1)

    @quick_jit
    def train(scale):
        with scaled_dropout(scale):
            return network.apply(params, texts, key=key, train=True)[0]

    dropped = train(1.0)
    assert np.abs(dropped[0] - dropped[1]).max() > 1e-3
    np.testing.assert_allclose(train(0.0), evaluate(params, texts), rtol=1e-4, atol=1e-6)


def test_word_vectors_are_neither_trained_nor_copied_for_members(network, params):
    assert all(V not in leaf.shape for leaf in jax.tree.leaves(params))
    stacked = jax.tree.map(lambda x: jnp.stack([x] * 3), params)
    evaluate = partial(network.apply, key=None, train=False)
    program = jax.make_jaxpr(jax.vmap(evaluate, (0, None)))(stacked, make_texts())
    tables = re.findall(rf"f32\[(?:\d+,)*{V},{D}\]", str(program))
    assert tables
    assert set(tables) == {f"f32[{V},{D}]"}


@pytest.mark.parametrize("shape", [(8, 8, 3), (), (0,), (3, 4)])
def test_what_is_no_text_is_refused(shape):
    message = (
        f"model bilstm needs texts as rows of the numbers of their words, got examples of shape "
        f"{shape}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_architecture(Model.BILSTM, num_classes=3, input_shape=shape)


def test_texts_need_their_vectors():
    network = as_network(make_architecture(Model.BILSTM, num_classes=3, input_shape=(L,)))
    message = "^model bilstm needs Sequences of word vectors, got "
    with pytest.raises(ValueError, match=message):
        network.init(jax.random.key(0), jnp.zeros((1, L)))


def test_texts_have_word_vectors_and_images_have_none():
    message = "^model bilstm reads text, so that word_vectors must be given$"
    with pytest.raises(ValueError, match=message):
        check_word_vectors(Model.BILSTM, None)
    message = "^model st_vgg reads no text, so that word_vectors must not be given$"
    with pytest.raises(ValueError, match=message):
        check_word_vectors(Model.ST_VGG, VECTORS)
    check_word_vectors(Model.BILSTM, VECTORS)
    check_word_vectors(Model.ST_VGG, None)

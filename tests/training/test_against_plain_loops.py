"""Members of a collection against loops as everyone writes them, with Flax and optax alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

from ensemble_jax.networks import Network, Variables, as_network
from ensemble_jax.ops import fast_key
from ensemble_jax.options import Optimizer, Schedule, Source
from ensemble_jax.training.keys import member_key

IDS, SEED, EPOCHS = (2, 0, 7), 5, 3
RATES = np.float32([0.01, 0.03, 0.002])
# Two whole batches and one of two examples.
NUM_EXAMPLES, BATCH_SIZE, NUM_STEPS = 10, 4, 9
rng = np.random.default_rng(0)
IMAGES = rng.normal(size=(NUM_EXAMPLES, 4, 4, 2)).astype(np.float32)
LABELS = rng.integers(0, 3, NUM_EXAMPLES)

assert_close = partial(jax.tree.map, partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5))


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, use_fast_variance=False)(x)
        x = nn.Dropout(0.3)(nn.relu(x), deterministic=not train)
        return nn.Dense(3)(x.reshape(len(x), -1))


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.convolution = nnx.Conv(2, 4, (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.9, use_fast_variance=False, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)
        self.dense = nnx.Linear(64, 3, rngs=rngs)

    def __call__(self, x):
        x = self.dropout(nnx.relu(self.norm(self.convolution(x))))
        return self.dense(x.reshape(len(x), -1))


def pure_init(key, inputs):
    kernel = jax.random.normal(key, (inputs[0].size, 3)) / 4
    return Variables({"kernel": kernel}, {"steps": jnp.int32(0)})


def pure_apply(variables, inputs, *, key, train):
    x, state = inputs.reshape(len(inputs), -1), variables.state
    if train:
        x = jnp.where(jax.random.bernoulli(key, 0.7, x.shape), x / 0.7, 0)
        state = {"steps": state["steps"] + 1}
    return x @ variables.params["kernel"], state


class Form(NamedTuple):
    """A network as `train` takes it, and the same by its own library.

    Attributes:
        network: for the collection.
        init: `key -> (params, state)`.
        apply: `(params, state, images, key) -> (outputs, state)` in training.
        variables: the params and state of the library as those of the collection.
    """

    network: Any
    init: Callable[..., Any]
    apply: Callable[..., Any]
    variables: Callable[..., Variables] = Variables


def linen_form() -> Form:
    module = LinenNet()

    def init(key):
        variables = module.init(key, IMAGES[:1], train=False)
        return variables["params"], {"batch_stats": variables["batch_stats"]}

    def apply(params, state, images, key):
        variables = {"params": params, **state}
        rngs = {"dropout": key}
        return module.apply(variables, images, train=True, rngs=rngs, mutable=["batch_stats"])

    return Form(module, init, apply)


def nnx_form() -> Form:
    def init(key):
        return nnx.split(NnxNet(nnx.Rngs(key)), nnx.Param, ...)[1:]

    def apply(params, state, images, key):
        module = NnxNet(nnx.Rngs(0))
        nnx.update(module, params, state)
        module.train()
        # Stream i of a module begins with a key that is derived from the step's.
        stream = module.dropout.rngs
        stream.key.set_value(jax.random.split(jax.random.fold_in(key, 0), ()))
        stream.count.set_value(jnp.uint32(0))
        outputs = module(images)
        return outputs, nnx.split(module, nnx.Param, ...)[2]

    def variables(params, state):
        norm = state["norm"]
        averages = {name: norm[name].get_value() for name in ("mean", "var")}
        return Variables(nnx.to_pure_dict(params), {"norm": averages})

    return Form(NnxNet, init, apply, variables)


def pure_form() -> Form:
    def apply(params, state, images, key):
        return pure_apply(Variables(params, state), images, key=key, train=True)

    return Form(Network(pure_init, pure_apply), lambda key: pure_init(key, IMAGES[:1]), apply)


def adamw(rate):
    return optax.adamw(optax.cosine_decay_schedule(rate, NUM_STEPS), weight_decay=0.01)


@partial(jax.jit, static_argnums=0)
def plain_step(form: Form, params, state, optimizer, rate, images, labels, key):
    def loss_of(params):
        outputs, new = form.apply(params, state, images, key)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean(), new

    (loss, new), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
    updates, optimizer = adamw(rate).update(gradient, optimizer, params)
    return optax.apply_updates(params, updates), new, optimizer, loss


def plain_loop(form: Form, number: int, rate: np.float32):
    """The variables after each epoch, and the mean losses."""
    params, state = jax.jit(form.init)(member_key(SEED, Source.INITIALISATION, number))
    optimizer = adamw(rate).init(params)
    epochs, losses = [], []
    for epoch in range(EPOCHS):
        order_key, dropout_key = (
            jax.random.fold_in(member_key(SEED, stream, number), epoch)
            for stream in (Source.ORDER, Source.DROPOUT)
        )
        order = np.asarray(jax.random.permutation(order_key, NUM_EXAMPLES))
        total = 0.0
        for step, start in enumerate(range(0, NUM_EXAMPLES, BATCH_SIZE)):
            rows = order[start : start + BATCH_SIZE]
            key = fast_key(jax.random.fold_in(dropout_key, step))
            params, state, optimizer, loss = plain_step(
                form, params, state, optimizer, rate, IMAGES[rows], LABELS[rows], key
            )
            total += float(loss) * len(rows)
        epochs.append(form.variables(params, state))
        losses.append(total / NUM_EXAMPLES)
    return epochs, losses


def train(tiny, network, optimizer, *, epochs=EPOCHS, members_per_call=0, **recipe):
    members = tiny.members(IDS, SEED)._replace(hyperparameters={"learning_rate": RATES})
    return tiny.train(
        IDS,
        epochs,
        members_per_call=members_per_call,
        members=members,
        examples=(IMAGES, LABELS),
        recipe={"network": network, "optimizer": optimizer, **recipe},
    )


@pytest.mark.parametrize("make_form", [linen_form, nnx_form, pure_form])
def test_members_are_what_plain_loops_make_of_them(tiny, make_form):
    form = make_form()
    together = train(tiny, as_network(form.network), lambda hp: adamw(hp.learning_rate))
    for place, (number, rate) in enumerate(zip(IDS, RATES, strict=True)):
        epochs, losses = plain_loop(form, number, rate)
        for after, expected in zip(together.states[1:], epochs, strict=True):
            assert_close(jax.tree.map(lambda x, i=place: x[i], after.variables), expected)
        np.testing.assert_allclose(np.array(together.losses)[:, place], losses, rtol=1e-5)


def test_statistics_are_those_of_the_short_batch(tiny):
    """Averages that forget everything but the last batch, of inputs that nothing has changed."""

    class Forgetful(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            norm = nn.BatchNorm(not train, momentum=0.0, use_fast_variance=False)
            return nn.Dense(3)(norm(x).mean((1, 2)))

    after = train(
        tiny, as_network(Forgetful()), Optimizer.SGD, epochs=1, schedule=Schedule.CONSTANT
    )
    averages = after.states[1].variables.state["batch_stats"]["BatchNorm_0"]
    for place, number in enumerate(IDS):
        key = jax.random.fold_in(member_key(SEED, Source.ORDER, number), 0)
        last = IMAGES[np.asarray(jax.random.permutation(key, NUM_EXAMPLES))[-2:]]
        np.testing.assert_allclose(averages["mean"][place], last.mean((0, 1, 2)), rtol=1e-5)
        np.testing.assert_allclose(averages["var"][place], last.var((0, 1, 2)), rtol=1e-5)


def masked_init(key, inputs):
    return Variables(jnp.zeros(3), {})


def masked_apply(variables, inputs, *, key, train):
    """Of a loss that is the sum of these outputs, the gradient is the mean of the masks."""
    mask = jax.random.bernoulli(key, 0.5, (len(inputs), 3)) if train else 1.0
    return variables.params[None] * mask, variables.state


@pytest.mark.parametrize("microbatches", [1, 2, 4])
def test_a_batch_in_parts_has_the_masks_of_the_whole(tiny, microbatches):
    """Sums of masks are whole numbers, so nothing is rounded."""
    trained = train(
        tiny,
        Network(masked_init, masked_apply),
        lambda hp: optax.sgd(1.0),
        epochs=1,
        microbatches=microbatches,
        loss=lambda outputs, labels: outputs.sum(-1),
    )
    for place, number in enumerate(IDS):
        dropout = jax.random.fold_in(member_key(SEED, Source.DROPOUT, number), 0)
        params = np.zeros(3)
        for step, size in enumerate((4, 4, 2)):
            key = fast_key(jax.random.fold_in(dropout, step))
            params -= np.asarray(jax.random.bernoulli(key, 0.5, (size, 3))).mean(0)
        np.testing.assert_array_equal(trained.states[1].variables.params[place], params)


class LinenDropout(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Dropout(0.3)(nn.relu(nn.Conv(4, (3, 3))(x)), deterministic=not train)
        return nn.Dense(3)(nn.Dropout(0.5)(x.reshape(len(x), -1), deterministic=not train))


class NnxDropout(nnx.Module):
    def __init__(self, rngs):
        self.convolution = nnx.Conv(2, 4, (3, 3), rngs=rngs)
        self.dropouts = nnx.List([nnx.Dropout(rate, rngs=rngs) for rate in (0.3, 0.5)])
        self.dense = nnx.Linear(64, 3, rngs=rngs)

    def __call__(self, x):
        first, second = self.dropouts
        x = first(nnx.relu(self.convolution(x)))
        return self.dense(second(x.reshape(len(x), -1)))


@pytest.mark.parametrize("network", [LinenDropout(), NnxDropout], ids=["linen", "nnx"])
def test_a_batch_in_parts_is_the_whole_but_for_rounding(tiny, network):
    whole, parts = (
        train(
            tiny,
            as_network(network),
            Optimizer.SGD,
            schedule=Schedule.CONSTANT,
            members_per_call=1,
            microbatches=microbatches,
        )
        for microbatches in (1, 2)
    )
    assert_close(parts, whole)

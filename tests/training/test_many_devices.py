"""Members spread over 1, 4 and 8 devices: what is promised to the bit, and what up to rounding.

The number of devices is part of the plan, as is the size of a call. Under one plan a member has the
same bits wherever it lies, whether it was resumed, and whatever N is, as long as every device has
the members of a call. XLA compiles a program for several devices, and one for calls of another
size, in another way: between plans the promise is closeness, some units of the last digit at each
step.
"""

from __future__ import annotations

import functools
import re
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ensemble_jax.collection import Placement
from ensemble_jax.evaluation import CollectionEvaluation, make_evaluator
from ensemble_jax.networks import as_network
from ensemble_jax.training import CollectionTraining, place_examples

NUMBERS = (5, 8, 13)
MOST = NUMBERS[-1]
EPOCHS = 2
DIFFERENT = {
    "learning_rate": [0.3, 0.1, 0.05, 0.2],
    "decay_factor": [1.0, 3.0, 1.5],
    "momentum": [0.0, 0.9, 0.5, 0.3, 0.1],
    "l2": [0.0, 0.1, 0.01],
    "dropout_scale": [0.0, 1.0, 0.5, 1.5],
}
# Devices and members per call. On 8 devices calls of 2 are calls of all that a device holds.
PLANS = [(1, 1), (1, 2), (1, 5), (4, 1), (4, 2), (4, 0), (8, 1), (8, 0)]
# Those under which every N of the test makes calls of one size: devices of one, some and many of
# them, and some that have none.
SAME_CALLS = [(1, 1), (1, 2), (1, 5), (4, 1), (8, 1), (4, 2)]
# Programs take long to compile. Short of all, these have one device and several, calls of one
# member and of several, whole and padded ones; N = 8 is beside N = 5 where it fills the devices.
SOME_CALLS = [(1, 1), (1, 5), (8, 1), (4, 2)]
CALLS = [
    plan if plan in SOME_CALLS else pytest.param(*plan, marks=pytest.mark.slow)
    for plan in SAME_CALLS
]


def numbers_of(devices, members_per_call):
    """The numbers of members that are tried under a plan."""
    return NUMBERS if (devices, members_per_call) in [(8, 1), (4, 1)] else (NUMBERS[0], MOST)


assert_equal = partial(jax.tree.map, np.testing.assert_array_equal)
assert_close = partial(jax.tree.map, partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5))


class Normalised(nn.Module):
    """Averages of the batch and dropout, of which each member has its own."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.relu(nn.BatchNorm(not train, use_fast_variance=False)(nn.Dense(6)(x)))
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not train)(x))


class Done(NamedTuple):
    """Host copies: the states and losses after each epoch, and the evaluation of the last."""

    states: list[Any]
    losses: list[Any]
    evaluation: Any

    def of(self, positions) -> Any:
        return jax.tree.map(lambda x: x[positions], tuple(self))


class Compiled(NamedTuple):
    """A collection's programs."""

    placement: Placement
    training: CollectionTraining
    evaluation: CollectionEvaluation

    def run(self, members, epochs=EPOCHS, state=None, first_epoch=0) -> Done:
        training, gather = self.training.of(members), self.placement.gather
        state = training.init() if state is None else self.placement.spread(state)
        states, losses = [], []
        for epoch in range(first_epoch, first_epoch + epochs):
            state, loss = training.epoch(state, epoch)
            states.append(gather(state))
            losses.append(gather(loss))
        return Done(states, losses, gather(self.evaluation(state.variables)["train"]))


@pytest.fixture(scope="module")
def make_members(tiny):
    """A function that makes members by their numbers, with hyperparameters of their own."""

    def make(numbers):
        own = {
            name: [values[i % len(values)] for i in numbers] for name, values in DIFFERENT.items()
        }
        return tiny.members(numbers, **own)

    return make


@pytest.fixture(scope="module")
def compiled(tiny, make_members):
    """A function that compiles a collection under a plan, once."""
    inputs, labels = tiny.examples()
    network = as_network(Normalised())

    @functools.cache
    def compile_for(num_members, devices, members_per_call):
        placement, training = tiny.compile(
            range(num_members),
            members_per_call=members_per_call,
            devices=devices,
            recipe={"network": network},
            members=make_members(range(num_members)),
        )
        evaluation = CollectionEvaluation(
            make_evaluator(network, 3, batch_size=4),
            placement,
            training.placed_state_shape.variables,
            {"train": place_examples(placement, inputs, labels)},
        )
        return Compiled(placement, training, evaluation)

    return compile_for


@pytest.fixture(scope="module")
def done(compiled, make_members):
    """A function that trains and evaluates the members 0..N-1 under a plan, once."""

    @functools.cache
    def train(num_members, devices, members_per_call):
        programs = compiled(num_members, devices, members_per_call)
        return programs.run(make_members(range(num_members)))

    return train


@pytest.mark.bits
@pytest.mark.parametrize(("devices", "members_per_call"), CALLS)
def test_a_member_has_the_same_bits_whatever_their_number(done, devices, members_per_call):
    most = done(MOST, devices, members_per_call)
    for fewer in numbers_of(devices, members_per_call)[:-1]:
        assert_equal(done(fewer, devices, members_per_call).of(slice(None)), most.of(slice(fewer)))


@pytest.mark.bits
@pytest.mark.parametrize(("devices", "members_per_call"), PLANS)
def test_a_member_has_the_same_bits_wherever_it_lies(
    compiled, done, make_members, devices, members_per_call
):
    """In reverse order nearly every member is on another device, and another one is the padding."""
    programs = compiled(MOST, devices, members_per_call)
    reverse = programs.run(make_members(range(MOST)[::-1]))
    assert_equal(
        reverse.of(slice(None, None, -1)), done(MOST, devices, members_per_call).of(slice(None))
    )


@pytest.mark.bits
@pytest.mark.parametrize(("devices", "members_per_call"), [(4, 2), (8, 1), (8, 0)])
def test_a_resumed_training_has_the_same_bits(
    compiled, done, make_members, devices, members_per_call
):
    whole = done(MOST, devices, members_per_call)
    programs = compiled(MOST, devices, members_per_call)
    rest = programs.run(make_members(range(MOST)), EPOCHS - 1, whole.states[0], first_epoch=1)
    assert_equal((rest.states[-1], rest.losses[-1]), (whole.states[-1], whole.losses[-1]))
    assert_equal(rest.evaluation, whole.evaluation)


@pytest.mark.parametrize(("devices", "members_per_call"), PLANS)
def test_plans_differ_by_rounding_alone(done, devices, members_per_call):
    one_by_one = done(MOST, 1, 1)
    few = (devices, members_per_call) in SOME_CALLS
    for number in numbers_of(devices, members_per_call) if few else (MOST,):
        other = done(number, devices, members_per_call)
        states, losses, evaluation = one_by_one.of(slice(number))
        assert_close(other.states, states)
        assert_close(other.losses, losses)
        np.testing.assert_allclose(other.evaluation.loss, evaluation.loss, rtol=1e-4)
        # A class may change where two are as likely as each other, up to rounding.
        assert (other.evaluation.predictions != evaluation.predictions).sum() <= 1


def test_every_member_is_trained_in_its_own_way(done):
    """Else all of the above would hold for copies of one member."""
    states, losses, evaluation = done(MOST, 8, 1)
    assert len(np.unique(losses[-1])) == len(np.unique(evaluation.loss)) == MOST
    for leaf in jax.tree.leaves(states[-1].variables):
        assert len(np.unique(leaf, axis=0)) == MOST


COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
    "reduce-scatter",
    "ragged-all-to-all",
)
HOST_TRANSFERS = ("infeed", "outfeed", "send", "recv")


def exchanges(program: str) -> set[str]:
    """The operations of a compiled program that reach beyond their device, by XLA's names."""
    operations = set(re.findall(r"= .*? ([a-z][a-z0-9-]*)\(", program))
    assert {"fusion", "parameter"} <= operations, "the program is not read as it should be"
    targets = re.findall(r'custom_call_target="([^"]*)"', program)
    return {name for name in operations if name.startswith(COLLECTIVES + HOST_TRANSFERS)} | {
        target for target in targets if re.search("callback|python|host", target, re.I)
    }


@pytest.mark.bits
@pytest.mark.parametrize(("devices", "members_per_call"), [plan for plan in PLANS if plan[0] > 1])
def test_no_program_exchanges_anything(compiled, devices, members_per_call):
    programs = compiled(MOST, devices, members_per_call)
    for program in (programs.training.compiled_epoch, *programs.evaluation.compiled):
        text = program.as_text()
        assert f"num_partitions={devices}" in text
        assert exchanges(text) == set()


FOUR = Mesh(np.array(jax.devices()[:4]), ("members",))


@pytest.mark.parametrize(
    ("expected", "function"),
    [
        ("all-reduce", lambda x: jax.lax.psum(x, "members")),
        ("all-gather", lambda x: jax.lax.all_gather(x, "members", tiled=True)),
        ("all-to-all", lambda x: jax.lax.all_to_all(x, "members", 1, 0, tiled=True)),
        (
            "collective-permute",
            lambda x: jax.lax.ppermute(x, "members", [(i, (i + 1) % 4) for i in range(4)]),
        ),
        ("reduce-scatter", lambda x: jax.lax.psum_scatter(x, "members", tiled=True)),
    ],
)
def test_an_exchange_is_noticed(expected, function):
    """The check can fail."""
    exchanging = jax.shard_map(
        lambda x: function(jnp.sin(x)) + 1,
        mesh=FOUR,
        in_specs=PartitionSpec("members"),
        out_specs=PartitionSpec("members"),
        check_vma=False,
    )
    program = jax.jit(exchanging).lower(jnp.ones((16, 8))).compile().as_text()
    assert [name for name in exchanges(program) if name.startswith(expected)]


def test_a_mean_over_members_is_noticed():
    """What XLA itself puts between devices where a program is not lifted."""
    sharded = jax.device_put(jnp.ones((8, 6)), NamedSharding(FOUR, PartitionSpec("members")))
    program = (
        jax.jit(lambda x: jnp.sin(x) - x.mean(0, keepdims=True)).lower(sharded).compile().as_text()
    )
    assert exchanges(program)


def test_a_call_of_the_host_is_noticed():
    def told(x):
        jax.debug.callback(lambda _: None, x)
        return jnp.sin(x) + 1

    assert exchanges(jax.jit(told).lower(jnp.ones(9)).compile().as_text())

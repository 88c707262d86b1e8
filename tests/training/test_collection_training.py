"""The laws of vectorisation: what a member is must not depend on how it is computed."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ensemble_jax import ops
from ensemble_jax.evaluation import CollectionEvaluation, make_evaluator
from ensemble_jax.networks import Network, Variables, as_network, with_fast_layers
from ensemble_jax.options import Optimizer, Source
from ensemble_jax.training import (
    NOT_DIVERGED,
    Examples,
    Member,
    SourceIds,
    place_examples,
)
from ensemble_jax.training.keys import member_key

IDS = [0, 1, 2, 3, 4, 5]
EPOCHS = 3

assert_equal = partial(jax.tree.map, np.testing.assert_array_equal)
assert_close = partial(jax.tree.map, partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5))


def members(tree, positions):
    return jax.tree.map(lambda x: x[positions], tree)


@pytest.fixture(scope="module")
def one_by_one(tiny):
    """Six members, one after another on one device: the placement and the compiled training."""
    return tiny.compile(IDS, members_per_call=1)


@pytest.fixture(scope="module")
def reference(tiny, one_by_one):
    return tiny.run(*one_by_one, EPOCHS)


def test_training_changes_every_member_in_its_own_way(reference):
    for before, after in zip(reference.states, reference.states[1:], strict=False):
        for old, new in zip(
            jax.tree.leaves(before.variables), jax.tree.leaves(after.variables), strict=True
        ):
            assert (old != new).any(axis=tuple(range(1, old.ndim))).all()
    assert len(np.unique(np.array(reference.losses))) == EPOCHS * len(IDS)
    assert np.isfinite(reference.losses).all()
    np.testing.assert_array_equal(reference.states[-1].diverged_at, NOT_DIVERGED)


@pytest.mark.bits
@pytest.mark.parametrize(
    "ids", [[4], list(range(11, -1, -1))], ids=["alone", "twice as many in another order"]
)
def test_a_member_has_the_same_bits_among_any_others(tiny, reference, ids):
    result = tiny.train(ids, EPOCHS)
    common = [i for i in ids if i in IDS]
    positions = [ids.index(i) for i in common]
    assert_equal(members(result, positions), members(reference, common))


@pytest.mark.parametrize(("members_per_call", "devices"), [(4, 1), (1, 4)])
def test_a_member_is_close_however_it_is_computed(tiny, reference, members_per_call, devices):
    result = tiny.train(IDS, EPOCHS, members_per_call=members_per_call, devices=devices)
    assert_close(result, reference)


@pytest.mark.bits
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_resumed_training_has_the_bits_of_one_never_interrupted(
    tiny, one_by_one, reference, epoch
):
    resumed = tiny.run(*one_by_one, EPOCHS - epoch, reference.states[epoch], first_epoch=epoch)
    assert_equal(resumed.states, reference.states[epoch:])
    assert_equal(resumed.losses, reference.losses[epoch:])


class Single:
    """One member in a Python loop over epochs, compiled without any lifting."""

    def __init__(self, tiny, **options) -> None:
        training = tiny.make_training(**options)
        self._init, self._epoch = jax.jit(training.init), jax.jit(training.epoch)
        self._examples = tiny.examples()

    def train(self, member: Member, epochs: int, inputs=None, labels=None):
        own = [
            usual if given is None else given
            for given, usual in zip((inputs, labels), self._examples, strict=True)
        ]
        examples = Examples(own[0], own[1].astype(np.int32))
        state, losses = self._init(member, examples.inputs[:1]), []
        for epoch in range(epochs):
            state, loss = self._epoch(state, member, np.int32(epoch), examples)
            losses.append(loss)
        return state, losses


@pytest.fixture(scope="module")
def single(tiny):
    return Single(tiny)


DIFFERENT = {
    "learning_rate": [0.3, 0.1, 0.05, 0.2, 0.1, 0.1],
    "decay_factor": [1.0, 3.0, 1.5, 2.0, 1.5, 1.5],
    "decay_epochs": [1, 1, 2, 20, 2, 2],
    "momentum": [0.0, 0.9, 0.5, 0.3, 0.5, 0.5],
    "l2": [0.0, 0.1, 0.01, 0.0, 0.01, 0.01],
    "dropout_scale": [0.0, 1.0, 0.5, 1.5, 1.0, 1.0],
}


def test_members_of_different_hyperparameters_are_single_trainings(tiny, single):
    together = tiny.train(IDS, EPOCHS, members_per_call=0, **DIFFERENT)
    collection = tiny.members(IDS, **DIFFERENT)
    for i in IDS:
        state, losses = single.train(members(collection, i), EPOCHS)
        assert_close(members(together.states[-1], i), state)
        assert_close([loss[i] for loss in together.losses], losses)


@pytest.mark.parametrize("name", DIFFERENT)
def test_every_hyperparameter_matters(tiny, single, name):
    usual, changed = (
        single.train(tiny.member(0, **values), EPOCHS)[0]
        for values in (
            {},
            {name: DIFFERENT[name][1] * 0.9 if name != "decay_epochs" else 1},
        )
    )
    kernels = [state.variables.params["Dense_0"]["kernel"] for state in (usual, changed)]
    assert (kernels[0] != kernels[1]).all()


def test_another_seed_gives_another_member(tiny, single):
    ours, theirs = (
        single.train(tiny.member(4, seed, l2=0.0, learning_rate=1e-30), 1) for seed in (0, 1)
    )
    for our, their in zip(
        jax.tree.leaves(ours[0].variables.params),
        jax.tree.leaves(theirs[0].variables.params),
        strict=True,
    ):
        assert not our.any() or not np.isin(our, their).any()
    assert ours[1] != theirs[1]
    assert_equal(single.train(tiny.member(4, 0, l2=0.0, learning_rate=1e-30), 1), ours)


def test_one_epoch_is_the_sum_of_its_batches(tiny, single):
    """Steps on exact batches, the last one short, with plain gradients; nothing is padded."""
    network, (inputs, labels) = tiny.network(), tiny.examples()
    values = {"dropout_scale": 0.0, "momentum": 0.0, "learning_rate": 0.5, "l2": 0.02}
    state, [loss] = single.train(tiny.member(3, **values), 1)

    variables = network.init(member_key(0, Source.INITIALISATION, 3), inputs[:1])
    key = jax.random.fold_in(member_key(0, Source.ORDER, 3), 0)
    order = np.asarray(jax.random.permutation(key, len(labels)))
    batches = [order[:4], order[4:8], order[8:]]
    assert [len(batch) for batch in batches] == [4, 4, 2]

    @jax.jit
    @jax.value_and_grad
    def loss_of(params, inputs, labels):
        logits, _ = network.apply(Variables(params, variables.state), inputs, key=None, train=False)
        return -jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels].mean()

    params, total, mean = variables.params, 0.0, 0.0
    for batch in batches:
        value, gradient = loss_of(params, inputs[batch], labels[batch])
        total += float(value) * len(batch)
        mean = 0.9 * mean + 0.1 * inputs[batch].mean(0)
        params = jax.tree.map(
            lambda p, g: p - 0.5 * (g + (2 * 0.02 * p if p.ndim == 2 else 0)), params, gradient
        )
    assert_close(state.variables, Variables(params, {"averages": {"mean": mean}}))
    assert float(loss) == pytest.approx(total / len(labels), rel=1e-5)


def test_each_epoch_has_an_order_and_masks_of_its_own(tiny, single):
    """Almost without learning, what differs between epochs is randomness alone."""

    def losses(**values):
        member = tiny.member(0, learning_rate=1e-30, l2=0.0, **values)
        return np.array(single.train(member, EPOCHS)[1])

    assert np.ptp(losses()) > 0.01
    assert np.ptp(losses(dropout_scale=0.0)) < 1e-6


# Members 1 and 4 take steps beyond what float32 holds, at the second step and at once; member 2 in
# epoch 3, because its learning rate grows by 1e37 every two epochs.
LEARNING_RATES = (0.1, 1e30, 0.1, 0.1, 3e38, 0.1)
DECAY_FACTORS = (1.5, 1.5, 1e-37, 1.5, 1.5, 1.5)
DIVERGED_AT = (NOT_DIVERGED, 1, 3, NOT_DIVERGED, 1, NOT_DIVERGED)
HEALTHY = [0, 3, 5]


@pytest.fixture(scope="module")
def diverging(tiny):
    return tiny.train(IDS, EPOCHS, learning_rate=LEARNING_RATES, decay_factor=DECAY_FACTORS)


def test_a_member_that_diverges_is_frozen_in_that_epoch(diverging):
    np.testing.assert_array_equal(diverging.states[-1].diverged_at, DIVERGED_AT)
    np.testing.assert_array_equal(diverging.states[2].diverged_at[2], NOT_DIVERGED)
    for state in diverging.states[2:]:
        assert_equal(members(state, [1, 4]), members(diverging.states[1], [1, 4]))


def test_a_member_that_diverges_stays_finite(diverging):
    for leaf in jax.tree.leaves(diverging.states):
        assert np.isfinite(leaf).all()


@pytest.mark.bits
def test_a_member_that_diverges_does_not_touch_the_others(diverging, reference):
    assert_equal(members(diverging, HEALTHY), members(reference, HEALTHY))


def test_a_nan_in_an_example_freezes_a_member_as_it_was(tiny, single):
    inputs, _ = tiny.examples()
    inputs[3, 2] = np.nan
    member = tiny.member(0)
    state, _ = single.train(member, 1, inputs=inputs)
    assert state.diverged_at == 1
    for leaf in jax.tree.leaves(state):
        assert np.isfinite(leaf).all()


def test_more_epochs_compile_nothing(tiny, one_by_one, counted_compilations):
    placement, training = one_by_one
    with counted_compilations() as compilations:
        jax.jit(lambda x: x * 3 + 1)(np.arange(7))
    assert len(compilations) == 1, "the listener does not listen"
    tiny.run(placement, training, 1)
    with counted_compilations() as compilations:
        tiny.run(placement, training, 2)
    assert not compilations


def test_what_a_collection_says_of_itself(tiny, one_by_one):
    placement, training = one_by_one
    assert training.num_images == 6 * 10
    assert training.steps_per_epoch == 3
    assert training.compile_seconds > 0
    state = placement.gather(training.init())
    assert_equal(
        jax.tree.map(lambda x: x.shape, state),
        jax.tree.map(lambda x: x.shape, training.state_shape),
    )
    for leaf, shape in zip(
        jax.tree.leaves(state), jax.tree.leaves(training.state_shape), strict=True
    ):
        assert (leaf.shape, leaf.dtype) == (shape.shape, shape.dtype)


def test_an_epoch_uses_its_state_up(one_by_one):
    _, training = one_by_one
    state = training.init()
    training.epoch(state, 0)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.variables))


class ConvolutionalModule(nn.Module):
    """What st-VGG consists of, small enough to be compiled in a second."""

    @nn.compact
    def __call__(self, x, train):
        x = x.astype(jnp.float32) / 128 - 1
        for _ in range(2):
            x = nn.elu(nn.Conv(8, (3, 3))(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.Dropout(0.25)(x, deterministic=not train)
        return nn.Dense(3)(x.reshape(len(x), -1))


def make_convolutional_network() -> Network:
    return with_fast_layers(as_network(ConvolutionalModule()), ops.patches_convolution)


class Convolutional:
    """Convolutional members that are trained for an epoch and evaluated."""

    def __init__(self, tiny, ids, **options) -> None:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (tiny.num_examples, 8, 8, 1), np.uint8)
        labels = rng.integers(0, 3, tiny.num_examples)
        network = make_convolutional_network()
        placement, self.training = tiny.compile(
            ids,
            examples=(images, labels),
            recipe={"network": network, "optimizer": Optimizer.SGD},
            **options,
        )
        state = self.training.init()
        evaluation = CollectionEvaluation(
            make_evaluator(network, 3, batch_size=7),
            placement,
            state.variables,
            {"train": place_examples(placement, images, labels)},
        )
        state, loss = self.training.epoch(state, 0)
        evaluated = evaluation(state.variables)["train"]
        self.state, self.loss, self.evaluation = placement.gather((state, loss, evaluated))


@pytest.fixture(scope="module")
def one_after_another(tiny):
    return Convolutional(tiny, [0, 1], members_per_call=1)


@pytest.fixture(scope="module")
def on_four_devices(tiny):
    return Convolutional(tiny, [0, 1, 2, 3], members_per_call=0, devices=4)


@pytest.mark.bits
def test_convolutions_have_the_same_bits_alone_and_among_others(tiny, one_after_another):
    alone = Convolutional(tiny, [1], members_per_call=1)
    for name in ("state", "loss", "evaluation"):
        assert_equal(getattr(alone, name), members(getattr(one_after_another, name), slice(1, 2)))


def test_convolutions_are_close_on_other_devices(one_after_another, on_four_devices):
    """XLA compiles a program for several devices in another way, so that rounding differs."""
    for name in ("state", "loss"):
        assert_close(
            members(getattr(on_four_devices, name), slice(2)), getattr(one_after_another, name)
        )
    bits = members(on_four_devices.evaluation, slice(2)).bits ^ one_after_another.evaluation.bits
    assert np.unpackbits(bits).sum() <= 1


SUBSETS = np.array([[0, 2, 3, 5, 9], [1, 2, 3, 4, 5], [5, 6, 7, 8, 9], [1, 4, 6, 7, 8]])


def test_members_of_different_subsets_are_trained_on_these_alone(tiny):
    """Each as if its subset were the training set of a collection of its own."""
    ids = IDS[:4]
    together = tiny.train(ids, EPOCHS, members=tiny.members(ids)._replace(train_indices=SUBSETS))
    inputs, labels = tiny.examples()
    single = Single(tiny, num_examples=SUBSETS.shape[1])
    for i, subset in enumerate(SUBSETS):
        state, losses = single.train(tiny.member(i), EPOCHS, inputs[subset], labels[subset])
        assert_close(members(together.states[-1], i), state)
        assert_close([loss[i] for loss in together.losses], losses)


def test_a_subset_of_everything_is_everything(tiny, reference):
    whole = tiny.members([0])._replace(train_indices=np.arange(tiny.num_examples)[None])
    assert_close(tiny.train([0], EPOCHS, members=whole), members(reference, [0]))


def test_the_images_of_an_epoch_are_those_of_the_subsets(tiny):
    _, training = tiny.compile(
        [0, 1], members=tiny.members([0, 1])._replace(train_indices=SUBSETS[:2])
    )
    assert (training.num_images, training.steps_per_epoch) == (10, 2)


def test_members_learn_labels_of_their_own(tiny, single):
    _, labels = tiny.examples()
    other = (labels + 1) % 3
    train_labels = np.stack([labels, other]).astype(np.int32)
    together = tiny.train(
        [0, 1], EPOCHS, members=tiny.members([0, 1])._replace(train_labels=train_labels)
    )
    for i, own in enumerate((labels, other)):
        state, losses = single.train(tiny.member(i), EPOCHS, labels=own)
        assert_close(members(together.states[-1], i), state)
        assert_close([loss[i] for loss in together.losses], losses)


@pytest.fixture(scope="module")
def pair(tiny):
    """Any two members: the placement and the compiled training."""
    return tiny.compile([1, 2])


@pytest.mark.bits
@pytest.mark.parametrize("tied", [Source(name) for name in SourceIds._fields])
def test_members_can_share_one_source_of_randomness(tiny, pair, tied):
    """Two members that differ in nothing but the other two sources."""
    placement, training = pair
    shared = tiny.members([1, 2], learning_rate=1e-30, l2=0.0)
    shared = shared._replace(
        source_ids=shared.source_ids._replace(**{tied.value: np.zeros(2, np.uint32)})
    )
    trained = tiny.run(placement, training.of(shared), 1)
    kernels = trained.states[0].variables.params["Dense_0"]["kernel"]
    assert (kernels[0] == kernels[1]).all() == (tied is Source.INITIALISATION)
    everything = tiny.members([1, 2], learning_rate=1e-30, l2=0.0)._replace(
        source_ids=SourceIds.own(np.zeros(2, np.uint32))
    )
    all_tied = tiny.run(placement, training.of(everything), 1)
    assert_equal(members(all_tied.states[-1], 0), members(all_tied.states[-1], 1))
    assert trained.losses[0][0] != trained.losses[0][1]


def test_other_members_need_no_compilation(tiny, reference, counted_compilations):
    placement, training = tiny.compile(IDS, seed=1)
    with counted_compilations() as compilations:
        other = tiny.run(placement, training.of(tiny.members(IDS)), EPOCHS)
    assert not compilations
    assert_equal(other.losses, reference.losses)

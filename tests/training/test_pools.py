"""Training on examples that come in pools: what a member learns, and what is in memory."""

from __future__ import annotations

import threading
from functools import partial

import jax
import numpy as np
import optax
import pytest

from ensemble_jax import ops
from ensemble_jax.collection import Placement
from ensemble_jax.data.pools import Pools
from ensemble_jax.data.stored import StoredInputs
from ensemble_jax.extent import Evaluations
from ensemble_jax.hyperparameters import Hyperparameters
from ensemble_jax.losses import cross_entropy
from ensemble_jax.networks import Variables, scaled_dropout
from ensemble_jax.optimizers import named_optimizer
from ensemble_jax.options import Optimizer, Source
from ensemble_jax.pool_feed import PoolFeed
from ensemble_jax.training import (
    CollectionTraining,
    train_loop,
)
from ensemble_jax.training.keys import member_key

IDS = [0, 3, 4]
EPOCHS = 3
# Ten examples in batches of four: three pools, of which the last is short.
POOLS = Pools.of_at_most(10, 4, 4)

assert_equal = partial(jax.tree.map, np.testing.assert_array_equal)
assert_close = partial(jax.tree.map, partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5))


def pick(tree, positions):
    return jax.tree.map(lambda x: x[positions], tree)


def feed(tiny, placement, pools=POOLS, read=None):
    inputs, labels = tiny.examples()
    stored = StoredInputs(
        read or (lambda rows: inputs[rows]), np.arange(10), (inputs.shape[1],), inputs.dtype
    )
    return PoolFeed(stored, labels.astype(np.int32), pools, placement, max_threads=2)


def compile_pools(tiny, ids, pools=POOLS, members=None, read=None, **options):
    placement = Placement(len(ids), 1, tuple(jax.devices()[:1]))
    return placement, CollectionTraining(
        tiny.make_training(),
        placement,
        members or tiny.members(ids, **options),
        feed(tiny, placement, pools, read),
    )


@pytest.fixture(scope="module")
def in_pools(tiny):
    return compile_pools(tiny, IDS)


@pytest.fixture(scope="module")
def reference(tiny, in_pools):
    return tiny.run(*in_pools, EPOCHS)


@pytest.mark.bits
def test_a_pool_as_large_as_the_data_gives_the_bits_of_training_in_memory(tiny):
    in_memory = tiny.train(IDS, EPOCHS)
    assert_equal(tiny.run(*compile_pools(tiny, IDS, Pools(10, 10)), EPOCHS), in_memory)


def naive_epochs(tiny, member, train_labels, seed=0):
    """Pools and batches of one member one after another in Python; the losses and the order."""
    network = tiny.network()
    inputs, _ = tiny.examples()
    hp = Hyperparameters(member.hyperparameters, num_steps=9, steps_per_epoch=3)
    rule = named_optimizer(Optimizer.MOMENTUM)(hp)
    variables = network.init(
        member_key(seed, Source.INITIALISATION, member.source_ids.order), inputs
    )
    optimizer = rule.init(variables.params)

    def loss_of(params, state, images, labels, key):
        with scaled_dropout(member.hyperparameters["dropout_scale"]):
            outputs, state = network.apply(Variables(params, state), images, key=key, train=True)
        return cross_entropy(outputs, labels).mean(), state

    gradient_of = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    losses, seen = [], []
    for epoch in range(EPOCHS):
        total, seen_now = 0.0, []
        order, dropout = (
            jax.random.fold_in(member_key(seed, stream, whose), epoch)
            for stream, whose in (
                (Source.ORDER, member.source_ids.order),
                (Source.DROPOUT, member.source_ids.dropout),
            )
        )
        for pool in range(POOLS.count):
            positions = POOLS.shuffled(seed, epoch, pool)
            place = jax.random.permutation(jax.random.fold_in(order, pool), len(positions))
            # One batch: pools are as large, and the last is a short one.
            rows = positions[np.asarray(place)]
            key = ops.fast_key(jax.random.fold_in(dropout, pool * 3))
            (loss, state), gradient = gradient_of(
                variables.params, variables.state, inputs[rows], train_labels[rows], key
            )
            updates, optimizer = rule.update(gradient, optimizer, variables.params)
            variables = Variables(optax.apply_updates(variables.params, updates), state)
            total += float(loss) * len(rows)
            seen_now += rows.tolist()
        losses.append(total / 10)
        seen.append(seen_now)
    return (variables, optimizer), losses, seen


@pytest.mark.parametrize("own_labels", [False, True])
def test_training_is_that_of_a_python_loop(tiny, reference, own_labels):
    _, labels = tiny.examples()
    members = tiny.members(IDS)
    if own_labels:
        train_labels = np.stack([np.roll(labels, shift) for shift in range(len(IDS))]).astype(
            np.int32
        )
        members = members._replace(train_labels=train_labels)
        reference = tiny.run(*compile_pools(tiny, IDS, members=members), EPOCHS)
    else:
        train_labels = np.stack([labels.astype(np.int32)] * len(IDS))
    for place in range(2):
        member = pick(members._replace(train_labels=None), place)
        state, losses, seen = naive_epochs(tiny, member, train_labels[place])
        assert_close(tuple(pick(reference.states[-1], place))[:2], state)
        np.testing.assert_allclose(np.array(reference.losses)[:, place], losses, rtol=1e-4)
        assert all(sorted(order) == list(range(10)) for order in seen)
        assert len(set(map(tuple, seen))) == EPOCHS


@pytest.mark.bits
def test_a_member_has_the_same_bits_alone(tiny, reference):
    alone = tiny.run(*compile_pools(tiny, [4]), EPOCHS)
    assert_equal(alone, pick(reference, [2]))


@pytest.mark.bits
def test_a_training_resumed_within_an_epoch_has_the_same_bits(tiny, in_pools, reference):
    placement, training = in_pools
    state, _ = training.train_pool(placement.spread(reference.states[1]), 1, 0, read_ahead=True)
    state, _ = training.train_pool(state, 1, 1)
    kept = placement.gather(state)
    _, again = compile_pools(tiny, IDS)
    state, _ = again.train_pool(placement.spread(kept), 1, 2)
    assert_equal(placement.gather(state), reference.states[2])


@pytest.mark.bits
def test_members_of_another_protocol_have_their_own_pools(tiny, in_pools):
    placement, training = in_pools
    other = tiny.members(IDS, seed=7)
    assert_equal(
        tiny.run(placement, training.of(other), 1),
        tiny.run(*compile_pools(tiny, IDS, members=other), 1),
    )


def test_no_epoch_compiles_anything(tiny, in_pools, counted_compilations):
    _, training = in_pools
    state = training.init()
    with counted_compilations() as compilations:
        for epoch in range(2):
            state, _ = training.epoch(state, epoch)
    assert compilations == []


class Silent:
    def epoch_done(self, epoch, losses):
        pass

    def extent_written(self, record):
        pass


def test_two_pools_at_most_are_in_memory_through_epochs_and_extents(tiny, monkeypatch):
    """Counted whenever a pool has been read and placed: the most there can be."""
    counts = []
    placed = PoolFeed._read

    def count(self, name, cancelled):
        pool = placed(self, name, cancelled)
        shape = pool.inputs.shape
        counts.append(sum(array.shape == shape for array in jax.live_arrays()))
        return pool

    monkeypatch.setattr(PoolFeed, "_read", count)
    # A size that nothing else has.
    inputs = np.zeros((70, 5), np.float32)
    placement = Placement(1, 1, tuple(jax.devices()[:1]))
    fed = PoolFeed(inputs, np.zeros(70, np.int32), Pools(70, 12), placement, max_threads=1)
    training = CollectionTraining(
        tiny.make_training(optimizer=Optimizer.SGD, num_examples=70),
        placement,
        tiny.members([0]),
        fed,
    )
    evaluated, told = [], []

    def evaluate(state):
        # No pool of the training is there while the sets are evaluated.
        evaluated.append(sum(array.shape == (12, 5) for array in jax.live_arrays()))
        return Evaluations({}, {})

    train_loop(
        training,
        training.init(),
        first_epoch=0,
        extents=[1, 3],
        evaluate=evaluate,
        to_host=placement.gather,
        write=lambda record: None,
        observer=Silent(),
        moved=told.append,
    )
    # Progress is told after every pool.
    np.testing.assert_allclose(told, np.arange(1, 3 * 6 + 1) / 6)
    assert len(counts) == 3 * 6
    # One where a pool is read only after the one before was trained on.
    assert max(counts) <= 2
    assert evaluated == [0, 0]


def test_the_next_pool_is_read_while_one_is_trained_on(tiny):
    """Reading waits for a training that is known to have begun."""
    inputs, _ = tiny.examples()
    begun = threading.Semaphore(1)

    def read(rows):
        assert begun.acquire(timeout=10)
        return inputs[rows]

    _, training = compile_pools(tiny, IDS, read=read)
    state = training.init()
    for pool in range(3):
        state, _ = training.train_pool(state, 0, pool, read_ahead=pool < 2)
        begun.release()


def test_subsets_and_different_seeds_are_refused(tiny):
    indices = np.zeros((3, 5), np.int32)
    with pytest.raises(ValueError, match=r"pool_images must be 0 .* their own subsets"):
        compile_pools(tiny, IDS, members=tiny.members(IDS)._replace(train_indices=indices))
    members = tiny.members(IDS)._replace(seed=np.array([0, 0, 1], np.uint32))
    with pytest.raises(ValueError, match=r"seed must be the same for all members .* got 0, 1"):
        compile_pools(tiny, IDS, members=members)

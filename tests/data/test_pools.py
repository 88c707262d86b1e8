import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_jax.data.pools import Pools, ReadAhead


@given(st.integers(1, 500), st.integers(1, 600), st.integers(1, 40))
def test_every_example_is_in_one_pool_of_every_epoch(num_examples, most, multiple):
    pools = Pools.of_at_most(num_examples, most, multiple)
    assert sum(pools.sizes) == num_examples
    assert len(pools.sizes) == pools.count
    # A last pool that is nearly empty would cost as much as a full one.
    assert pools.size * pools.count - num_examples < pools.count * multiple
    if pools.count == 1:
        assert pools.size == num_examples
    else:
        assert pools.size % multiple == 0
        assert pools.size < most + multiple
    for parts in (
        [pools.in_order(pool) for pool in range(pools.count)],
        [pools.shuffled(3, 1, pool) for pool in range(pools.count)],
    ):
        assert tuple(map(len, parts)) == pools.sizes
        assert sorted(np.concatenate(parts).tolist()) == list(range(num_examples))
        assert all((np.diff(part) > 0).all() for part in parts)


def test_epochs_and_seeds_divide_differently_and_always_the_same():
    pools = Pools.of_at_most(40, 10, 5)
    divisions = {
        (seed, epoch): tuple(tuple(pools.shuffled(seed, epoch, pool)) for pool in range(4))
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(set(divisions.values())) == 4
    assert divisions[0, 1] == tuple(tuple(pools.shuffled(0, 1, pool)) for pool in range(4))


def test_the_only_pool_is_the_set_in_its_own_order():
    for epoch in range(3):
        assert Pools.of_at_most(7, 7, 4).shuffled(0, epoch, 0).tolist() == list(range(7))


def test_two_examples_share_a_pool_as_often_as_chance_has_it():
    pools, epochs = Pools(6, 2), 3000
    together = sum(
        {0, 1} <= set(pools.shuffled(0, epoch, pool).tolist())
        for epoch in range(epochs)
        for pool in range(3)
    )
    # One of the five others is beside example 0; the std of the share is below 0.008.
    assert abs(together / epochs - 1 / 5) < 0.03


class Value:
    """Something that can be counted."""

    def __init__(self, key):
        self.key = key


def test_the_next_value_is_read_while_one_is_in_use_and_no_other():
    reading = [threading.Event() for _ in range(4)]
    alive = weakref.WeakSet()

    def read(key, cancelled):
        reading[key].set()
        value = Value(key)
        alive.add(value)
        return value

    ahead = ReadAhead(read)
    for key in range(4):
        value = ahead.take(key, key + 1 if key < 3 else None)
        assert value.key == key
        if key < 3:
            assert reading[key + 1].wait(timeout=10)
        assert key > 1 or not reading[key + 2].is_set()
        gc.collect()
        assert len(alive) <= 2
        del value
    gc.collect()
    assert not alive
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_what_is_not_expected_is_read_and_what_was_expected_given_up():
    told = []
    unwanted = threading.Event()

    def read(key, cancelled):
        while key == "expected" and not cancelled():
            assert not unwanted.wait(timeout=0.01)
        told.append(key)
        return key

    ahead = ReadAhead(read)
    assert ahead.take("first", "expected") == "first"
    assert ahead.take("other") == "other"
    assert told == ["first", "expected", "other"]
    ahead.drop()


def test_what_reading_ahead_raises_is_raised_when_it_is_taken():
    def read(key, cancelled):
        if key:
            raise OSError("the disk is gone")
        return key

    ahead = ReadAhead(read)
    assert ahead.take(0, 1) == 0
    with pytest.raises(OSError, match="the disk is gone"):
        ahead.take(1)
    assert ahead.take(0) == 0

from __future__ import annotations

import jax
import numpy as np
import pytest

from ensemble_jax.options import Source
from ensemble_jax.training.keys import SourceIds, independent_seeds, member_key

LARGE = [0, 1, 2**16, 2**31, 2**32 - 1]
# Of seed 7 and member 5: a run that is resumed after an update must go on with its own.
GOLDEN_INDEPENDENT = [3611831057]
GOLDEN = [
    (Source.INITIALISATION, (3728983260, 3940825189)),
    (Source.ORDER, (1260689740, 3470158378)),
    (Source.DROPOUT, (1707138131, 469344758)),
]


def data(seed, source, member):
    return tuple(jax.random.key_data(member_key(seed, source, member)).tolist())


def test_every_seed_source_and_member_has_a_key_of_its_own():
    sources = [Source(name) for name in SourceIds._fields]
    keys = {
        data(seed, source, member) for seed in range(3) for source in sources for member in range(9)
    }
    assert len(keys) == 3 * len(sources) * 9


def test_large_seeds_and_members():
    keys = {
        data(np.uint32(seed), Source.ORDER, np.uint32(member)) for seed in LARGE for member in LARGE
    }
    assert len(keys) == len(LARGE) ** 2


def test_a_key_is_the_same_traced():
    traced = jax.jit(lambda seed, member: member_key(seed, Source.DROPOUT, member))
    key = jax.random.key_data(traced(np.uint32(7), np.uint32(5)))
    assert tuple(key.tolist()) == data(7, Source.DROPOUT, 5)


@pytest.mark.parametrize(("source", "golden"), GOLDEN)
def test_golden_keys(source, golden):
    assert data(7, source, 5) == golden


def test_independent_seeds_depend_on_seed_and_extent_alone():
    seeds = np.array([0, 1, 0, 2**32 - 1], np.uint32)
    by_extent = {extent: independent_seeds(seeds, extent) for extent in (0, 1, 140)}
    for extent, own in by_extent.items():
        assert own.dtype == np.uint32
        assert own[0] == own[2] == independent_seeds(seeds[:1], extent)[0]
    assert len({int(seed) for own in by_extent.values() for seed in own}) == 9
    assert independent_seeds(np.array([7], np.uint32), 10).tolist() == GOLDEN_INDEPENDENT

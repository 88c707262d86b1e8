from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_jax.data.subsets import (
    fold_indices,
    noisy_labels,
    partition_indices,
    subset_indices,
)

GOLDEN_PARTS = [[0, 3, 4], [1, 2, 5]]
GOLDEN_SUBSET = [0, 1, 3, 6]
GOLDEN_LABELS = [0, 0, 1, 2, 2, 0, 1, 2]


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.data())
def test_folds_hold_out_every_example(seed, num_examples, data):
    num_folds = data.draw(st.integers(2, num_examples))
    rests = [fold_indices(seed, 1, k, num_examples, num_folds) for k in range(num_folds)]
    held_out = [set(range(num_examples)) - set(rest.tolist()) for rest in rests]
    assert {len(fold) for fold in held_out} == {-(-num_examples // num_folds)}
    assert set().union(*held_out) == set(range(num_examples))
    assert all((np.diff(rest) > 0).all() for rest in rests)


@given(st.integers(0, 2**32 - 1), st.data())
def test_parts_are_apart_and_of_one_size(seed, data):
    num_examples = data.draw(st.integers(1, 50))
    num_parts = data.draw(st.integers(1, num_examples))
    parts = partition_indices(seed, num_examples, num_parts)
    assert len(parts) == num_parts
    assert {len(part) for part in parts} == {num_examples // num_parts}
    together = np.concatenate(parts)
    assert len(set(together.tolist())) == len(together)
    assert set(together.tolist()) <= set(range(num_examples))
    assert all((np.diff(part) > 0).all() for part in parts)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1), st.integers(1, 50), st.floats(0.01, 1))
def test_a_subset_has_the_size_asked_for(seed, member, num_examples, fraction):
    subset = subset_indices(seed, member, num_examples, fraction)
    assert len(subset) == max(1, round(fraction * num_examples))
    assert (np.diff(subset) > 0).all()
    assert subset[0] >= 0
    assert subset[-1] < num_examples


def test_members_and_seeds_have_subsets_of_their_own():
    subsets = {
        tuple(subset_indices(seed, member, 100, 0.5)) for seed in range(3) for member in range(5)
    }
    assert len(subsets) == 15


def test_every_example_is_as_likely_in_a_subset():
    counts = sum(
        np.bincount(subset_indices(0, member, 40, 0.25), minlength=40) for member in range(2000)
    )
    # 500 expected, with a std of 19.
    assert counts.min() > 420
    assert counts.max() < 580


def test_golden_indices():
    """A run that is resumed or grown after an update must find the same sets."""
    assert [part.tolist() for part in partition_indices(7, 6, 2)] == GOLDEN_PARTS
    assert subset_indices(7, 5, 10, 0.4).tolist() == GOLDEN_SUBSET
    labels = np.zeros(8, np.int32)
    assert noisy_labels(7, 5, labels, 3, 1.0).tolist() == GOLDEN_LABELS


def test_noise_replaces_as_many_labels_as_its_rate_says():
    labels = np.arange(100_000, dtype=np.int32) % 5
    for rate in (0.0, 0.3, 1.0):
        wrong = (noisy_labels(1, 2, labels, 5, rate) != labels).mean()
        assert wrong == pytest.approx(rate * 4 / 5, abs=0.01)
    assert np.bincount(noisy_labels(1, 2, labels, 5, 1.0)).min() > 19_000


def test_more_noise_replaces_the_same_labels_and_more():
    labels = np.full(1000, 4, np.int32)
    little, much = (noisy_labels(0, 0, labels, 5, rate) for rate in (0.2, 0.6))
    replaced = little != labels
    np.testing.assert_array_equal(little[replaced], much[replaced])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: partition_indices(0, 5, 6), ["partitions must lie in 1..5", "got 6"]),
        (lambda: partition_indices(0, 5, 0), ["partitions", "got 0"]),
        (lambda: fold_indices(0, 0, 0, 5, 6), ["folds must lie in 2..5", "got 6"]),
        (lambda: fold_indices(0, 0, 0, 5, 1), ["folds", "got 1"]),
        (lambda: subset_indices(0, 0, 5, 0.0), ["subset_fraction must lie in (0, 1]", "got 0.0"]),
        (lambda: subset_indices(0, 0, 5, 1.5), ["subset_fraction", "got 1.5"]),
        (lambda: noisy_labels(0, 0, np.zeros(3, int), 2, -0.1), ["noise", "[0, 1]", "got -0.1"]),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    assert all(word in str(error.value) for word in words)

"""Members: who they are, what they are given, and what cannot be meant."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble_jax.data import Dataset, Split
from ensemble_jax.membership import concatenate, members, on_dataset


def make_split(size):
    labels = np.arange(size, dtype=np.int32) % 3
    return Split(np.zeros((size, 4), np.float32), labels, np.arange(size))


DATASET = Dataset("toy", make_split(10), make_split(4), ("a", "b", "c"))


def given(made, batch_size=2):
    return on_dataset(made, DATASET, batch_size)


def test_members_are_named_by_their_numbers():
    made = members(range(3, 5), seed=9, learning_rate=0.5)
    assert list(made.ids) == [3, 4]
    arrays, training_sets, remarks = given(made)
    assert all(stream.tolist() == [3, 4] for stream in arrays.source_ids)
    assert arrays.seed.tolist() == [9, 9]
    assert arrays.train_indices is arrays.train_labels is training_sets is None
    assert made.recorded_values == {"learning_rate": [0.5, 0.5], "seed": [9, 9]}
    assert remarks == ()


def test_a_hyperparameter_is_one_number_or_one_for_each():
    made = members(3, learning_rate=[0.5, 0.25, 0.125], momentum=0.5, decay_epochs=20)
    assert {name: x.dtype.name for name, x in made.hyperparameters.items()} == {
        "learning_rate": "float32",
        "momentum": "float32",
        "decay_epochs": "int32",
    }
    assert made.recorded_values["learning_rate"] == [0.5, 0.25, 0.125]
    assert made.recorded_values["decay_epochs"] == [20] * 3


def test_some_of_the_members_stay_what_they_are():
    all_of = members(6, learning_rate=np.arange(1, 7) / 8, label_noise=[0.0] * 5 + [0.5])
    some = all_of.of_ids(range(4, 6))
    assert len(some) == 2
    assert some.recorded_values == {"learning_rate": [0.625, 0.75], "seed": [0, 0]}
    assert some.label_noise == [0.0, 0.5]
    with pytest.raises(ValueError, match=r"members must be of 0\.\.5, got range\(4, 7\)"):
        all_of.of_ids(range(4, 7))


def test_several_settings_have_the_same_members():
    made = concatenate([members(3, learning_rate=0.5), members(3, seed=5, learning_rate=0.25)])
    assert list(made.ids) == [0, 1, 2, 3, 4, 5]
    assert given(made).members.source_ids.order.tolist() == [0, 1, 2] * 2
    assert made.recorded_values == {
        "setting": [0, 0, 0, 1, 1, 1],
        "number": [0, 1, 2] * 2,
        "learning_rate": [0.5] * 3 + [0.25] * 3,
        "seed": [0, 0, 0, 5, 5, 5],
    }


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (members(2, subset_fraction=0.5, a=1), "subset_fraction must be the same for all members"),
        (members(2, b=1), "must have the same hyperparameters"),
    ],
)
def test_what_one_collection_cannot_have(other, told):
    with pytest.raises(ValueError, match=told):
        concatenate([members(2, a=1), other])


def test_what_is_tied_is_shared():
    streams = given(members(4, tied=("order", "dropout"))).members.source_ids
    assert streams.initialisation.tolist() == [0, 1, 2, 3]
    assert streams.order.tolist() == streams.dropout.tolist() == [0, 0, 0, 0]


def test_parts_are_dealt_in_turn_and_the_remainder_is_told():
    made = members(4, partitions=3)
    assert made.recorded_values["part"] == [0, 1, 2, 0]
    arrays, training_sets, remarks = given(made)
    assert arrays.train_indices.shape == (4, 3)
    on = training_sets.train_mask
    assert sorted(on[:3].sum(axis=0).tolist()) == [0] + [1] * 9
    np.testing.assert_array_equal(on[0], on[3])
    for row, indices in zip(on, arrays.train_indices, strict=True):
        assert set(np.flatnonzero(row)) == set(indices.tolist())
    assert training_sets.train_labels is None
    assert remarks == (
        "partitions: 10 training examples do not divide into 3 parts of one size, so 1 of them, "
        "drawn at random, are in none",
    )
    assert given(members(4, partitions=5)).remarks == ()


def test_every_turn_of_folds_holds_out_every_example():
    made = members(6, folds=3)
    assert made.recorded_values["fold"] == [0, 1, 2, 0, 1, 2]
    arrays, training_sets, remarks = given(made)
    assert arrays.train_indices.shape == (6, 10 - 4)
    assert remarks == ()
    held_out = ~training_sets.train_mask
    for turn in (held_out[:3], held_out[3:]):
        assert sorted(turn.sum(axis=0).tolist()) == [1] * 8 + [2] * 2
    assert (held_out[:3] != held_out[3:]).any()
    alone = given(members(range(4, 5), folds=3)).training_sets.train_mask
    np.testing.assert_array_equal(alone[0], ~held_out[4])
    tied = given(members(6, folds=3, tied=("subset",))).training_sets.train_mask
    np.testing.assert_array_equal(tied[:3], tied[3:])


@pytest.mark.parametrize(("tied", "different"), [((), 4), (("subset",), 1)])
def test_members_draw_subsets(tied, different):
    arrays, training_sets, _ = given(members(4, subset_fraction=0.5, tied=tied))
    assert arrays.train_indices.shape == (4, 5)
    assert len({tuple(row) for row in training_sets.train_mask.tolist()}) == different
    assert (training_sets.train_mask.sum(axis=1) == 5).all()


def test_a_member_has_the_same_subset_whoever_is_beside_it():
    many, one = (given(members(i, subset_fraction=0.5)).members for i in (4, range(2, 3)))
    np.testing.assert_array_equal(one.train_indices[0], many.train_indices[2])


@pytest.mark.parametrize(("tied", "different"), [((), 4), (("labels",), 1)])
def test_members_are_taught_noisy_labels(tied, different):
    arrays, training_sets, _ = given(members(4, label_noise=1.0, tied=tied))
    labels = arrays.train_labels
    assert labels.shape == (4, 10)
    assert len({tuple(row) for row in labels.tolist()}) == different
    np.testing.assert_array_equal(training_sets.train_labels, labels)
    assert training_sets.train_mask.all()


@pytest.mark.parametrize("shares", [{"subset_fraction": 0.1}, {"partitions": 6}])
def test_a_batch_must_fit_into_what_a_member_has(shares):
    with pytest.raises(ValueError, match=r"batch_size must lie in 1\.\.1 .* got 2"):
        given(members(4, **shares))


@pytest.mark.parametrize(
    ("ids", "options", "told"),
    [
        (0, {}, "members must be a number of at least 1, or a range of ids"),
        ("5", {}, "or a range of ids in .* got '5'"),
        ([1, 2], {}, "or a range of ids"),
        (range(0, 6, 2), {}, "or a range of ids"),
        (2, {"seed": -1}, r"seed must lie in 0\.\.4294967295, got -1"),
        (2, {"seed": [1, 2, 3]}, "seed must be one number or one for each of the 2 members"),
        (2, {"tied": ("weights",)}, "tied must be of initialisation, .* got 'weights'"),
        (2, {"partitions": -1}, "partitions must be at least 0, got -1"),
        (2, {"subset_fraction": 0.0}, r"subset_fraction must lie in \(0, 1\], got 0.0"),
        (2, {"folds": 1}, "folds must be 0 or at least 2, got 1"),
        (2, {"partitions": 2, "subset_fraction": 0.5}, "only one of partitions, folds .* 2, 0 and"),
        (2, {"folds": 2, "partitions": 3}, "only one of partitions, folds .* 3, 2 and 1"),
        (2, {"label_noise": 1.5}, r"label_noise must lie in \[0, 1\], got 1.5"),
        (2, {"learning_rate": "0.1"}, "learning_rate must be a number or one for each"),
        (2, {"learning_rate": True}, "learning_rate must be a number or one for each"),
        (2, {"learning_rate": float("nan")}, "learning_rate must be finite, got nan"),
        (2, {"learning_rate": [1.0, float("inf")]}, "learning_rate must be finite, got inf"),
        (2, {"learning_rate": 1e-46}, "learning_rate must be numbers that float32 has, got 1e-46"),
        (2, {"learning_rate": 1e39}, r"numbers that float32 has, got 1e\+39"),
        (2, {"decay_epochs": 2**31}, "decay_epochs must be numbers that int32 has"),
        (2, {"num_steps": 5}, "must not be called num_steps"),
    ],
)
def test_mistakes(ids, options, told):
    with pytest.raises(ValueError, match=told):
        members(ids, **options)

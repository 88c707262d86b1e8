"""What each member of a job is given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ensemble_jax.roster import make_roster

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.data import Dataset, Split


def make_split(size):
    labels = np.arange(size, dtype=np.int32) % 3
    return Split(np.zeros((size, 4), np.float32), labels, np.arange(size))


DATASET = Dataset("toy", make_split(10), make_split(4), ("a", "b", "c"))
CONFIG = TrainConfig(num_members=4, batch_size=2, learning_rate=0.5)


def roster(*changes, **shared):
    configs = [dataclasses.replace(CONFIG, **{**shared, **change}) for change in changes or [{}]]
    return make_roster(configs, DATASET)


def test_members_are_named_by_their_numbers():
    made = roster(members="3:5", seed=9)
    assert list(made.ids) == [3, 4]
    assert all(stream.tolist() == [3, 4] for stream in made.members.streams)
    assert made.members.seed.tolist() == [9, 9]
    assert made.members.subset is made.members.labels is made.training_sets is None
    assert made.settings["learning_rate"] == [0.5, 0.5]
    assert made.settings["seed"] == [9, 9]
    assert made.remarks == ()


def test_several_settings_have_the_same_members():
    made = roster({"learning_rate": 0.1}, {"learning_rate": 0.2, "seed": 5}, num_members=3)
    assert list(made.ids) == [0, 1, 2, 3, 4, 5]
    assert made.members.streams.order.tolist() == [0, 1, 2] * 2
    assert made.settings["number"] == [0, 1, 2] * 2
    assert made.settings["setting"] == [0, 0, 0, 1, 1, 1]
    assert made.members.seed.tolist() == [0, 0, 0, 5, 5, 5]
    np.testing.assert_array_equal(
        made.members.settings.learning_rate, np.float32([0.1] * 3 + [0.2] * 3)
    )


def test_what_is_tied_is_shared():
    streams = roster(tied=("order", "dropout")).members.streams
    assert streams.initialisation.tolist() == [0, 1, 2, 3]
    assert streams.order.tolist() == streams.dropout.tolist() == [0, 0, 0, 0]


def test_parts_are_dealt_in_turn_and_the_remainder_is_told():
    made = roster(partitions=3)
    assert made.settings["part"] == [0, 1, 2, 0]
    assert made.members.subset.size.tolist() == [4, 3, 3, 4]
    on = made.training_sets.trained_on
    assert on[:3].sum(axis=0).tolist() == [1] * 10
    np.testing.assert_array_equal(on[0], on[3])
    for row, indices, size in zip(on, *made.members.subset, strict=True):
        assert set(np.flatnonzero(row)) == set(indices[:size].tolist())
    assert made.training_sets.taught_labels is None
    assert made.remarks == (
        "partitions: 10 training examples do not divide into 3 parts, so 1 have 4 and 2 have 3",
    )
    assert roster(partitions=5).remarks == ()


@pytest.mark.parametrize(("tied", "different"), [((), 4), (("subset",), 1)])
def test_members_draw_subsets(tied, different):
    made = roster(subset_fraction=0.5, tied=tied)
    assert made.members.subset.indices.shape == (4, 5)
    assert len({tuple(row) for row in made.training_sets.trained_on.tolist()}) == different
    assert (made.training_sets.trained_on.sum(axis=1) == 5).all()


def test_a_member_has_the_same_subset_whoever_is_beside_it():
    many = roster(subset_fraction=0.5)
    one = roster(subset_fraction=0.5, members="2:3")
    np.testing.assert_array_equal(one.members.subset.indices[0], many.members.subset.indices[2])
    settings = roster({"subset_fraction": 0.5}, {"subset_fraction": 1.0})
    np.testing.assert_array_equal(
        settings.members.subset.indices[2, :5], many.members.subset.indices[2]
    )
    assert settings.members.subset.size.tolist() == [5] * 4 + [10] * 4


@pytest.mark.parametrize(("tied", "different"), [((), 4), (("labels",), 1)])
def test_members_are_taught_noisy_labels(tied, different):
    made = roster(member_label_noise=1.0, tied=tied)
    labels = made.members.labels
    assert labels.shape == (4, 10)
    assert len({tuple(row) for row in labels.tolist()}) == different
    np.testing.assert_array_equal(made.training_sets.taught_labels, labels)
    assert made.training_sets.trained_on.all()


@pytest.mark.parametrize("changes", [{"subset_fraction": 0.1}, {"partitions": 6, "members": "0:6"}])
def test_a_batch_must_fit_into_the_smallest_subset(changes):
    with pytest.raises(ValueError, match=r"batch_size must lie in 1\.\.1 .* got 2"):
        roster(**changes)

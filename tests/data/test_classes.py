import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_jax.data import Dataset, Split, select_classes

NAMES = ("cat", "cow", "dog", "owl")


def dataset_of(train_labels, test_labels, class_names=NAMES):
    def split(labels, start):
        inputs = np.arange(len(labels) * 2, dtype=np.uint8).reshape(-1, 2) + start
        ids = np.array([f"id_{start + row}" for row in range(len(labels))])
        return Split(inputs, np.array(labels, np.int32), ids)

    return Dataset("farm", split(train_labels, 0), split(test_labels, 100), class_names)


def test_a_table_by_hand():
    selected = select_classes(dataset_of([3, 1, 0, 3, 2, 2], [0, 2, 3]), ["owl", "dog"])
    assert selected.name == "farm"
    assert selected.class_names == ("owl", "dog")
    assert selected.train.labels.tolist() == [0, 0, 1, 1]
    assert selected.train.labels.dtype == np.int32
    assert selected.train.ids.tolist() == ["id_0", "id_3", "id_4", "id_5"]
    assert selected.train.inputs.tolist() == [[0, 1], [6, 7], [8, 9], [10, 11]]
    assert selected.test.labels.tolist() == [1, 0]
    assert selected.test.ids.tolist() == ["id_101", "id_102"]


@given(
    st.lists(st.integers(0, 3), max_size=9),
    st.lists(st.sampled_from(NAMES), min_size=2, unique=True),
)
def test_each_example_keeps_the_name_of_its_class(labels, class_names):
    dataset = dataset_of(labels, labels)
    selected = select_classes(dataset, class_names)
    for split_name, split in selected.splits.items():
        whole = dataset.splits[split_name]
        expected = [
            (id_, NAMES[label])
            for id_, label in zip(whole.ids.tolist(), whole.labels, strict=True)
            if NAMES[label] in class_names
        ]
        actual = [class_names[label] for label in split.labels]
        assert list(zip(split.ids.tolist(), actual, strict=True)) == expected


def test_all_classes_in_their_order_are_the_set_itself():
    dataset = dataset_of([3, 1, 0, 3, 2, 2], [0, 2, 3])
    selected = select_classes(dataset, NAMES)
    np.testing.assert_array_equal(selected.train.labels, dataset.train.labels)
    np.testing.assert_array_equal(selected.train.inputs, dataset.train.inputs)


@pytest.mark.parametrize(
    ("class_names", "problem"),
    [
        ([], "classes of farm must be at least two, got None"),
        (["cat"], "classes of farm must be at least two, got cat"),
        (["cat", "dog", "cat"], "classes of farm must all differ, got cat twice"),
        (
            ["cat", "dgo"],
            "classes of farm must be among cat, cow, dog, owl; got 'dgo', is 'dog' meant?",
        ),
        (["cat", "Zebra"], "must be among cat, cow, dog, owl; got 'Zebra'"),
    ],
)
def test_wrong_classes(class_names, problem):
    with pytest.raises(ValueError, match=f"{re.escape(problem)}$"):
        select_classes(dataset_of([0, 1, 2, 3], [0]), class_names)


def test_a_name_of_two_classes_is_refused():
    with pytest.raises(ValueError, match="farm has several classes of the name cat"):
        select_classes(dataset_of([0], [1], ("cat", "cow", "cat")), ["cow", "cat"])


def test_many_classes_are_not_all_told():
    many = tuple(f"class {number}" for number in range(1000))
    with pytest.raises(ValueError, match=r"class 19 and 980 more; got 'x'$"):
        select_classes(dataset_of([0], [1], many), ["class 3", "x"])


def test_a_true_label_of_another_class_becomes_minus_1():
    farm = dataset_of([0, 1, 2, 3, 1], [0, 1])
    true_labels = np.array([1, 1, 1, 3, 2], np.int32)
    farm = replace(farm, train=replace(farm.train, true_labels=true_labels))
    selected = select_classes(farm, ["dog", "cow"])
    assert selected.train.labels.tolist() == [1, 0, 1]
    assert selected.train.true_labels.tolist() == [1, 1, 0]
    selected = select_classes(farm, ["cat", "dog"])
    assert selected.train.true_labels.tolist() == [-1, -1]
    # And stays -1 when classes are selected once more.
    assert select_classes(selected, ["dog", "cat"]).train.true_labels.tolist() == [-1, -1]

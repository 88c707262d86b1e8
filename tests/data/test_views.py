"""What views change, what they leave, and that they draw as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_jax.data import (
    Dataset,
    Probe,
    Split,
    keep_train_fraction,
    load_dataset,
    with_label_noise,
    with_random_labels,
)

VIEWS = {
    "random_labels": with_random_labels,
    "label_noise": lambda dataset, seed: with_label_noise(dataset, 0.4, seed),
    "train_fraction": lambda dataset, seed: keep_train_fraction(dataset, 0.4, seed),
}


def make_set(num_train=60, num_test=20, num_classes=3):
    splits = {}
    for name, size in {"train": num_train, "test": num_test}.items():
        labels = np.arange(size, dtype=np.int32) % num_classes
        inputs = np.arange(size, dtype=np.float32)[:, None]
        splits[name] = Split(inputs, labels, np.array([f"{name}-{i}" for i in range(size)]))
    probes = {"noise": Probe(np.zeros((2, 1), np.float32), np.arange(2))}
    names = tuple(f"class {k}" for k in range(num_classes))
    return Dataset("toy", **splits, class_names=names, probes=probes)


def assert_same_split(one, two):
    for name in ("inputs", "labels", "ids"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_every_view_follows_from_the_seed_and_touches_nothing_else(view):
    dataset, original = make_set(), make_set()
    one, again, other = view(dataset, 3), view(make_set(), 3), view(dataset, 4)
    for split in ("train", "test"):
        assert_same_split(one.splits[split], again.splits[split])
        # The set itself is left as it was.
        assert_same_split(dataset.splits[split], original.splits[split])
        assert one.splits[split].labels.dtype == np.int32
    assert not np.array_equal(one.train.labels, other.train.labels) or not np.array_equal(
        one.train.ids, other.train.ids
    )
    assert one.class_names == dataset.class_names
    assert one.probes is dataset.probes
    assert one.name != dataset.name
    assert one.name == other.name


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views_keep_an_example_with_its_id(view):
    one = view(make_set(), 0)
    for name, split in one.splits.items():
        assert split.ids.tolist() == [f"{name}-{i:.0f}" for i in split.inputs[:, 0]]


def test_random_labels_are_uniform_and_independent_of_the_true_ones():
    dataset = make_set(30_000, 9_000)
    random = with_random_labels(dataset, seed=1)
    for name, split in random.splits.items():
        true = dataset.splits[name].labels
        # counts[i, j]: how many examples of class i have the label j; nine equal expectations.
        counts = np.array(
            [[((true == i) & (split.labels == j)).sum() for j in range(3)] for i in range(3)]
        )
        expected = len(split) / 9
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert statistic < 27.9  # chi-squared with 8 degrees of freedom: 0.0005
        np.testing.assert_array_equal(split.inputs, dataset.splits[name].inputs)
    # Train and test draw apart.
    assert not np.array_equal(random.train.labels[:9_000], random.test.labels)


def test_random_labels_do_not_depend_on_the_true_ones():
    dataset = make_set()
    turned = Split(dataset.train.inputs, 2 - dataset.train.labels, dataset.train.ids)
    other = Dataset("turned", turned, dataset.test, dataset.class_names)
    np.testing.assert_array_equal(
        with_random_labels(dataset, 0).train.labels, with_random_labels(other, 0).train.labels
    )


def test_one_class_has_one_random_label():
    assert set(with_random_labels(make_set(num_classes=1), 0).train.labels) == {0}


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 200), st.integers(2, 12), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_as_many_labels_are_wrong_as_the_rate_says(size, num_classes, rate, seed):
    dataset = make_set(size, 5, num_classes)
    noisy = with_label_noise(dataset, rate, seed)
    wrong = noisy.train.labels != dataset.train.labels
    assert wrong.sum() == round(rate * size)
    assert set(noisy.train.labels) <= set(range(num_classes))
    assert_same_split(noisy.test, dataset.test)
    np.testing.assert_array_equal(noisy.train.ids, dataset.train.ids)
    # More noise is the same and more.
    more = with_label_noise(dataset, (1 + rate) / 2, seed)
    np.testing.assert_array_equal(more.train.labels[wrong], noisy.train.labels[wrong])


def test_wrong_labels_are_uniform_over_the_other_classes():
    dataset = make_set(40_000, 5, num_classes=4)
    noisy = with_label_noise(dataset, 0.75, seed=0).train.labels
    true = dataset.train.labels
    counts = np.array([[((true == i) & (noisy == j)).sum() for j in range(4)] for i in range(4)])
    others = counts[~np.eye(4, dtype=bool)]
    assert others.sum() == 30_000
    assert ((others - 2500) ** 2 / 2500).sum() < 33.1  # chi-squared with 11 degrees: 0.0005


def test_label_noise_at_its_ends():
    dataset = make_set()
    assert_same_split(with_label_noise(dataset, 0, 0).train, dataset.train)
    assert (with_label_noise(dataset, 1, 0).train.labels != dataset.train.labels).all()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.floats(0, 1, exclude_min=True),
    st.integers(0, 2**32 - 1),
)
def test_a_fraction_of_each_class_is_kept(labels, fraction, seed):
    train = Split(np.zeros((len(labels), 1)), np.array(labels, np.int32), np.arange(len(labels)))
    dataset = Dataset("toy", train, train, ("a", "b", "c", "d"))
    part = keep_train_fraction(dataset, fraction, seed)
    for label in set(labels):
        kept = (part.train.labels == label).sum()
        assert kept == max(1, round(fraction * labels.count(label)))
    assert (np.diff(part.train.ids) > 0).all()
    np.testing.assert_array_equal(part.train.labels, train.labels[part.train.ids])
    assert part.test is dataset.test
    larger = keep_train_fraction(dataset, (1 + fraction) / 2, seed)
    assert set(part.train.ids) <= set(larger.train.ids)


def test_every_example_is_as_likely_to_be_kept():
    dataset = make_set(30, 5)
    kept = np.zeros(30)
    for seed in range(400):
        kept[keep_train_fraction(dataset, 0.5, seed).train.inputs[:, 0].astype(int)] += 1
    assert kept.sum() == 400 * 15
    assert np.abs(kept - 200).max() < 45  # 4.5 standard deviations


def test_all_of_it():
    dataset = make_set()
    assert_same_split(keep_train_fraction(dataset, 1, 0).train, dataset.train)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(ValueError, match=r"label_noise must lie in \[0, 1\], got"):
        with_label_noise(make_set(), rate, 0)


@pytest.mark.parametrize("fraction", [-0.1, 0, 1.1, float("nan")])
def test_fractions_out_of_range_are_refused(fraction):
    with pytest.raises(ValueError, match=r"train_fraction must lie in \(0, 1\], got"):
        keep_train_fraction(make_set(), fraction, 0)


def test_one_class_has_no_wrong_labels():
    with pytest.raises(ValueError, match="label_noise needs at least two classes, toy has one"):
        with_label_noise(make_set(num_classes=1), 0.5, 0)


def test_views_of_real_images(real_data):
    mammals = load_dataset("small_mammals", data_dir=real_data / "tensorflow_datasets")
    part = keep_train_fraction(mammals, 0.1, 0)
    np.testing.assert_array_equal(np.bincount(part.train.labels), [50] * 5)
    random = with_random_labels(mammals, 0)
    for name, split in random.splits.items():
        same = (split.labels == mammals.splits[name].labels).mean()
        assert abs(same - 1 / 5) < 4 * np.sqrt(0.2 * 0.8 / len(split))


def test_labels_that_are_replaced_stay_as_the_true_ones():
    noisy = with_label_noise(make_set(), 0.5, 0)
    np.testing.assert_array_equal(noisy.train.true_labels, make_set().train.labels)
    assert (noisy.train.labels != noisy.train.true_labels).sum() == 30
    assert noisy.test.true_labels is None
    # The labels before the first of several views are the true ones.
    random = with_random_labels(noisy, 1)
    np.testing.assert_array_equal(random.train.true_labels, make_set().train.labels)
    np.testing.assert_array_equal(random.test.true_labels, make_set().test.labels)


def test_true_labels_follow_the_examples_that_are_kept():
    part = keep_train_fraction(with_label_noise(make_set(), 0.5, 0), 0.4, 1)
    expected = make_set().train.labels[part.train.inputs[:, 0].astype(int)]
    np.testing.assert_array_equal(part.train.true_labels, expected)

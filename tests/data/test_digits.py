import hashlib
import sys

import numpy as np
import pytest
import sklearn.datasets

from ensemble_jax.data import load_dataset


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def test_shapes_and_types(digits):
    assert digits.name == "digits"
    assert digits.class_names == tuple("0123456789")
    assert digits.train.inputs.shape == (1438, 8, 8, 1)
    assert digits.test.inputs.shape == (359, 8, 8, 1)
    for split in digits.splits.values():
        assert split.inputs.dtype == np.uint8
        assert split.labels.dtype == np.int32
        assert split.ids.dtype == np.int64


def test_ids_are_positions_in_the_source(digits):
    source = sklearn.datasets.load_digits()
    for split in digits.splits.values():
        np.testing.assert_array_equal(split.inputs[..., 0], 15 * source.images[split.ids])
        np.testing.assert_array_equal(split.labels, source.target[split.ids])


def test_each_example_is_in_one_split(digits):
    ids = np.concatenate([digits.train.ids, digits.test.ids])
    np.testing.assert_array_equal(np.sort(ids), np.arange(1797))


def test_each_class_gives_a_fifth_to_the_test_split(digits):
    totals = np.bincount(np.concatenate([digits.train.labels, digits.test.labels]))
    np.testing.assert_array_equal(np.bincount(digits.test.labels), np.round(totals / 5))


def test_order_is_shuffled_and_fixed_for_ever(digits):
    ids = np.concatenate([digits.train.ids, digits.test.ids]).astype("<i8")
    assert digits.train.ids[:5].tolist() == [1644, 385, 307, 1074, 192]
    assert hashlib.sha256(ids.tobytes()).hexdigest() == (
        "5fcb5070a65da3d0752c4a13ee291c0336d0fa7c5daee9d57430a57236cf4ec3"
    )


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-learn"):
        load_dataset("digits")

import re

import numpy as np
import pytest

from ensemble_jax.data import Dataset, load_dataset


def valid_arrays():
    generator = np.random.default_rng(0)
    return {
        "train_inputs": generator.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8),
        "train_labels": np.array([0, 1, 2, 0, 1, 2]),
        "test_inputs": generator.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8),
        "test_labels": np.array([2, 1, 0], np.uint8),
    }


@pytest.fixture
def load(tmp_path):
    """Writes arrays, the valid ones changed as told (None removes one), and loads them."""

    def write_and_load(**changes):
        arrays = valid_arrays() | changes
        path = tmp_path / "own.npz"
        np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
        return load_dataset(f"npz:{path}")

    return write_and_load


def test_required_arrays_are_enough(load, tmp_path):
    dataset = load()
    expected = valid_arrays()
    assert dataset.name == f"npz:{tmp_path / 'own.npz'}"
    assert dataset.class_names == ("0", "1", "2")
    for name, split in dataset.splits.items():
        np.testing.assert_array_equal(split.inputs, expected[f"{name}_inputs"])
        np.testing.assert_array_equal(split.labels, expected[f"{name}_labels"])
        np.testing.assert_array_equal(split.ids, np.arange(len(split)))
        assert split.inputs.dtype == np.uint8
        assert split.labels.dtype == np.int32
        assert split.ids.dtype == np.int64


def test_images_is_another_name_for_inputs(load):
    arrays = valid_arrays()
    images = {f"{split}_images": arrays[f"{split}_inputs"] for split in ("train", "test")}
    dataset = load(**images, train_inputs=None, test_inputs=None)
    np.testing.assert_array_equal(dataset.test.inputs, arrays["test_inputs"])


def test_class_names_and_ids(load):
    arguments = {
        "class_names": np.array(["cat", "dog", "owl", "never seen"]),
        "train_ids": np.array(["f", "e", "d", "c", "b", "a"]),
        "test_ids": np.array([30, 10, 20], np.uint16),
    }
    with pytest.warns(UserWarning, match="1 of 4 classes have no train examples: never seen$"):
        dataset = load(**arguments)
    assert dataset.class_names == ("cat", "dog", "owl", "never seen")
    assert dataset.train.ids.tolist() == ["f", "e", "d", "c", "b", "a"]
    assert dataset.test.ids.tolist() == [30, 10, 20]
    assert dataset.test.ids.dtype == np.int64


@pytest.mark.parametrize(
    ("shape", "loaded_shape"),
    [((), None), ((7,), (7,)), ((4, 5), (4, 5, 1)), ((2, 3, 4, 5), (2, 3, 4, 5))],
)
def test_other_shapes(load, shape, loaded_shape):
    inputs = {f"{split}_inputs": distinct(m, *shape) for split, m in SIZES.items()}
    if loaded_shape is None:
        with pytest.raises(
            ValueError, match=r"must be a non-empty \[M, ...\], got the shape \(6,\)"
        ):
            load(**inputs)
    else:
        assert load(**inputs).input_shape == loaded_shape


SIZES = {"train": 6, "test": 3}


def distinct(*shape):
    """Values that no other number of examples has, up to 255."""
    return (np.arange(np.prod(shape)).reshape(shape) * shape[0] % 251).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", ">f8"])
def test_floats_become_float32(load, dtype):
    values = np.linspace(-1.3, 2.7, 6 * 7).reshape(6, 7).astype(dtype)
    dataset = load(train_inputs=values, test_inputs=-values[:3])
    assert dataset.train.inputs.dtype == np.float32
    assert dataset.train.inputs.dtype.isnative
    np.testing.assert_array_equal(dataset.train.inputs, values.astype(np.float32))


def test_home_is_expanded(load, monkeypatch, tmp_path):
    load()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_dataset("npz:~/own.npz").train) == 6


def with_value(array, index, value):
    changed = array.copy()
    changed[index] = value
    return changed


FLOATS = np.zeros((6, 7), np.float32)
LABELS = valid_arrays()["train_labels"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"train_inputs": None},
            "lacks the array train_inputs or train_images; it holds train_lab",
        ),
        ({"test_labels": None}, "lacks the array test_labels; it holds train_inputs, train_labels"),
        ({"train_images": FLOATS}, "must hold only one of the arrays train_inputs or train_images"),
        ({"train_inputs": np.zeros((0, 7), np.uint8)}, "train inputs must be a non-empty"),
        ({"test_inputs": np.zeros((3, 0, 5, 3), np.uint8)}, "test inputs must be a non-empty"),
        ({"test_inputs": np.zeros((3, 4, 4, 3), np.uint8)}, "must have one shape, got (4, 5, 3)"),
        (
            {"train_inputs": np.full((6, 4, 5, 3), 256)},
            "train inputs of integers must lie in 0..255, got int64 in 256..256",
        ),
        ({"train_inputs": FLOATS > 0}, "must be uint8 (0..255), other integers, float16, bfloat16"),
        ({"train_inputs": FLOATS.astype(str)}, "got <U32"),
        ({"train_inputs": FLOATS}, "must both be uint8 or both be floats, got float32 and uint8"),
        ({"train_inputs": with_value(FLOATS, 2, np.nan)}, "NaN or infinity in 1 of 6 examples"),
        ({"train_inputs": with_value(FLOATS, (0, 1), -np.inf)}, "must be finite as float32"),
        (
            {"train_inputs": with_value(FLOATS.astype(np.float64), (3, 1), 1e300)},
            "train inputs must be finite as float32",
        ),
        ({"train_inputs": np.array([[{}]] * 6)}, "train_inputs holds Python objects"),
        (
            {"train_labels": LABELS[:5]},
            "train labels must have one value per example, [6], got the",
        ),
        ({"train_labels": np.eye(6, dtype=int)}, "[6], got the shape (6, 6)"),
        (
            {"train_labels": LABELS.astype(float)},
            "train labels must be integers or texts, got float64",
        ),
        ({"train_labels": LABELS > 0}, "train labels must be integers or texts, got bool"),
        ({"train_labels": with_value(LABELS, 4, -1)}, "train labels must not be negative, got -1"),
        ({"train_labels": with_value(LABELS, 4, 9)}, "got the label 9 among 9 examples"),
        ({"class_names": np.array(["a", "b"])}, "train labels must lie in 0..1, as there are 2 cl"),
        (
            {"class_names": np.array(["a"] * 3), "test_labels": np.array([0, 2**32, 1])},
            "test labels must lie in 0..2, as there are 3 class_names, got 4294967296",
        ),
        (
            {"class_names": np.array([1, 2, 3])},
            "class_names must be a non-empty list of texts, got array([1,",
        ),
        ({"class_names": np.array("abc")}, "class_names must be a non-empty list of texts"),
        ({"class_names": np.array([], str)}, "class_names must be a non-empty list of texts"),
        ({"class_names": np.array(["a", None, 1])}, "class_names holds Python objects"),
        ({"test_ids": np.array([4, 5, 4])}, "test ids must all differ, got 4 repeatedly"),
        ({"test_ids": np.array(["a", "b", "b"])}, "test ids must all differ, got b repeatedly"),
        ({"test_ids": np.array([1, 2])}, "test ids must have one value per example, [3], got the"),
        (
            {"test_ids": np.array([0.0, 1.0, 2.0])},
            "test ids must be integers or texts, got float64",
        ),
    ],
)
def test_wrong_arrays(load, tmp_path, changes, problem):
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        load(**changes)
    assert str(caught.value).startswith(f"npz:{tmp_path / 'own.npz'}")
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "absent.npz"):
        with pytest.raises(ValueError, match="is not a file"):
            load_dataset(f"npz:{path}")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_not_an_archive(tmp_path, content):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not an \.npz archive"):
        load_dataset(f"npz:{path}")


def test_one_array_is_not_an_archive(tmp_path):
    path = tmp_path / "own.npz"
    with open(path, "wb") as file:
        np.save(file, FLOATS)
    with pytest.raises(ValueError, match=r"is not an \.npz archive"):
        load_dataset(f"npz:{path}")


def test_damaged_archive(load, tmp_path):
    load()
    path = tmp_path / "own.npz"
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="the array train_inputs is damaged"):
        load_dataset(f"npz:{path}")


def test_archive_of_something_else(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, a=FLOATS)
    with pytest.raises(ValueError, match=r"lacks the array .* it holds a$"):
        load_dataset(f"npz:{path}")


def test_true_labels_of_the_train_examples(load):
    assert load().train.true_labels is None
    dataset = load(train_true_labels=np.array([0, 1, 1, 0, 1, 2], np.uint8))
    assert dataset.train.true_labels.tolist() == [0, 1, 1, 0, 1, 2]
    assert dataset.train.true_labels.dtype == np.int32
    assert dataset.test.true_labels is None
    texts = {"train_labels": np.array(list("abcabc")), "test_labels": np.array(list("cab"))}
    dataset = load(**texts, train_true_labels=np.array(list("abbaac")))
    assert dataset.train.true_labels.tolist() == [0, 1, 1, 0, 0, 2]


@pytest.mark.parametrize(
    ("true_labels", "message"),
    [
        (np.arange(5), r"train true labels must have one value per example, [6], got the shape"),
        (np.array([0, 1, 2, 0, 1, 3]), "every class must have train examples, and none has 3"),
        (np.array([0, 1, 2, 0, 1, -1]), "train true labels must not be negative, got -1"),
        (np.array(list("abcabc")), "train and train true labels must both be integers or both be"),
        (np.ones(6), "train true labels must be integers or texts, got float64"),
    ],
)
def test_true_labels_must_be_as_the_labels(load, true_labels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load(train_true_labels=true_labels)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (4, 9, 8)])
def test_channels_before_height_and_width_are_refused(shape):
    x = np.zeros((6, *shape), np.uint8)
    with pytest.raises(
        ValueError, match=r"train inputs must have their channels last, as \[M, heig"
    ):
        Dataset.from_arrays(train=(x, np.arange(6) % 2), test=(x, np.arange(6) % 2))


@pytest.mark.parametrize("shape", [(32, 32, 3), (4, 4, 2), (3, 5, 4), (32, 32, 8)])
def test_other_shapes_are_no_mistake(shape):
    x = np.random.default_rng(0).integers(0, 256, (12, *shape), dtype=np.uint8)
    labels = np.arange(6) % 2
    assert Dataset.from_arrays(train=(x[:6], labels), test=(x[6:], labels)).input_shape == shape


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (["0", "1", "0.0", "1"], "must have one form for each class, got '0' and '0.0', which are"),
        (["1", "2", "1e0", "2"], "got '1' and '1e0', which are one number"),
        (
            ["0", "1", "nan", "1"],
            "labels must not be missing, got 'nan' beside numbers such as '0'",
        ),
        (
            ["0", "1", "None", "NA"],
            "labels must not be missing, got 'NA' beside numbers such as '0'",
        ),
    ],
)
def test_numbers_as_texts_must_be_whole_and_of_one_form(labels, problem):
    x = np.arange(4.0)[:, None]
    with pytest.raises(ValueError, match=re.escape(problem)):
        Dataset.from_arrays(train=(x, labels), test=(x, labels))


def test_texts_that_are_like_missing_values_are_classes_among_others():
    x, labels = np.arange(4.0)[:, None], ["none", "one", "NA", "1"]
    with pytest.warns(UserWarning, match="4 of 4 test examples are train examples"):
        dataset = Dataset.from_arrays(train=(x, labels), test=(x, labels))
    assert dataset.class_names == ("1", "NA", "none", "one")

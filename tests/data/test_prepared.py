import builtins
import json
import os
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ensemble_jax.data import channel_statistics, load_dataset, prepared
from ensemble_jax.data.folders import Folders

DECODING_PACKAGES = ("tensorflow_datasets", "array_record", "cv2", "PIL")


def load(name, folders):
    return load_dataset(name, data_dir=folders.data, cache_dir=folders.cache)


def random_images(seed, count, channels=1):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 5, channels), dtype=np.uint8)


@pytest.fixture
def tiny_cifar10(prepare):
    """Seven and three images with ids, in two files per split."""
    images = {"train": random_images(0, 7, 3), "test": random_images(1, 3, 3)}
    labels = {"train": [0, 1, 2, 2, 1, 0, 1], "test": [2, 0, 1]}
    ids = {"train": [f"train_{9 - row}" for row in range(7)], "test": ["a", "bcd", "ö"]}
    folder = prepare("cifar10", images, labels, ids, num_shards=2)
    return folder, images, labels, ids


@pytest.fixture
def tiny_mnist(prepare):
    return prepare(
        "mnist",
        {"train": random_images(2, 3), "test": random_images(3, 2)},
        {"train": [0, 1, 2], "test": [1, 1]},
    )


@pytest.fixture
def no_decoding(monkeypatch):
    """Makes every import that decoding needs an error."""
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] in DECODING_PACKAGES:
            raise AssertionError(f"{name} was imported")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_tiny_set_is_read_in_the_order_of_its_files(tiny_cifar10, folders, monkeypatch):
    monkeypatch.setattr(prepared, "_RECORDS_PER_READ", 3)
    _, images, labels, ids = tiny_cifar10
    dataset = load("cifar10", folders)
    assert dataset.class_names == ("0", "1", "2")
    for name, split in dataset.splits.items():
        np.testing.assert_array_equal(split.inputs, images[name])
        assert split.labels.dtype == np.int32
        assert split.labels.tolist() == labels[name]
        assert split.ids.dtype.kind == "U"
        assert split.ids.tolist() == ids[name]


def test_without_ids_the_position_is_the_id(tiny_mnist, folders):
    dataset = load("mnist", folders)
    assert dataset.train.ids.dtype == np.int64
    assert dataset.train.ids.tolist() == [0, 1, 2]
    assert dataset.test.ids.tolist() == [0, 1]


def test_second_load_imports_and_decodes_nothing(tiny_cifar10, folders, request, capsys):
    first = load("cifar10", folders)
    assert "decoding cifar10 train" in capsys.readouterr().err
    request.getfixturevalue("no_decoding")
    second = load("cifar10", folders)
    assert capsys.readouterr().err == ""
    for split in ("train", "test"):
        for field in ("inputs", "labels", "ids"):
            actual = getattr(second.splits[split], field)
            np.testing.assert_array_equal(actual, getattr(first.splits[split], field))
    assert second.class_names == first.class_names


def test_a_set_prepared_anew_is_decoded_anew(tiny_mnist, folders, request):
    load("mnist", folders)
    record = next(tiny_mnist.glob("mnist-test.*"))
    os.utime(record, (0, 0))
    request.getfixturevalue("no_decoding")
    with pytest.raises(AssertionError, match="tensorflow_datasets was imported"):
        load("mnist", folders)


def test_newest_version_is_read(tiny_mnist, prepare, folders):
    for version, count in (("3.0.10", 5), ("3.0.9", 4)):
        images = {"train": random_images(0, count), "test": random_images(1, 2)}
        prepare(
            "mnist", images, {"train": [0, 1, 2, 0, 1][:count], "test": [1, 2]}, version=version
        )
    assert len(load("mnist", folders).train) == 5


def test_default_folder_is_that_of_tensorflow_datasets(tiny_mnist, folders, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(folders.data))
    assert len(load_dataset("mnist", cache_dir=folders.cache).train) == 3


@pytest.mark.parametrize("name", prepared.PREPARED)
def test_no_folder(name, tmp_path, no_decoding):
    folders = Folders(tmp_path / "absent", tmp_path / "cache")
    with pytest.raises(ValueError, match="data_dir must be a folder") as caught:
        load(name, folders)
    assert_says_how_to_prepare(caught.value, name, folders.data)


@pytest.mark.parametrize("name", prepared.PREPARED)
def test_not_prepared(name, folders, no_decoding):
    unfinished = folders.data / name / "3.0.2.incompleteABC"
    unfinished.mkdir(parents=True)
    (unfinished / "dataset_info.json").write_text("{}")
    (folders.data / name / "3.0.2").mkdir()
    with pytest.raises(ValueError, match=f"{name} is not prepared in data_dir") as caught:
        load(name, folders)
    assert_says_how_to_prepare(caught.value, name, folders.data)


@pytest.mark.parametrize("description", [{"fileFormat": "parquet"}, {}])
def test_other_file_format(description, tiny_mnist, folders, no_decoding):
    (tiny_mnist / "dataset_info.json").write_text(json.dumps(description))
    for record in tiny_mnist.glob("*.array_record-*"):
        record.rename(str(record).replace("array_record", "other"))
    file_format = description.get("fileFormat", "tfrecord")
    with pytest.raises(ValueError, match=f"in the file format {file_format}") as caught:
        load("mnist", folders)
    assert str(tiny_mnist) in str(caught.value)
    assert_says_how_to_prepare(caught.value, "mnist", folders.data / "array_record")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [("*-train.*-00001-of-*", "1 of 2 record files of the split train"), ("*-test.*", "0 of 1")],
)
def test_missing_record_files(tiny_cifar10, folders, no_decoding, pattern, problem):
    folder, *_ = tiny_cifar10
    for record in folder.glob(pattern):
        record.unlink()
    with pytest.raises(ValueError, match=f"incomplete in .*: {problem}") as caught:
        load("cifar10", folders)
    assert_says_how_to_prepare(caught.value, "cifar10", folders.data)


def test_damaged_record_file(tiny_mnist, folders):
    record = next(tiny_mnist.glob("mnist-test.*"))
    record.write_bytes(bytes(len(record.read_bytes())))
    with pytest.raises(ValueError, match="mnist is damaged in") as caught:
        load("mnist", folders)
    assert_says_how_to_prepare(caught.value, "mnist", folders.data)
    assert not folders.cache.exists()


def test_without_tensorflow_datasets(tiny_mnist, folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'ensemble_jax\[tfds\]'") as caught:
        load("mnist", folders)
    assert "the data set mnist needs tensorflow-datasets" in str(caught.value)


def test_with_half_of_tensorflow_datasets(tiny_mnist, folders, monkeypatch):
    # What its import leaves where one of its own dependencies is missing.
    monkeypatch.delattr(tfds, "builder_from_directory")
    with pytest.raises(ModuleNotFoundError, match="cannot import name 'builder_from_directory'"):
        load("mnist", folders)


def assert_says_how_to_prepare(error, name, data_dir):
    message = str(error)
    assert "\n" not in message
    assert str(data_dir) in message
    assert "pip install 'ensemble_jax[prepare]'" in message
    assert (
        f"tfds.builder('{name}', file_format='array_record', data_dir='{data_dir}')"
        ".download_and_prepare()"
    ) in message


@pytest.fixture(scope="module")
def cifar100(real_folders):
    duplicates = "^cifar100: 10 of 10000 test examples are train examples, too, value for value$"
    with pytest.warns(UserWarning, match=duplicates):
        return load("cifar100", real_folders)


@pytest.fixture(scope="module")
def fashion_mnist(real_folders):
    return load("fashion_mnist", real_folders)


def test_cifar100(cifar100):
    assert cifar100.train.inputs.shape == (50_000, 32, 32, 3)
    assert cifar100.test.inputs.shape == (10_000, 32, 32, 3)
    assert cifar100.class_names[:2] == ("apple", "aquarium_fish")
    assert cifar100.class_names[99] == "worm"
    assert np.unique(np.bincount(cifar100.train.labels)).tolist() == [500]
    assert np.unique(np.bincount(cifar100.test.labels)).tolist() == [100]


def test_fashion_mnist(fashion_mnist):
    assert fashion_mnist.train.inputs.shape == (60_000, 28, 28, 1)
    assert fashion_mnist.test.inputs.shape == (10_000, 28, 28, 1)
    assert (fashion_mnist.class_names[0], fashion_mnist.class_names[9]) == (
        "T-shirt/top",
        "Ankle boot",
    )
    assert np.unique(np.bincount(fashion_mnist.train.labels)).tolist() == [6000]
    assert np.unique(np.bincount(fashion_mnist.test.labels)).tolist() == [1000]


def test_statistics_are_the_published_ones(cifar100, fashion_mnist):
    mean, std = channel_statistics(cifar100.train.inputs)
    np.testing.assert_allclose(mean / 255, [0.5071, 0.4865, 0.4409], atol=5e-5)
    np.testing.assert_allclose(std / 255, [0.2673, 0.2564, 0.2762], atol=5e-5)
    mean, std = channel_statistics(fashion_mnist.train.inputs)
    np.testing.assert_allclose([mean, std], [[0.2860 * 255], [0.3530 * 255]], atol=0.02)


def test_ids_are_unique(cifar100, fashion_mnist):
    for split_name, split in cifar100.splits.items():
        assert len(np.unique(split.ids)) == len(split)
        assert all(id_.startswith(f"{split_name}_") for id_ in split.ids.tolist())
    np.testing.assert_array_equal(fashion_mnist.train.ids, np.arange(60_000))


@pytest.mark.filterwarnings("ignore:.*10 of 10000 test examples are train")
@pytest.mark.parametrize("name", ["cifar100", "fashion_mnist"])
def test_pixels_are_those_of_tensorflow_datasets(name, real_folders):
    dataset = load(name, real_folders)
    (folder,) = (real_folders.data / name).iterdir()
    for split_name, split in dataset.splits.items():
        source = tfds.builder_from_directory(folder).as_data_source(split_name)
        for row in [0, 1, 499, 500, len(split) // 2, len(split) - 1]:
            example = source[row]
            np.testing.assert_array_equal(split.inputs[row], example["image"])
            assert split.labels[row] == example["label"]
            if name == "cifar100":
                assert split.ids[row] == example["id"].decode()


def test_cifar100_duplicates(cifar100):
    train, test = (
        [image.tobytes() for image in split.inputs] for split in cifar100.splits.values()
    )
    distinct = set(train)
    assert len(train) - len(distinct) == 14
    assert len(test) - len(set(test)) == 2
    assert sum(image in distinct for image in test) == 10

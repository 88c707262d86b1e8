import numpy as np
import pytest

from ensemble_jax.data import load_dataset

CIFAR10 = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def test_cats_and_dogs(prepare, folders):
    images = {
        split: np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        for seed, (split, count) in enumerate([("train", 6), ("test", 3)])
    }
    labels = {"train": [5, 9, 3, 0, 3, 5], "test": [4, 3, 5]}
    ids = {split: [f"{split}_{row}" for row in range(len(of))] for split, of in images.items()}
    prepare("cifar10", images, labels, ids, class_names=CIFAR10)
    dataset = load_dataset("cats_and_dogs", data_dir=folders.data, cache_dir=folders.cache)
    assert dataset.name == "cats_and_dogs"
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train.labels.tolist() == [1, 0, 0, 1]
    assert dataset.test.labels.tolist() == [0, 1]
    assert dataset.train.ids.tolist() == ["train_0", "train_2", "train_4", "train_5"]
    np.testing.assert_array_equal(dataset.train.inputs, images["train"][[0, 2, 4, 5]])
    np.testing.assert_array_equal(dataset.test.inputs, images["test"][1:])


def test_an_unprepared_cifar10_is_named(folders):
    with pytest.raises(ValueError, match="cifar10 is not prepared"):
        load_dataset("cats_and_dogs", data_dir=folders.data)

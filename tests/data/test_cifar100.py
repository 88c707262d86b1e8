import numpy as np
import pytest

from ensemble_jax.data import load_dataset
from ensemble_jax.data.cifar100 import SUPERCLASSES
from ensemble_jax.data.prepared import prepared_arrays

# Of these the published set has ten.
pytestmark = pytest.mark.filterwarnings("ignore:.*are train examples, too")


def load(name, folders):
    return load_dataset(name, data_dir=folders.data, cache_dir=folders.cache)


def pairs(dataset, split_name):
    """Each image with the name of its class."""
    split = dataset.splits[split_name]
    names = [dataset.class_names[label] for label in split.labels]
    return sorted(zip([image.tobytes() for image in split.inputs], names, strict=True))


@pytest.fixture(scope="module")
def superclasses(real_folders):
    return {name: load(name, real_folders) for name in SUPERCLASSES}


def test_names_are_those_of_the_prepared_set(real_folders):
    names = prepared_arrays("cifar100", real_folders)["coarse_label_names"]
    assert tuple(names.tolist()) == SUPERCLASSES


def test_each_is_balanced(superclasses):
    for name, dataset in superclasses.items():
        assert dataset.name == name
        assert dataset.train.inputs.shape == (2500, 32, 32, 3)
        assert dataset.train.labels.dtype == np.int32
        assert np.bincount(dataset.train.labels).tolist() == [500] * 5
        assert np.bincount(dataset.test.labels).tolist() == [100] * 5


def test_together_they_are_the_whole_set(superclasses, real_folders):
    whole = load("cifar100", real_folders)
    classes = [name for dataset in superclasses.values() for name in dataset.class_names]
    assert sorted(classes) == sorted(whole.class_names)
    for split_name, split in whole.splits.items():
        ids = [dataset.splits[split_name].ids for dataset in superclasses.values()]
        assert sorted(np.concatenate(ids)) == sorted(split.ids)


def test_rows_are_those_of_the_whole_set_in_its_order(superclasses, real_folders):
    whole = load("cifar100", real_folders).train
    fish = superclasses["fish"]
    rows = np.flatnonzero(np.isin(whole.ids, fish.train.ids))
    np.testing.assert_array_equal(fish.train.ids, whole.ids[rows])
    np.testing.assert_array_equal(fish.train.inputs, whole.inputs[rows])
    fine = np.unique(whole.labels[rows])
    np.testing.assert_array_equal(fine[fish.train.labels], whole.labels[rows])


def test_small_mammals_are_those_of_the_archive(superclasses, real_data):
    archive = load_dataset(f"npz:{real_data / 'small_mammals.npz'}")
    ours = superclasses["small_mammals"]
    assert ours.class_names == archive.class_names
    for split_name in ("train", "test"):
        assert pairs(ours, split_name) == pairs(archive, split_name)


def test_test_images_that_are_in_train_too(superclasses):
    shared = {}
    for name, dataset in superclasses.items():
        train = {image.tobytes() for image in dataset.train.inputs}
        shared[name] = sum(image.tobytes() in train for image in dataset.test.inputs)
    assert (shared["fish"], shared["aquatic_mammals"], shared["small_mammals"]) == (4, 3, 0)


def test_an_unprepared_cifar100_is_named(folders):
    with pytest.raises(ValueError, match="cifar100 is not prepared"):
        load("fish", folders)

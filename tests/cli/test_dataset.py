"""The data set that a config describes."""

import numpy as np
import pytest

from ensemble_jax.cli.dataset import load_data
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.configs import (
    imagenet,
    out_of_sample,
    random_labels,
    small_mammals,
)
from ensemble_jax.data import (
    add_probes,
    keep_train_fraction,
    load_dataset,
    select_classes,
    with_label_noise,
    with_random_labels,
)
from ensemble_jax.options import Model


def assert_same(one, two):
    assert (one.name, one.class_names) == (two.name, two.class_names)
    for name, split in one.splits.items():
        for array, other in zip(vars(split).values(), vars(two.splits[name]).values(), strict=True):
            np.testing.assert_array_equal(array, other)
    assert list(one.probes) == list(two.probes)
    for name, probe in one.probes.items():
        np.testing.assert_array_equal(probe.inputs, two.probes[name].inputs)


def test_a_plain_config_loads_the_plain_set():
    assert_same(load_data(TrainConfig()), load_dataset("digits"))


def test_views_come_in_their_order_and_probes_last():
    config = TrainConfig(
        classes=("7", "1", "4"), train_fraction=0.25, label_noise=0.5, seed=9, probes=("noise:7",)
    )
    dataset = select_classes(load_dataset("digits"), ("7", "1", "4"))
    dataset = with_label_noise(keep_train_fraction(dataset, 0.25, 9), 0.5, 9)
    # The noise is like the images that are left.
    assert_same(load_data(config), add_probes(dataset, ["noise:7"]))


def test_random_labels():
    dataset = load_data(TrainConfig(random_labels=True, seed=3))
    assert_same(dataset, with_random_labels(load_dataset("digits"), 3))
    for name, split in dataset.splits.items():
        true = load_dataset("digits").splits[name].labels
        assert 0 < (split.labels == true).mean() < 0.2
    assert dataset.name == "digits, random labels"


@pytest.mark.parametrize("config_file", [random_labels, out_of_sample])
def test_the_experiments_differ_from_their_base_in_few_fields(config_file):
    config, base = config_file.get_config(), small_mammals.get_config()
    config.validate()
    changed = {name for name in vars(base) if getattr(config, name) != getattr(base, name)}
    assert changed in ({"random_labels", "dropout_scale", "extents"}, {"probes"})


@pytest.mark.filterwarnings("ignore:.*are train examples, too")
def test_the_experiments_have_their_data(real_data):
    data_dir = str(real_data / "tensorflow_datasets")
    config = random_labels.get_config()
    config.data_dir = data_dir
    assert load_data(config).name == "small_mammals, random labels"
    config = out_of_sample.get_config()
    config.data_dir = data_dir
    sizes = {name: len(probe) for name, probe in load_data(config).probes.items()}
    assert sizes == {
        "noise": 1000,
        "household_furniture": 500,
        "fish": 500,
        "medium_mammals": 500,
    }


@pytest.mark.parametrize(
    ("model", "members"), [(Model.RESNET50, 27), (Model.ALEXNET, 22), (Model.DENSENET121, 6)]
)
def test_the_configs_of_imagenet_stream_it(model, members):
    config = imagenet.get_config(model.value)
    config.validate()
    assert (config.dataset, config.model, config.num_members) == ("imagenet2012", model, members)
    assert config.pool_images > 0
    assert config.extents[-1] == 100

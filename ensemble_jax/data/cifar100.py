"""The superclasses of CIFAR-100, each a set of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensemble_jax.data.classes import select_classes
from ensemble_jax.data.dataset import Dataset
from ensemble_jax.data.folders import Folders
from ensemble_jax.data.prepared import prepared_arrays, prepared_dataset

SUPERCLASSES = (
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
)
"""The 20 coarse labels of CIFAR-100, in tensorflow-datasets' spelling."""


def load_superclass(name: str, folders: Folders) -> Dataset:
    """The 2,500 train and 500 test images of CIFAR-100 with the coarse label `name`.

    Labels are 0..4 in the order of CIFAR-100's own fine labels, whose names are the class names;
    ids are CIFAR-100's. Raises as `load_prepared` does for cifar100, whose cache it shares.
    """
    arrays = prepared_arrays("cifar100", folders)
    coarse_label = arrays["coarse_label_names"].tolist().index(name)
    fine_labels = np.unique(arrays["train_label"][arrays["train_coarse_label"] == coarse_label])
    class_names = arrays["label_names"][fine_labels].tolist()
    return replace(select_classes(prepared_dataset("cifar100", arrays), class_names), name=name)

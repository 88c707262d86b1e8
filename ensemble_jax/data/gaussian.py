"""Vectors from two normal distributions that differ in the mean alone."""

from __future__ import annotations

import math

import numpy as np

from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.draws import normals
from ensemble_jax.data.folders import Folders

GAUSSIAN = "gaussian"
"""The name of the data set."""

_SHAPE = (32, 32, 3)
_MEANS = (0.0, 0.1)
_TRAIN_PER_CLASS, _TEST_PER_CLASS = 2500, 500
# Part of the data set's definition: other numbers are another set.
_TRAIN_SEED, _TEST_SEED = 3072, 3073


def load_gaussian(name: str, folders: Folders) -> Dataset:
    """Two classes in 3,072 dimensions, N(0, I) and N(0.1, I), 2,500 train and 500 test each.

    Inputs are float32 `[M, 32, 32, 3]`; the classes take turns, so that the label is the position
    modulo 2; ids are the positions. No folder is used. The best possible classifier is linear, the
    sum of all values against half its mean in class 1:

        x in class 1  iff  sum(x) > 3072 * 0.1 / 2
        accuracy = Phi(0.1 * sqrt(3072) / 2) = Phi(2.77) = 0.9972

    and one that takes the difference of the class means of n = 2,500 examples each as its weights
    has the accuracy Phi(d / 2 / sqrt(1 + 2 * 3072 / (n * d))) = 0.9962 with d = 0.1^2 * 3072.

    Source: Hacohen and Weinshall, All Neural Networks Are Created Equal, Appendix C.
    """

    def split(seed: int, per_class: int) -> Split:
        labels = np.tile(np.arange(len(_MEANS), dtype=np.int32), per_class)
        values = normals(seed, len(labels) * math.prod(_SHAPE)).reshape(-1, *_SHAPE)
        values += np.array(_MEANS)[labels][:, None, None, None]
        return Split(values.astype(np.float32), labels, np.arange(len(labels)))

    return Dataset(
        name,
        train=split(_TRAIN_SEED, _TRAIN_PER_CLASS),
        test=split(_TEST_SEED, _TEST_PER_CLASS),
        class_names=tuple(f"mean {mean:g}" for mean in _MEANS),
    )

"""Scikit-learn's handwritten digits, the set that needs no download."""

from __future__ import annotations

import numpy as np

from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.draws import stratified_split
from ensemble_jax.data.folders import Folders

# Part of the data set's definition: another number is another set.
_SPLIT_SEED = 1797
_TEST_FRACTION = 0.2
# The source counts 0..16; the largest whole factor that stays within 255 keeps the scale linear.
_PIXEL_FACTOR = 15


def load_digits(name: str, folders: Folders) -> Dataset:
    """The 1,797 digits of 8x8 pixels, 1,438 to train on and 359 to test on, of 10 classes.

    Inputs are uint8 `[M, 8, 8, 1]`, 15 times the source's 0..16, so 0..240. Each class gives a
    fifth of its images, rounded, to the test split; the choice and the order are fixed for ever.
    An id is the position in scikit-learn's own order. No folder is used.

    Raises:
        ModuleNotFoundError: if scikit-learn is not installed.
    """
    try:
        import sklearn.datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the data set digits needs scikit-learn: pip install scikit-learn", name=error.name
        ) from error

    pixels, labels = sklearn.datasets.load_digits(return_X_y=True)
    images = (np.asarray(pixels) * _PIXEL_FACTOR).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = np.asarray(labels, np.int32)
    train, test = stratified_split(labels, _TEST_FRACTION, _SPLIT_SEED)

    def split(ids: np.ndarray) -> Split:
        return Split(images[ids], labels[ids], ids.astype(np.int64))

    return Dataset(
        name=name,
        train=split(train),
        test=split(test),
        class_names=tuple(str(digit) for digit in range(10)),
    )

"""Scikit-learn's handwritten digits, the set that needs no download."""

from __future__ import annotations

import numpy as np

from ensemble_jax.data.dataset import Dataset, Split
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
    # The raw stream of a bit generator is what NumPy promises never to change.
    order = np.argsort(np.random.PCG64(_SPLIT_SEED).random_raw(len(labels)), kind="stable")
    in_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        in_test[members[: round(_TEST_FRACTION * len(members))]] = True

    def split(ids: np.ndarray) -> Split:
        return Split(images[ids], labels[ids], ids.astype(np.int64))

    return Dataset(
        name=name,
        train=split(order[~in_test[order]]),
        test=split(order[in_test[order]]),
        class_names=tuple(str(digit) for digit in range(10)),
    )

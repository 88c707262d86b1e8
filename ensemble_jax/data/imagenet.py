"""ImageNet-2012. Its images do not fit into memory and are read when they are needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Int, UInt8

from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.folders import Folders
from ensemble_jax.data.image_files import ImageSpec, fit_encoded_image
from ensemble_jax.data.name_options import NameOption, split_name
from ensemble_jax.data.prepared import (
    PreparedSet,
    damaged,
    find_prepared,
    open_records,
    parse_record,
    prepared_arrays,
    raw_records,
)
from ensemble_jax.data.stored import StoredInputs

IMAGENET = "imagenet2012"
"""The name of that set, tensorflow-datasets' own."""
IMAGENET_PREFIX = f"{IMAGENET}?"
"""The prefix of the name of such a data set, before an option."""

_SIZE = 224
_OPTIONS = {"size": NameOption(r"[1-9]\d{0,3}", "a number of pixels", int)}
# The labels of ImageNet's split `test` are not public.
_SPLITS = {"train": "train", "test": "validation"}


def load_imagenet(name: str, folders: Folders) -> Dataset:
    """1,281,167 images to train on and 50,000 (its `validation`) to test on, of 1,000 classes.

    As tensorflow-datasets prepares `imagenet2012`, in the order of its records. An image is read
    and decoded whenever it is needed: the largest centred square, resized to 224x224 or, for a name
    `imagenet2012?size=64`, to 64x64, as `decode_images` says; uint8 `[M, size, size, 3]`. All train
    images of 224x224 would take 193 GB. Ids are the names of the files, class names WordNet ids.

    The first time all records are read once for their labels and ids, which are kept in the cache.

    Raises:
        ValueError: if it is not prepared in `folders.data`, or damaged, or in a file format without
            random access.
        ModuleNotFoundError: if tensorflow-datasets is not installed.
    """
    size = parse_imagenet_name(name)
    own_splits = tuple(_SPLITS.values())
    prepared = find_prepared(IMAGENET, folders.data, own_splits)
    arrays = prepared_arrays(IMAGENET, folders, splits=own_splits, images=False)
    form = ImageSpec((size, size), channels=3)
    splits = {}
    for split, own in _SPLITS.items():
        labels = arrays[f"{own}_label"]
        inputs = StoredInputs(
            _image_reader(prepared, own, form),
            np.arange(len(labels)),
            (size, size, 3),
            files=tuple(
                file for file in prepared.records if file.name.startswith(f"{IMAGENET}-{own}.")
            ),
        )
        splits[split] = Split(inputs, labels, arrays[f"{own}_file_name"])
    return Dataset(name, **splits, class_names=tuple(arrays["label_names"].tolist()))


def parse_imagenet_name(name: str) -> int:
    """The height and width in a name; reads nothing.

    Raises:
        ValueError: if there is another option than the size.

    >>> parse_imagenet_name("imagenet2012?size=64"), parse_imagenet_name("imagenet2012")
    (64, 224)
    """
    return split_name(name, IMAGENET, _OPTIONS)[1].get("size", _SIZE)


def _image_reader(
    prepared: PreparedSet, split: str, form: ImageSpec
) -> Callable[[Int[np.ndarray, " m"]], UInt8[np.ndarray, "m height width channels"]]:
    """Reads images of a split by their positions."""
    source = raw_records(open_records(prepared), split)

    def read(rows: np.ndarray) -> np.ndarray:
        try:
            records = source.__getitems__(rows.tolist())
        except RuntimeError as error:  # array_record's word for a checksum that does not match
            raise damaged(prepared, error) from error
        images = []
        for record in records:
            values = parse_record(record)
            try:
                images.append(fit_encoded_image(values["image"].bytes_list.value[0], form))
            except ValueError as error:
                file = values["file_name"].bytes_list.value[0].decode()
                raise damaged(prepared, ValueError(f"{file} {error}")) from error
        return np.stack(images)

    return read

"""Image sets that tensorflow-datasets has prepared, read without TensorFlow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ensemble_jax.data.cache import Arrays, cached_arrays, state_of_file
from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.decoding import decode_rows, image_decoder
from ensemble_jax.data.folders import Folders

PREPARED = ("mnist", "fashion_mnist", "cifar10", "cifar100")
"""The sets that `load_prepared` knows by tensorflow-datasets' own names."""

_SPLITS = ("train", "test")
_DESCRIPTION = "dataset_info.json"
_RECORDS_PER_READ = 500
# To be raised whenever the arrays made from the same records change.
_LAYOUT = 1


class PreparedSet(NamedTuple):
    """One version of a set on disk."""

    name: str
    folder: Path
    records: tuple[Path, ...]


def load_prepared(name: str, folders: Folders) -> Dataset:
    """A whole set of `PREPARED`, as its own train and test splits, in the order of its records.

    Inputs are uint8 `[M, height, width, channels]`. An id is the set's own where it has one (text;
    the CIFAR sets), else the position among the split's records, which are not in the order of the
    published files.

    Raises:
        ValueError: if the set is not prepared in `folders.data`, or damaged, or in a file format
            without random access.
        ModuleNotFoundError: if it must be decoded and tensorflow-datasets is not installed.
    """
    return prepared_dataset(name, prepared_arrays(name, folders))


def prepared_dataset(name: str, arrays: Arrays) -> Dataset:
    """The images, labels and ids among the `prepared_arrays` of a set."""
    splits = {}
    for split in _SPLITS:
        labels = arrays[f"{split}_label"]
        ids = arrays.get(f"{split}_id", np.arange(len(labels)))
        splits[split] = Split(arrays[f"{split}_image"], labels, ids)
    return Dataset(name, **splits, class_names=tuple(arrays["label_names"].tolist()))


def prepared_arrays(
    name: str, folders: Folders, *, splits: Sequence[str] = _SPLITS, images: bool = True
) -> Arrays:
    """Every feature of a prepared set, decoded once and then mapped from the cache.

    Args:
        name: tensorflow-datasets' own.
        folders: where the set is, and the cache.
        splits: those to read.
        images: whether those are read too, or only what the records say beside.

    Keys are `<split>_<feature>` with one entry per example (`train_image` uint8 `[M, ...]`,
    `train_label` int32 `[M]`, `train_id` text `[M]`) and `<feature>_names` with one text per class
    of a label. Raises as `load_prepared` does. The cache follows the record files' names and
    `state_of_file`, so a set that is prepared anew is decoded anew; a set found in the cache needs
    neither tensorflow-datasets nor a decoder.
    """
    prepared = find_prepared(name, folders.data, splits)
    version = prepared.folder.name
    key = {
        "layout": _LAYOUT,
        "name": name,
        "version": version,
        "records": {file.name: state_of_file(file) for file in prepared.records},
    }
    label = f"{name}-{version}"
    if not images:
        key["images"] = False
        label = f"{label}-labels"
    return cached_arrays(folders.cache, label, key, lambda: _decode(prepared, splits, images))


def find_prepared(name: str, data_dir: Path, splits: Sequence[str] = _SPLITS) -> PreparedSet:
    """The newest prepared version of a set, from the folder alone, so that an answer is quick.

    Raises:
        ValueError: as `load_prepared` does.
    """
    if not data_dir.is_dir():
        raise ValueError(
            f"data_dir must be a folder of sets prepared by tensorflow-datasets, and {data_dir} is "
            f"none; {_how_to_prepare(name, data_dir)}"
        )
    # A version that is still being prepared has a longer name, and no description either.
    versions = sorted(
        (
            folder
            for folder in (data_dir / name).glob("*")
            if re.fullmatch(r"\d+\.\d+\.\d+", folder.name) and (folder / _DESCRIPTION).is_file()
        ),
        key=lambda folder: tuple(map(int, folder.name.split("."))),
        reverse=True,
    )
    if not versions:
        raise ValueError(
            f"{name} is not prepared in data_dir {data_dir}; {_how_to_prepare(name, data_dir)}"
        )
    for folder in versions:
        records = sorted(folder.glob(f"{name}-*.array_record-*-of-*"))
        if records:
            return PreparedSet(name, folder, _complete(name, data_dir, records, splits))
    other_folder = data_dir / "array_record"
    raise ValueError(
        f"{name} is prepared in {versions[0]} in the file format {_file_format(versions[0])}, and "
        f"only array_record can be read; {_how_to_prepare(name, other_folder)} and give that folder"
    )


def _complete(
    name: str, data_dir: Path, records: list[Path], splits: Sequence[str]
) -> tuple[Path, ...]:
    """The record files, after a look whether each split has all that its names promise."""
    folder = records[0].parent
    for split in splits:
        of_split = [file for file in records if file.name.startswith(f"{name}-{split}.")]
        promised = int(of_split[0].name.rsplit("-of-", 1)[1]) if of_split else 1
        if len(of_split) != promised:
            raise ValueError(
                f"{name} is incomplete in {folder}: {len(of_split)} of {promised} record files of "
                f"the split {split}; remove that folder, then {_how_to_prepare(name, data_dir)}"
            )
    return tuple(records)


def _file_format(folder: Path) -> str:
    """The file format that a prepared set says it has; old ones say nothing and are TFRecord."""
    return json.loads((folder / _DESCRIPTION).read_text()).get("fileFormat", "tfrecord")


def _how_to_prepare(name: str, data_dir: Path) -> str:
    """The commands that make a set readable; they need TensorFlow, which reading does not."""
    return (
        "to prepare it: pip install 'ensemble_jax[prepare]' && python -c \"import "
        f"tensorflow_datasets as tfds; tfds.builder('{name}', file_format='array_record', "
        f"data_dir='{data_dir}').download_and_prepare()\""
    )


def open_records(prepared: PreparedSet) -> Any:
    """tensorflow-datasets' builder of a prepared set.

    Raises:
        ModuleNotFoundError: if tensorflow-datasets is not installed.
    """
    try:
        # By name, because the package imports without its content where a part of it is missing.
        from tensorflow_datasets import builder_from_directory
    except ImportError as error:
        raise ModuleNotFoundError(
            f"the data set {prepared.name} needs tensorflow-datasets ({error}): "
            "pip install 'ensemble_jax[tfds]'",
            name=error.name,
        ) from error
    # From the folder and not by the set's name: this never looks at the network.
    return builder_from_directory(prepared.folder)


def raw_records(builder: Any, split: str) -> Any:
    """The records of a split by position: `source.__getitems__(rows)` gives the bytes of each."""
    from tensorflow_datasets.core.decode import DeserializeMethod

    return builder.as_data_source(split, deserialize_method=DeserializeMethod.RAW_BYTES)


def parse_record(record: bytes) -> Mapping[str, Any]:
    """The values of a record by the names of the features.

    tensorflow-datasets' own path through its features takes several times as long as reading and
    decoding together.
    """
    from tensorflow_datasets.proto import tf_example_pb2

    # Its message types are made when it is imported, so that no type checker knows them.
    messages: Any = tf_example_pb2
    return messages.Example.FromString(record).features.feature


def damaged(prepared: PreparedSet, error: Exception) -> ValueError:
    """The error for a prepared set that cannot be read."""
    return ValueError(
        f"{prepared.name} is damaged in {prepared.folder} ({error}); remove that folder, then "
        f"{_how_to_prepare(prepared.name, prepared.folder.parent.parent)}"
    )


def _decode(prepared: PreparedSet, splits: Sequence[str], images: bool) -> Arrays:
    """Every feature of the splits, from the record files."""
    builder = open_records(prepared)
    from tensorflow_datasets.core.features import ClassLabel

    arrays: dict[str, np.ndarray] = {}
    features: Any = builder.info.features
    for feature_name, feature in features.items():
        if isinstance(feature, ClassLabel):
            arrays[f"{feature_name}_names"] = np.array(feature.names)
    for split in splits:
        try:
            columns = _decode_split(builder, split, images)
        except RuntimeError as error:  # array_record's word for a checksum that does not match
            raise damaged(prepared, error) from error
        arrays |= {f"{split}_{column}": values for column, values in columns.items()}
    return arrays


def _decode_split(builder: Any, split: str, with_images: bool) -> Mapping[str, np.ndarray]:
    """One array per feature, in the order of the records."""
    from tensorflow_datasets.core.features import ClassLabel, Image, Text

    features = builder.info.features
    source = raw_records(builder, split)
    decode_image = image_decoder()
    images, labels, texts = (
        [name for name, feature in features.items() if isinstance(feature, kind)]
        for kind in (Image, ClassLabel, Text)
    )
    if not with_images:
        images = []
    columns = {name: np.empty((len(source), *features[name].shape), np.uint8) for name in images}
    columns |= {name: np.empty(len(source), np.int32) for name in labels}
    columns |= {name: np.empty(len(source), object) for name in texts}

    def decode(rows: range) -> None:
        for row, record in zip(rows, source.__getitems__(rows), strict=True):
            values = parse_record(record)
            for name in images:
                columns[name][row] = decode_image(values[name].bytes_list.value[0])
            for name in labels:
                columns[name][row] = values[name].int64_list.value[0]
            for name in texts:
                columns[name][row] = values[name].bytes_list.value[0].decode()

    decode_rows(
        decode,
        len(source),
        description=f"{'decoding' if with_images else 'reading the labels of'} {builder.name} "
        f"{split}",
        rows_per_call=_RECORDS_PER_READ,
        # Threads share the decoder's unlocked time; Python's share gains nothing by more.
        max_threads=4,
    )
    return columns | {name: columns[name].astype(np.str_) for name in texts}

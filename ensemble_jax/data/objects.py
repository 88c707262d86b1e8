"""Data sets from the objects of other libraries. None of these libraries is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from ensemble_jax.data.arrays import from_arrays, has_channels_first, to_array
from ensemble_jax.data.dataset import Dataset
from ensemble_jax.data.text import from_texts


def from_huggingface(
    name: str,
    tables: Mapping[str, Any],
    input_column: str,
    label_column: str,
    word_vectors: Path | None,
) -> Dataset:
    """As `Dataset.from_huggingface`, of tables by split."""
    columns = {"input": input_column, "label": label_column}
    for split, table in tables.items():
        if not (hasattr(table, "features") and hasattr(table, "with_format")):
            raise ValueError(
                f"{name}: {split} must be a datasets.Dataset, such as "
                f"datasets.load_dataset(..., split={split!r}), got {type(table).__name__}"
            )
        for argument, column in columns.items():
            if column not in table.features:
                raise ValueError(
                    f"{name}: {argument} must be a column of {split}, one of "
                    f"{', '.join(table.features)}; got {column!r}"
                )
        if not len(table):
            raise ValueError(f"{name}: {split} must have at least one row, got none")
    class_names = {
        split: getattr(table.features[label_column], "names", None)
        for split, table in tables.items()
    }
    if class_names["train"] != class_names["test"]:
        raise ValueError(
            f"{name}: train and test must have the same class names in {label_column}, got "
            f"{class_names['train']} and {class_names['test']}"
        )
    plain = {split: table.with_format(None) for split, table in tables.items()}
    labels = {split: list(table[label_column]) for split, table in plain.items()}
    first = plain["train"][0][input_column]
    is_text = isinstance(first, str)
    if is_text != (word_vectors is not None):
        raise ValueError(
            f"{name}: word_vectors must name a file of word vectors for texts and only for them, "
            f"got {word_vectors} for the column {input_column} of {type(first).__name__}"
        )
    if is_text:
        texts = {split: list(table[input_column]) for split, table in plain.items()}
        return from_texts(name, texts, labels, word_vectors, class_names=class_names["train"])
    if _is_image(first):
        inputs = _stack(name, {split: list(table[input_column]) for split, table in plain.items()})
    else:
        # The slice, because a column is a view that reads nothing in newer versions.
        inputs = {
            split: table.with_format("numpy")[input_column][:] for split, table in tables.items()
        }
    return from_arrays(name, inputs, labels, {}, class_names["train"])


def from_torch(name: str, examples: Mapping[str, Any]) -> Dataset:
    """As `Dataset.from_torch`, of map-style sets by split."""
    inputs: dict[str, list[Any]] = {}
    labels: dict[str, list[Any]] = {}
    for split, of_split in examples.items():
        if not (hasattr(of_split, "__len__") and hasattr(of_split, "__getitem__")):
            raise ValueError(
                f"{name}: {split} must have a length and examples by position, got "
                f"{type(of_split).__name__}"
            )
        pairs = [of_split[position] for position in range(len(of_split))]
        for position, pair in enumerate(pairs):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise ValueError(
                    f"{name}: {split}[{position}] must be a pair of input and label, got "
                    f"{type(pair).__name__}"
                )
        if not pairs:
            raise ValueError(f"{name}: {split} must have at least one example, got none")
        inputs[split], labels[split] = [list(column) for column in zip(*pairs, strict=True)]
    class_names = getattr(examples["train"], "classes", None)
    return from_arrays(name, _stack(name, inputs), labels, {}, class_names)


def _is_image(item: Any) -> bool:
    """Whether it is one of Pillow's."""
    return hasattr(item, "convert") and hasattr(item, "mode")


def _stack(
    name: str, items: Mapping[str, Sequence[Any]]
) -> Mapping[str, Shaped[np.ndarray, "M ..."]]:
    """The inputs of each split as one array, of images with their channels last."""
    from ensemble_jax.data.image_files import bits_in_use, has_16_bits, image_pixels

    bits = bits_in_use(
        np.asarray(item).max()
        for of_split in items.values()
        for item in of_split
        if _is_image(item) and has_16_bits(item)
    )
    images = [_is_image(item) for of_split in items.values() for item in of_split]
    arrays = {
        split: [
            image_pixels(item, bits) if _is_image(item) else to_array(name, f"{split}[{row}]", item)
            for row, item in enumerate(of_split)
        ]
        for split, of_split in items.items()
    }
    # Grey images among coloured ones become coloured.
    if all(images) and len({array.shape[-1] for each in arrays.values() for array in each}) > 1:
        arrays = {
            split: [np.broadcast_to(array, (*array.shape[:2], 3)) for array in of_split]
            for split, of_split in arrays.items()
        }
    first = arrays["train"][0]
    for split, of_split in arrays.items():
        for row, array in enumerate(of_split):
            if array.shape != first.shape or array.dtype != first.dtype:
                raise ValueError(
                    f"{name}: inputs must be of one shape and type, got {first.dtype} "
                    f"{list(first.shape)} in train[0] and {array.dtype} {list(array.shape)} in "
                    f"{split}[{row}]"
                )
    shape = first.shape
    stacked = {split: np.stack(of_split) for split, of_split in arrays.items()}
    if len(shape) == 3 and has_channels_first(shape):
        stacked = {
            split: np.ascontiguousarray(np.moveaxis(array, 1, -1))
            for split, array in stacked.items()
        }
    return stacked

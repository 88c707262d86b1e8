"""Examples as people and other programs see them: pictures of bytes, and texts."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from ensemble_jax.data.dataset import Dataset


def why_no_pictures(dataset: Dataset) -> str:
    """Why examples, which are no texts, are not shown as pictures; empty where they are."""
    shape = dataset.input_shape
    if len(shape) == 3 and shape[-1] in (1, 3):
        return ""
    return f"Examples of the shape {list(shape)} cannot be shown as pictures."


def as_texts(ids: Shaped[np.ndarray, "M L"], dataset: Dataset) -> list[str]:
    """The words that members see."""
    rows = [[dataset.words[int(word)] for word in text] for text in ids]
    return [" ".join(filter(None, words)) for words in rows]


def as_bytes(pictures: Shaped[np.ndarray, "M H W C"]) -> Shaped[np.ndarray, "M H W C"]:
    """Pictures of bytes as they are; of others, the least value as 0 and the largest as 255."""
    if pictures.dtype == np.uint8:
        return pictures
    axes = (1, 2, 3)
    values = pictures.astype(np.float64)
    values -= values.min(axis=axes, keepdims=True)
    largest = values.max(axis=axes, keepdims=True)
    return np.rint(255 * values / np.where(largest > 0, largest, 1)).astype(np.uint8)


def as_png(picture: Shaped[np.ndarray, "H W C"], longest_side: int | None = None) -> bytes:
    """The file of a picture of bytes, made smaller where a side has more pixels."""
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    if longest_side is not None:
        image.thumbnail((longest_side, longest_side))
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return file.getvalue()

"""Images from the bytes of their files, many at once."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm


def decode_rows(
    decode: Callable[[range], None],
    count: int,
    *,
    description: str,
    rows_per_call: int,
    max_threads: int,
) -> None:
    """Calls `decode` on pieces of the rows 0..count-1 in threads, under a progress bar.

    `decode` puts what it makes of its rows where it belongs. After an error nothing more is
    started, and of several errors the one of the first rows is raised.
    """
    pieces = [
        range(start, min(start + rows_per_call, count)) for start in range(0, count, rows_per_call)
    ]
    with (
        tqdm(total=count, desc=description, unit="image") as bar,
        ThreadPoolExecutor(min(max_threads, os.cpu_count() or 1)) as pool,
    ):
        for piece, _ in zip(pieces, pool.map(decode, pieces), strict=True):
            bar.update(len(piece))


def image_decoder() -> Callable[[bytes], UInt8[np.ndarray, "height width channels"]]:
    """A function from an encoded image to its pixels: OpenCV's, else Pillow's.

    Both release Python's lock while they decode, so threads help; OpenCV is the faster one for
    large images. Images are grey or red, green, blue. The function raises ValueError for bytes that
    are no image.

    Raises:
        ModuleNotFoundError: if neither is installed.
    """
    try:
        import cv2
    except ModuleNotFoundError:
        return _pillow_decoder()

    def decode(encoded: bytes) -> np.ndarray:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise ValueError(f"{len(encoded)} bytes that are no image")
        return image[..., None] if image.ndim == 2 else image[..., ::-1]

    return decode


def _pillow_decoder() -> Callable[[bytes], np.ndarray]:
    """The decoder without OpenCV."""
    try:
        import PIL.Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "decoding images needs OpenCV or Pillow: pip install 'ensemble_jax[tfds]'",
            name=error.name,
        ) from error

    def decode(encoded: bytes) -> np.ndarray:
        try:
            with PIL.Image.open(io.BytesIO(encoded)) as file:
                image = np.asarray(file)
        except OSError as error:
            raise ValueError(f"{len(encoded)} bytes that are no image") from error
        return image[..., None] if image.ndim == 2 else image

    return decode

"""Images from the bytes of their files."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8


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

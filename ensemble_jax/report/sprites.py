"""Many small pictures as few large ones, which a page cuts up again."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from PIL import Image

MEDIA_TYPE = "image/webp"

# Pixels of all pictures; those of CIFAR-10 come to about 0.7 bytes each.
_MOST_PIXELS = 24 << 20
# Of so few pixels every one is kept as it is: pictures of 8 by 8 blur otherwise.
_MOST_EXACT_PIXELS = 2 << 20
_QUALITY = 80
# Of the longer side of a picture, the first with which all fit, or the last.
_SIDES = (96, 64, 48, 32)
# Of the longer side of a sheet, which is decoded when one of its pictures is first shown.
_SHEET_SIDE = 1024


class Sprites(NamedTuple):
    """Pictures of one size on sheets, row by row.

    Attributes:
        width: of a picture, in pixels.
        height: of a picture.
        columns: pictures beside each other on a sheet.
        rows: rows of pictures on a sheet; the last sheet may have fewer.
        sheets: WebP files.
    """

    width: int
    height: int
    columns: int
    rows: int
    sheets: Sequence[bytes]


def choose_size(width: int, height: int, count: int) -> tuple[int, int, int]:
    """Width and height at which pictures are kept, and how many of `count` there is room for.

    >>> choose_size(28, 28, 70_000)
    (28, 28, 32099)
    >>> choose_size(640, 480, 1000)
    (96, 72, 1000)
    """
    sizes = [_shrunk(width, height, side) for side in _SIDES]
    for size in sizes:
        if count * math.prod(size) <= _MOST_PIXELS:
            return *size, count
    return *sizes[-1], _MOST_PIXELS // math.prod(sizes[-1])


def _shrunk(width: int, height: int, side: int) -> tuple[int, int]:
    scale = min(1, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def make_sprites(
    pictures: Iterator[Shaped[np.ndarray, "H W C"]], width: int, height: int, count: int
) -> Sprites:
    """Put pictures of bytes in one or three channels on sheets.

    Args:
        pictures: `count` of them.
        width: of each on the sheets.
        height: the same.
        count: how many there are.
    """
    columns = max(1, min(_SHEET_SIDE // width, count))
    rows = max(1, min(_SHEET_SIDE // height, -(-count // columns)))
    exact = count * width * height <= _MOST_EXACT_PIXELS
    sheets = []
    for first in range(0, count, columns * rows):
        on_sheet = min(columns * rows, count - first)
        sheet = Image.new("RGB", (columns * width, -(-on_sheet // columns) * height))
        for position in range(on_sheet):
            row, column = divmod(position, columns)
            sheet.paste(_shrink(next(pictures), (width, height)), (column * width, row * height))
        file = io.BytesIO()
        sheet.save(file, "webp", lossless=exact, quality=_QUALITY)
        sheets.append(file.getvalue())
    return Sprites(width, height, columns, rows, sheets)


def _shrink(picture: Shaped[np.ndarray, "H W C"], size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)

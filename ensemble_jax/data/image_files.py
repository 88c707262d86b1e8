"""Image files of any kind and size, decoded into one array and kept in the cache."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from ensemble_jax.data.cache import cached_arrays, state_of_file
from ensemble_jax.data.decoding import decode_rows
from ensemble_jax.data.folders import Folders

if TYPE_CHECKING:
    import PIL.Image

IMAGE_SUFFIXES = (
    *(".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"),
    *(".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".apng", ".png"),
    *(".pbm", ".pgm", ".pnm", ".ppm"),
)
"""What a file must end in, in any case of letters, to count as an image."""

# What may be inside; others of Pillow's formats would start programs.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_FILES_PER_CALL = 64
_MAX_THREADS = 16
# A warning names at most so many files.
_FILES_SHOWN = 20
# To be raised whenever the arrays made from the same files change.
_LAYOUT = 2
# Of 255. Below it, 12 of the 16 bits would do.
_LEAST_COLOUR_PEAK = 17

T = TypeVar("T")


@dataclass(frozen=True)
class ImageSpec:
    """What all images of a set are made to be.

    Attributes:
        size: height and width; None keeps the files' own size, of which there must be one.
        channels: 1 (grey) or 3 (red, green, blue); None is 1 if all files are grey, else 3.
        skip_broken: whether files that cannot be decoded are left out, with a warning.
        advice: what the error for such a file tells the user to do.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    skip_broken: bool = False
    advice: str = "mend or remove it"

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"size must be at least 1 in height and width, got {self.size}")
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1 or 3, got {self.channels}")


class DecodedImages(NamedTuple):
    """Images, and which of the files they come from.

    Attributes:
        images: uint8 `[M, height, width, channels]`.
        rows: `[M]`, the position of each among the files; all of them, but for broken ones.
        num_wide: how many of the files have 16 bits per value.
        bits: how many of these 16 the values of all such files use.
    """

    images: UInt8[np.ndarray, "M height width channels"]
    rows: Int[np.ndarray, " M"]
    num_wide: int = 0
    bits: int = 8


class _Header(NamedTuple):
    """What a file says of itself before it is decoded; size is height and width."""

    size: tuple[int, int]
    grey: bool


def load_images(
    path: Path,
    size: tuple[int, int],
    channels: int,
    folders: Folders,
    *,
    skip_broken: bool = False,
) -> tuple[UInt8[np.ndarray, "M height width channels"], Shaped[np.ndarray, " M"]]:
    """Every image in a folder and its subfolders, in one form, and its path relative to the folder.

    In the order of their paths; hidden files and folders, links to folders and files of other
    kinds (see `IMAGE_SUFFIXES`) are passed over. Images are cut and converted as `decode_images`
    says, and read-only.

    Args:
        path: the folder.
        size: the height and width that each image is cropped and resized to.
        channels: 1 for grey, 3 for red, green, blue.
        folders: only the cache is used.
        skip_broken: whether files that cannot be decoded are left out, with a warning.

    Raises:
        ValueError: if there is no such folder, or no image in it, or a broken one.
    """
    name = f"images:{path}"
    if not path.is_dir():
        raise ValueError(f"{name}: {path} is not a folder")
    ids = []
    for folder, subfolders, _ in os.walk(path):
        subfolders[:] = [subfolder for subfolder in subfolders if not subfolder.startswith(".")]
        ids += list_images(path, Path(folder))
    if not ids:
        raise ValueError(f"{name}: {path} holds no images; they end in {' '.join(IMAGE_SUFFIXES)}")
    ids.sort()
    form = ImageSpec(size, channels, skip_broken, "mend or remove it, or skip such by skip_broken")
    decoded = decode_images(name, path, {"images": ids}, form, folders.cache)["images"]
    return decoded.images, np.array(ids)[decoded.rows]


def list_images(root: Path, folder: Path) -> list[str]:
    """The images that lie directly in a folder, as sorted paths relative to the root."""
    start = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    with os.scandir(folder) as entries:
        return sorted(
            start + entry.name
            for entry in entries
            if entry.name.lower().endswith(IMAGE_SUFFIXES)
            and not entry.name.startswith(".")
            and entry.is_file()
        )


def decode_images(
    name: str,
    root: Path,
    files: Mapping[str, Sequence[str]],
    form: ImageSpec,
    cache_dir: Path,
) -> Mapping[str, DecodedImages]:
    """Groups of files, each as one array, decoded once and then mapped from the cache.

    - Photographs are turned upright as their camera says (EXIF; not in PNG files).
    - Transparency is laid on white; of moving images the first counts.
    - Grey values of 16 bits become 8 bits by the range in use: where the largest value of all files
      needs b bits (12 for 4,000), each value is divided by 2^(b-8). Of colours with 16 bits the
      upper 8 are taken, and sets in which these are nearly 0 are refused.
    - Colour becomes grey by ITU-R 601 (0.299 red, 0.587 green, 0.114 blue); grey becomes colour by
      repetition; palettes and other colour spaces become red, green, blue.
    - The largest centred rectangle of the wanted shape is cut out and resized with a triangular
      filter that covers all its pixels (no aliasing). Images of the wanted size stay as they are.

    Pillow decodes, whatever else is installed, so that the pixels are the same everywhere. Files
    are decoded straight into their place in the array, which is all the memory this needs. The
    cache follows the files' paths and `state_of_file`, and the form.

    Args:
        name: what messages begin with.
        root: the folder that paths are relative to.
        files: the paths in each group; some name for the group.
        form: what the images of all groups are made to be.
        cache_dir: the folder of the cache.

    Raises:
        ValueError: if a file is broken, or all of a group, or sizes differ and none is wanted.
    """
    key = {
        "layout": _LAYOUT,
        "root": str(root.resolve()),
        "files": {
            group: [[path, *state_of_file(root / path)] for path in paths]
            for group, paths in files.items()
        },
        "form": [form.size, form.channels, form.skip_broken],
    }
    label = f"images-{root.resolve().name[:40]}"
    arrays = cached_arrays(cache_dir, label, key, lambda: _decode(name, root, files, form))
    decoded = {
        group: DecodedImages(
            arrays[f"{group}_images"], arrays[f"{group}_rows"], *arrays[f"{group}_bits"].tolist()
        )
        for group in files
    }
    _tell_skipped(name, files, decoded)
    return decoded


def _tell_skipped(
    name: str, files: Mapping[str, Sequence[str]], decoded: Mapping[str, DecodedImages]
) -> None:
    """A warning that names the files that were left out, if there are any."""
    skipped: list[str] = []
    for group, paths in files.items():
        skipped += np.delete(np.array(paths), decoded[group].rows).tolist()
    if skipped:
        more = len(skipped) - _FILES_SHOWN
        warnings.warn(
            f"{name}: skipped {len(skipped)} broken of {sum(map(len, files.values()))} images: "
            f"{', '.join(skipped[:_FILES_SHOWN])}{f' and {more} more' if more > 0 else ''}",
            stacklevel=3,
        )


def _decode(
    name: str, root: Path, files: Mapping[str, Sequence[str]], form: ImageSpec
) -> dict[str, np.ndarray]:
    """The arrays that are kept in the cache."""
    if form.size is None or form.channels is None:
        form = _completed(name, root, files, form)
    assert form.size is not None
    assert form.channels is not None
    groups = {
        group: _Decoding(
            np.empty((len(paths), *form.size, form.channels), np.uint8),
            np.zeros(len(paths), bool),
            np.full(len(paths), -1),
            np.full(len(paths), -1),
        )
        for group, paths in files.items()
    }

    def decode_rows_of(group: str, rows: np.ndarray, read: Callable[..., _Look], what: str) -> None:
        def decode(numbers: range) -> None:
            for row in map(int, rows[numbers.start : numbers.stop]):
                look = _attempt(name, root / files[group][row], form, read)
                if look is not None:
                    groups[group].take(row, look)

        _decode_files(decode, len(rows), f"{what} {root.resolve().name} {group}")

    for group, paths in files.items():
        read = partial(_first_look, form=form)
        decode_rows_of(group, np.arange(len(paths)), read, "decoding")
    _check_colours(name, groups)
    bits = bits_in_use(found.peaks.max(initial=-1) for found in groups.values())
    for group, found in groups.items():
        wide = np.flatnonzero(found.peaks >= 0)
        if wide.size:
            read = partial(_scaled, form=form, bits=bits)
            decode_rows_of(group, wide, read, "scaling 16 bits of")
    arrays: dict[str, np.ndarray] = {}
    for group, paths in files.items():
        found = groups[group]
        rows = np.flatnonzero(found.whole)
        if not rows.size:
            raise _all_broken(name, paths)
        # In place, as a copy would need the memory twice; a row never comes before its target.
        for target, row in enumerate(rows):
            if target != row:
                found.images[target] = found.images[row]
        arrays |= {f"{group}_images": found.images[: len(rows)], f"{group}_rows": rows}
        wide = (found.peaks >= 0).sum()
        arrays[f"{group}_bits"] = np.array([wide, bits if wide else 8])
    return arrays


class _Look(NamedTuple):
    """What a file shows at first: its pixels, or the largest value where these have 16 bits.

    Peaks are -1 where the values have 8 bits.
    """

    pixels: UInt8[np.ndarray, "height width channels"] | None
    peak: int = -1
    colour_peak: int = -1


class _Decoding(NamedTuple):
    """The images of a group while they are decoded, with a row for each file.

    Attributes:
        images: uint8 `[M, height, width, channels]`.
        whole: `[M]`, which of them are there.
        peaks: `[M]`, the largest value of a grey file of 16 bits, -1 for others.
        colour_peaks: `[M]`, that of a colour file of 16 bits after it was brought to 8, else -1.
    """

    images: UInt8[np.ndarray, "M height width channels"]
    whole: np.ndarray
    peaks: Int[np.ndarray, " M"]
    colour_peaks: Int[np.ndarray, " M"]

    def take(self, row: int, look: _Look) -> None:
        """Puts what a file shows in its place."""
        if look.pixels is None:
            self.peaks[row] = look.peak
        else:
            self.images[row] = look.pixels
            self.whole[row] = True
            self.colour_peaks[row] = look.colour_peak


def _first_look(file: PIL.Image.Image, form: ImageSpec) -> _Look:
    """Decodes a file, unless it must be known first which range all files use."""
    if has_16_bits(file):
        return _Look(None, peak=int(np.asarray(file).max()))
    # How Pillow decodes, such as "RGB;16B" or ("RGB", 65535); it forgets that once it has.
    raw = str([tile[3] for tile in getattr(file, "tile", ())])
    wide = ";16" in raw or "65535" in raw
    pixels = _pixels(file, form)
    return _Look(pixels, colour_peak=int(pixels.max()) if wide else -1)


def _scaled(file: PIL.Image.Image, form: ImageSpec, bits: int) -> _Look:
    """Decodes a file of 16 bits, once the number of bits in use is known."""
    return _Look(_pixels(file, form, bits))


def has_16_bits(image: PIL.Image.Image) -> bool:
    """Whether an image of Pillow's is grey with 16 bits per value."""
    # Files of the formats PGM and, by older versions, PNG are read as 32 bits that hold 16.
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG"))


def bits_in_use(peaks: Iterable[int]) -> int:
    """How many bits the largest of some values takes, at least 8: 12 for values up to 4,095.

    >>> bits_in_use([17, 4000]), bits_in_use([])
    (12, 8)
    """
    return max(8, int(max(peaks, default=0)).bit_length())


def _check_colours(name: str, groups: Mapping[str, _Decoding]) -> None:
    """An error where all colours of 16 bits are nearly black, as Pillow keeps their high bits."""
    peaks = np.concatenate([found.colour_peaks for found in groups.values()])
    if (peaks >= 0).any() and peaks.max() < _LEAST_COLOUR_PEAK:
        raise ValueError(
            f"{name}: {(peaks >= 0).sum()} images have 16 bits per colour, of which only the upper "
            f"8 are read, and these are at most {peaks.max()} of 255; convert them to 8 bits"
        )


def _completed(
    name: str, root: Path, files: Mapping[str, Sequence[str]], form: ImageSpec
) -> ImageSpec:
    """The form with what the user left to the files, from their headers."""
    paths = [path for group in files.values() for path in group]
    headers: list[_Header | None] = [None] * len(paths)

    def read(rows: range) -> None:
        for row in rows:
            headers[row] = _attempt(name, root / paths[row], form, _header)

    _decode_files(read, len(paths), f"looking at {root.resolve().name}")
    known = {path: header for path, header in zip(paths, headers, strict=True) if header}
    if not known:
        raise _all_broken(name, paths)
    if form.channels is None:
        form = replace(form, channels=1 if all(header.grey for header in known.values()) else 3)
    if form.size is None:
        sizes: dict[tuple[int, int], str] = {}
        for path, header in known.items():
            sizes.setdefault(header.size, path)
        if len(sizes) > 1:
            (a, a_path), (b, b_path), *_ = sizes.items()
            raise ValueError(
                f"{name}: images have {len(sizes)} different sizes (height x width: {a[0]}x{a[1]} "
                f"in {a_path}, {b[0]}x{b[1]} in {b_path}); size=PIXELS crops and resizes them to "
                "one, such as size=64"
            )
        form = replace(form, size=next(iter(sizes)))
    return form


def _all_broken(name: str, paths: Sequence[str]) -> ValueError:
    """The error where skipping leaves nothing."""
    return ValueError(f"{name}: all {len(paths)} images are broken, such as {paths[0]}")


def _decode_files(decode: Callable[[range], None], count: int, description: str) -> None:
    """`decode_rows` as it suits files."""
    decode_rows(
        decode,
        count,
        description=description,
        rows_per_call=_FILES_PER_CALL,
        max_threads=_MAX_THREADS,
    )


def fit_encoded_image(
    encoded: bytes, form: ImageSpec
) -> UInt8[np.ndarray, "height width channels"]:
    """The pixels of one image file, given its bytes, as `decode_images` makes them.

    Args:
        encoded: the content of the file.
        form: with size and channels.

    Raises:
        ValueError: if it is no image, or a broken one.
    """
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(encoded), formats=_FORMATS) as file:
            return _pixels(file, form)
    except Exception as error:  # as in `_attempt`
        if isinstance(error, MemoryError):
            raise
        raise ValueError(f"cannot be read as an image ({_reason(error)})") from error


def image_pixels(
    image: PIL.Image.Image, bits: int = 16
) -> UInt8[np.ndarray, "height width channels"]:
    """An image of Pillow's in its own size, grey or red, green, blue, as `decode_images` says.

    It is not turned: what it says of the camera (EXIF) is for whoever opened the file.

    Args:
        image: to be converted.
        bits: the range in use, where it has 16 bits per value.

    Raises:
        ValueError: if it has 32 bits per value.
    """
    image = _with_channels(image, 1 if image.mode in _GREY_MODES else 3, bits)
    return np.asarray(image).reshape(image.height, image.width, -1)


def _attempt(
    name: str, path: Path, form: ImageSpec, read: Callable[[PIL.Image.Image], T]
) -> T | None:
    """The result of `read` on an image, or None if the image is broken and is to be skipped."""
    import PIL.Image

    try:
        with PIL.Image.open(path, formats=_FORMATS) as file:
            return read(file)
    except Exception as error:  # Damaged bytes make Pillow's parsers raise nearly anything.
        # What the system refuses is no fault of the file.
        of_system = isinstance(error, MemoryError) or getattr(error, "errno", None) is not None
        if form.skip_broken and not of_system:
            return None
        advice = "" if of_system else f"; {form.advice}"
        raise ValueError(
            f"{name}: {path} cannot be read as an image ({_reason(error)}){advice}"
        ) from error


def _reason(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _header(file: PIL.Image.Image) -> _Header:
    """The size after the image is turned upright, and whether it is grey."""
    width, height = file.size
    turned = _orientation(file) >= 5
    return _Header((width, height) if turned else (height, width), file.mode in _GREY_MODES)


def _orientation(file: PIL.Image.Image) -> int:
    """How EXIF says that the camera was held, 1..8, where 1 is upright and 5..8 are sideways."""
    import PIL.ExifTags

    # Pillow turns TIFF itself; a PNG file may say it after the pixels, so that asking decodes all.
    if file.format not in ("JPEG", "MPO", "WEBP"):
        return 1
    return file.getexif().get(PIL.ExifTags.Base.Orientation, 1)


def _pixels(
    file: PIL.Image.Image, form: ImageSpec, bits: int = 16
) -> UInt8[np.ndarray, "height width channels"]:
    """An image in a form that leaves nothing open."""
    import PIL.Image
    import PIL.ImageOps

    assert form.size is not None
    height, width = form.size
    # A JPEG file can be decoded at 1/2, 1/4 or 1/8 of its size, several times as fast; twice the
    # wanted size leaves the filter below enough to average over.
    file.draft(None, (2 * max(form.size), 2 * max(form.size)))
    image = PIL.ImageOps.exif_transpose(file) if _orientation(file) != 1 else file
    image = _with_channels(image, form.channels, bits)
    if image.size != (width, height):
        # Cropped first: the filter's own `box` also averages over pixels outside the box.
        image = image.crop(_centred_box(image.size, (width, height)))
        image = image.resize((width, height), PIL.Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, -1)


def _with_channels(image: PIL.Image.Image, channels: int | None, bits: int) -> PIL.Image.Image:
    """The image in 8 bits, grey or red, green, blue, without transparency."""
    import PIL.Image

    if has_16_bits(image):
        image = PIL.Image.fromarray((np.asarray(image) >> (bits - 8)).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"32 bits per value (mode {image.mode}) have no known range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _centred_box(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest centred rectangle in `size` with the ratio of `shape`, both width and height.

    >>> _centred_box((100, 40), (64, 64)), _centred_box((30, 40), (2, 1))
    ((30, 0, 70, 40), (0, 12, 30, 27))
    """
    width, height = size
    wide, high = shape
    if width * high > height * wide:
        width = max(1, round(height * wide / high))
    else:
        height = max(1, round(width * high / wide))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height

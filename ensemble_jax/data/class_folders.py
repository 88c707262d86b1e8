"""A user's own images, in one folder per class."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.folders import Folders, expanded
from ensemble_jax.data.image_files import IMAGE_SUFFIXES, ImageSpec, decode_images, list_images
from ensemble_jax.data.name_options import FLAG, NameOption, split_name
from ensemble_jax.data.wording import first_few

FOLDER_PREFIX = "folder:"
"""The prefix of the name of such a data set, before the path."""

_OPTIONS = {
    "size": NameOption(r"[1-9]\d{0,4}", "a number of pixels", lambda s: (int(s), int(s))),
    "channels": NameOption("[13]", "1 or 3", int),
    "skip_broken": FLAG,
}
# Parts of the data set's definition: other numbers are another split.
_SPLIT_SEED = 1797
_TEST_FRACTION = 0.2

FilesByClass = Mapping[str, Sequence[str]]
"""For each class, in the order of the labels, the images' paths relative to the root."""


class _FolderName(NamedTuple):
    """What a name says."""

    path: Path
    form: ImageSpec


def load_folder(name: str, folders: Folders) -> Dataset:
    """The images below `PATH`, for a name `folder:PATH` or `folder:PATH?OPTION=VALUE&...`.

    A shell needs quotes around a name with options. Either layout is read; a leading `~` in `PATH`
    is expanded:

    | layout | splits |
    |---|---|
    | `PATH/train/CLASS/IMAGE` and `PATH/test/CLASS/IMAGE` (or `val` where there is no `test`) | as the folders say; other folders are passed over |
    | `PATH/CLASS/IMAGE` | a fifth of each class, rounded and at least one image, is to test on: those that come first in the order of `fixed_order`, so that the same files are always split alike and a new one moves at most one other |

    | option | meaning |
    |---|---|
    | `size=64` | the largest centred square is cut out and resized to 64x64; without it all images must have one size, which stays |
    | `channels=1` | grey, or 3 for red, green, blue; without it 1 if all images are grey, else 3 |
    | `skip_broken=1` | images that cannot be decoded are left out, and named in a warning |

    Labels are 0, 1, ... in the order of the sorted names of the folders, which are the class names;
    ids are the paths relative to `PATH`. Examples are sorted by class and path. An image is a file
    that ends in one of `IMAGE_SUFFIXES`; other and hidden files are passed over, which `Dataset.summary` counts. Links are followed, to
    folders of classes too, since subsets are made of links; nothing is ever written here.
    `decode_images` says what becomes of transparency, palettes and 16 bits. Inputs are uint8
    `[M, height, width, channels]`, read-only.

    Raises:
        ValueError: if an option is none of these, or the folders are not laid out so, or lack
            images, or an image is broken.
    """  # noqa: E501
    path, form = parse_folder_name(name)
    return from_folder(name, path, form, folders)


def from_folder(name: str, path: Path, form: ImageSpec, folders: Folders) -> Dataset:
    """As `load_folder`, of a folder and a form; the name is for messages."""
    if not path.is_dir():
        raise ValueError(f"{name}: {path} is not a folder")
    if _subfolders(path / "train"):
        files = _split_folders(name, path)
    else:
        files = _divided(name, _class_folders(name, path, path))
    dataset = load_classes(name, path, files, form, folders)
    others = _others(path, files)
    if others:
        endings = first_few([f"{suffix or 'no ending'} {n}" for suffix, n in others.items()])
        note = f"{others.total()} other files passed over ({endings})"
        dataset = replace(dataset, notes=(*dataset.notes, note))
        unread = [suffix for suffix in others if _is_of_image(suffix)]
        if unread:
            count = sum(others[suffix] for suffix in unread)
            warnings.warn(
                f"{name}: {count} images are passed over, as {' '.join(unread)} cannot be read; "
                f"{' '.join(IMAGE_SUFFIXES)} can",
                stacklevel=3,
            )
    return dataset


def parse_folder_name(name: str) -> _FolderName:
    """The path and the options in a name; reads nothing.

    Raises:
        ValueError: if an option is unknown or has no value that it may have.

    >>> parse_folder_name("folder:photos?size=64").form.size
    (64, 64)
    """
    path, values = split_name(name, FOLDER_PREFIX, _OPTIONS)
    form = ImageSpec(
        size=values.get("size"),
        channels=values.get("channels"),
        skip_broken=values.get("skip_broken", False),
        advice="mend or remove it, or add skip_broken=1 to leave such out: "
        f"{name}{'&' if '?' in name else '?'}skip_broken=1",
    )
    return _FolderName(expanded(path), form)


def load_classes(
    name: str, root: Path, files: Mapping[str, FilesByClass], form: ImageSpec, folders: Folders
) -> Dataset:
    """The data set of the images in `files["train"]` and `files["test"]`.

    The classes of both must be the same, in one order; ids are the paths relative to the root.

    Raises:
        ValueError: as `decode_images` does, and if skipping leaves a class without images.
    """
    class_names = tuple(files["train"])
    paths = {
        split: [path for of_class in by_class.values() for path in of_class]
        for split, by_class in files.items()
    }
    decoded = decode_images(name, root, paths, form, folders.cache)
    splits = {}
    for split, of_split in decoded.items():
        sizes = [len(files[split][class_name]) for class_name in class_names]
        labels = np.repeat(np.arange(len(class_names), dtype=np.int32), sizes)[of_split.rows]
        lost = np.flatnonzero(np.bincount(labels, minlength=len(class_names)) == 0)
        if lost.size:
            raise ValueError(
                f"{name}: all {split} images of the class {class_names[lost[0]]} are broken"
            )
        splits[split] = Split(of_split.images, labels, np.array(paths[split])[of_split.rows])
    broken = sum(map(len, paths.values())) - sum(len(split) for split in splits.values())
    notes = (f"{broken} broken images left out",) if broken else ()
    wide = sum(of_split.num_wide for of_split in decoded.values())
    if wide:
        bits = max(of_split.bits for of_split in decoded.values())
        notes += (f"{wide} images of 16 bits, which use {bits} of them, scaled to 8",)
    return Dataset(name, splits["train"], splits["test"], class_names, notes=notes)


def fixed_order(paths: Sequence[str]) -> list[str]:
    """The paths in an order that looks random and is the same for ever.

    It is that of the SHA-256 of a fixed seed and each path's last two parts (class and file), so
    that it depends on nothing else, and two paths keep their order whatever is added.

    >>> fixed_order(["a/1.png", "a/2.png", "a/3.png"])
    ['a/2.png', 'a/3.png', 'a/1.png']
    """

    def digest(path: str) -> bytes:
        tail = "/".join(path.split("/")[-2:])
        return hashlib.sha256(os.fsencode(f"{_SPLIT_SEED}/{tail}")).digest()

    return sorted(paths, key=digest)


def _split_folders(name: str, path: Path) -> Mapping[str, FilesByClass]:
    """The files of a root that has folders of splits."""
    test_folder = next((path / split for split in ("test", "val") if (path / split).is_dir()), None)
    if test_folder is None:
        raise ValueError(
            f"{name}: beside the folder train, {path} must hold test or val; to have a fifth of "
            f"train to test on, give {FOLDER_PREFIX}{path / 'train'}"
        )
    files = {
        "train": _class_folders(name, path, path / "train"),
        "test": _class_folders(name, path, test_folder),
    }
    for here, there in (("train", "test"), ("test", "train")):
        lacking = [class_name for class_name in files[here] if class_name not in files[there]]
        if lacking:
            folder = {"train": path / "train", "test": test_folder}[there]
            raise ValueError(
                f"{name}: both splits must have the same classes, and {folder} lacks "
                f"{first_few(lacking)}"
            )
    return files


def _class_folders(name: str, root: Path, folder: Path) -> FilesByClass:
    """The images in each class folder of a folder, which must have at least two of them."""
    classes = _subfolders(folder)
    if classes and set(classes) <= {"train", "test", "val"}:
        raise ValueError(
            f"{name}: {folder} holds no classes but {', '.join(classes)}, of which train must hold "
            "one folder per class, and test or val the same ones"
        )
    if not classes:
        loose = len(list_images(root, folder))
        also = f" but {loose} loose image(s)" if loose else ""
        raise ValueError(
            f"{name}: {folder} holds no class folders{also}; images belong into one folder per "
            "class"
        )
    for class_name in classes:
        nested = _subfolders(folder / class_name)
        if nested:
            raise ValueError(
                f"{name}: class folders must hold images and no folders, got "
                f"{folder / class_name / nested[0]}; PATH/CLASS/IMAGE is read, or "
                "PATH/train/CLASS/IMAGE with PATH/test/CLASS/IMAGE"
            )
    if len(classes) < 2:
        raise ValueError(
            f"{name}: {folder} must hold at least two class folders, got only {classes[0]}"
        )
    files = {class_name: list_images(root, folder / class_name) for class_name in classes}
    empty = [class_name for class_name, images in files.items() if not images]
    if len(empty) == len(files):
        raise ValueError(
            f"{name}: the {len(files)} class folders of {folder} hold no images; those end in "
            f"{' '.join(IMAGE_SUFFIXES)}"
        )
    if empty:
        raise ValueError(f"{name}: class folders of {folder} without images: {first_few(empty)}")
    return files


def _divided(name: str, files: FilesByClass) -> Mapping[str, FilesByClass]:
    """The fixed split of classes that have no folders of splits."""
    train, test = {}, {}
    for class_name, paths in files.items():
        if len(paths) < 2:
            raise ValueError(
                f"{name}: the class {class_name} must have at least two images, one to train and "
                f"one to test on, got only {paths[0]}"
            )
        count = max(1, round(_TEST_FRACTION * len(paths)))
        order = fixed_order(paths)
        test[class_name], train[class_name] = sorted(order[:count]), sorted(order[count:])
    return {"train": train, "test": test}


def _subfolders(folder: Path) -> list[str]:
    """The sorted names of the visible subfolders of a folder; none if it does not exist."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith((".", "__MACOSX")) and entry.is_dir()
        )


def _is_of_image(suffix: str) -> bool:
    """Whether files with such an ending are images."""
    return (mimetypes.guess_type(f"x{suffix}")[0] or "").startswith("image/")


def _others(path: Path, files: Mapping[str, FilesByClass]) -> Counter[str]:
    """How many visible files of each ending are in the folders of the images and no images."""
    images = (image for by_class in files.values() for of in by_class.values() for image in of)
    folders = {(path / image).parent for image in images}
    found = Counter(
        os.path.splitext(entry.name)[1].lower()
        for folder in folders
        for entry in os.scandir(folder)
        if not entry.name.startswith(".")
        and not entry.name.lower().endswith(IMAGE_SUFFIXES)
        and entry.is_file()
    )
    return Counter(dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))))

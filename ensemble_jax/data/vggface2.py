"""The faces of VGGFace2's ten most photographed people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ensemble_jax.data.class_folders import fixed_order, load_classes
from ensemble_jax.data.dataset import Dataset
from ensemble_jax.data.folders import Folders
from ensemble_jax.data.image_files import ImageSpec, list_images

VGGFACE2 = "vggface2"
"""The name of that set."""

_FOLDER = "VGGFace2"
_IDENTITIES = 10
_TRAIN_IMAGES = 600
_SIZE = 64


def load_vggface2(name: str, folders: Folders) -> Dataset:
    """The 10 identities with most images: 600 of each to train on, the rest to test on.

    Read from `VGGFace2` in `folders.data`, which holds the folders of the identities (`n000001`,
    ...) or `train` and `test` with such folders, which are taken together. Of two identities with
    equally many images the first is preferred. The 600 are those that come first in the order of
    `class_folders.fixed_order`. Images are centre-cropped and resized to uint8 `[M, 64, 64, 3]`;
    class names are the identities, sorted; ids are paths relative to the folder. All folders are
    looked through each time, which takes as long as the disk needs to list 3.3 million files; the
    images that are chosen are decoded once.

    Raises:
        ValueError: if it is not there, or has fewer than ten identities of more than 600 images,
            or an image is broken.
    """
    root = folders.data / _FOLDER
    if not root.is_dir():
        raise ValueError(
            f"{name} is not in data_dir {folders.data}; it must hold {root} with the folders train "
            "and test of VGGFace2, or with the folders of identities"
        )
    identities: dict[str, list[str]] = {}
    for folder in _identity_folders(root):
        identities.setdefault(folder.name, []).extend(list_images(root, folder))
    most = sorted(identities, key=lambda identity: (-len(identities[identity]), identity))
    chosen = sorted(most[:_IDENTITIES])
    usable = sum(len(paths) > _TRAIN_IMAGES for paths in identities.values())
    if usable < _IDENTITIES:
        raise ValueError(
            f"{name} needs {_IDENTITIES} identities of more than {_TRAIN_IMAGES} images, got "
            f"{usable} among {len(identities)} in {root}"
        )
    train, test = {}, {}
    for identity in chosen:
        order = fixed_order(identities[identity])
        train[identity] = sorted(order[:_TRAIN_IMAGES])
        test[identity] = sorted(order[_TRAIN_IMAGES:])
    form = ImageSpec((_SIZE, _SIZE), channels=3, advice="unpack it again")
    return load_classes(name, root, {"train": train, "test": test}, form, folders)


def _identity_folders(root: Path) -> Iterator[Path]:
    """The folders of identities, whether or not in those of parts."""
    parts = [root / part for part in ("train", "test") if (root / part).is_dir()] or [root]
    for part in parts:
        with os.scandir(part) as entries:
            yield from (Path(entry.path) for entry in entries if entry.is_dir())

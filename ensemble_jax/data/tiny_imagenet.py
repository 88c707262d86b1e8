"""Tiny ImageNet, as its authors' archive unpacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath

from ensemble_jax.data.class_folders import FilesByClass, load_classes
from ensemble_jax.data.dataset import Dataset
from ensemble_jax.data.folders import Folders
from ensemble_jax.data.image_files import ImageSpec, list_images

TINY_IMAGENET = "tiny_imagenet"
"""The name of that set."""

_FOLDER = "tiny-imagenet-200"
_ANNOTATIONS = "val/val_annotations.txt"
_SOURCE = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"


def load_tiny_imagenet(name: str, folders: Folders) -> Dataset:
    """100,000 images of 64x64 to train on and 10,000 to test on, of 200 classes.

    Read from `tiny-imagenet-200` in `folders.data`. The test split is the published `val`, as the
    labels of `test` are not public. Labels are in the order of the sorted WordNet ids (`wnids.txt`
    has no order); class names are the first of each id's `words.txt`, with the id behind it where
    two classes share that. Ids are paths relative to the folder. Inputs are uint8
    `[M, 64, 64, 3]`, of which some are grey.

    Raises:
        ValueError: if it is not there, or damaged, or incomplete: classes of `wnids.txt` without
            images, classes with fewer train or test images than others, images of
            `val_annotations.txt` that are missing.
    """
    root = folders.data / _FOLDER
    if not root.is_dir():
        raise ValueError(f"{name} is not in data_dir {folders.data}; {_how_to_get(folders.data)}")
    wordnet_ids = sorted(_read_lines(name, root, "wnids.txt"))
    for wordnet_id in wordnet_ids:
        if not _is_plain(wordnet_id):
            raise ValueError(f"{name} is damaged: {root / 'wnids.txt'} has the line {wordnet_id!r}")
    files = {
        "train": _train_files(root, wordnet_ids),
        "test": _test_files(name, root, wordnet_ids),
    }
    for folder, by_class in zip(("train", "val"), files.values(), strict=True):
        counts = {wordnet_id: len(paths) for wordnet_id, paths in by_class.items()}
        fewest, most = min(counts, key=counts.__getitem__), max(counts.values())
        if counts[fewest] < most or most == 0:
            raise ValueError(
                f"{name} is incomplete: {root / folder} has {counts[fewest]} images of {fewest} "
                f"and {most} of others; {_how_to_get(folders.data)}"
            )
    form = ImageSpec((64, 64), channels=3, advice=_how_to_get(folders.data))
    dataset = load_classes(name, root, files, form, folders)
    return replace(dataset, class_names=_class_names(name, root, wordnet_ids))


def _train_files(root: Path, wordnet_ids: list[str]) -> FilesByClass:
    """The images in the folders of the classes."""
    classes = {wordnet_id: root / "train" / wordnet_id / "images" for wordnet_id in wordnet_ids}
    return {
        wordnet_id: list_images(root, folder) if folder.is_dir() else []
        for wordnet_id, folder in classes.items()
    }


def _test_files(name: str, root: Path, wordnet_ids: list[str]) -> FilesByClass:
    """The images that the annotations assign to the classes."""
    files: Mapping[str, list[str]] = {wordnet_id: [] for wordnet_id in wordnet_ids}
    for line in _read_lines(name, root, _ANNOTATIONS):
        image, _, rest = line.partition("\t")
        wordnet_id = rest.partition("\t")[0]
        path = f"val/images/{image}"
        if wordnet_id not in files or not _is_plain(image):
            raise ValueError(f"{name} is damaged: {root / _ANNOTATIONS} has the line {line!r}")
        if not (root / path).is_file():
            raise ValueError(
                f"{name} is incomplete: {root / path} is missing; {_how_to_get(root.parent)}"
            )
        files[wordnet_id].append(path)
    return {wordnet_id: sorted(paths) for wordnet_id, paths in files.items()}


def _class_names(name: str, root: Path, wordnet_ids: list[str]) -> tuple[str, ...]:
    """A word for each class, all different."""
    lines = _read_lines(name, root, "words.txt")
    words = {line.partition("\t")[0]: line.partition("\t")[2].partition(",")[0] for line in lines}
    first_words = [words.get(wordnet_id) or wordnet_id for wordnet_id in wordnet_ids]
    counts = Counter(first_words)
    return tuple(
        word if counts[word] == 1 else f"{word} {wordnet_id}"
        for word, wordnet_id in zip(first_words, wordnet_ids, strict=True)
    )


def _is_plain(name: str) -> bool:
    """Whether a name that the set gives is that of something in a folder, and leads nowhere else.

    >>> [_is_plain(name) for name in ("n01443537", "val_0.JPEG", "../n01443537", "..", "")]
    [True, True, False, False, False]
    """
    return name == PurePath(name).name and name not in ("", "..")


def _read_lines(name: str, root: Path, path: str) -> list[str]:
    """The lines of a text file that say anything."""
    if not (root / path).is_file():
        raise ValueError(
            f"{name} is incomplete: {root / path} is missing; {_how_to_get(root.parent)}"
        )
    return [line.strip() for line in (root / path).read_text("utf-8").splitlines() if line.strip()]


def _how_to_get(data_dir: Path) -> str:
    """Where the set comes from and goes to."""
    return f"to get it, unpack {_SOURCE} in {data_dir}"

"""ImageNet-2012, whose name is known so that asking for it has a helpful answer."""

from __future__ import annotations

from typing import NoReturn

from ensemble_jax.data.folders import Folders

IMAGENET = "imagenet2012"
"""The name of that set, tensorflow-datasets' own."""


def load_imagenet(name: str, folders: Folders) -> NoReturn:
    """Says why the set cannot be loaded whole, and what can be loaded instead.

    Raises:
        ValueError: always. 1,281,167 train images of 224x224 are 193 GB of pixels.
    """
    raise ValueError(
        f"{name} does not fit into memory (193 GB at 224x224) and is not read piece by piece; "
        "folders of its images, or of a part of them, work at a smaller size: "
        "folder:PATH?size=64&channels=3 with PATH/train/CLASS/IMAGE and PATH/val/CLASS/IMAGE "
        "(16 GB for all)"
    )

"""Prepared sets: the real ones, decoded once for all tests, and tiny ones made on the spot."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from ensemble_jax.data.folders import Folders


@pytest.fixture(scope="session")
def real_folders(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The real prepared sets, with one cache for all tests."""
    return Folders(data=real_data / "tensorflow_datasets", cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Two folders of this test's own; only the first exists."""
    (tmp_path / "prepared").mkdir()
    return Folders(data=tmp_path / "prepared", cache=tmp_path / "cache")


def _encode_png(image: np.ndarray) -> bytes:
    encoded, data = cv2.imencode(".png", image[..., ::-1] if image.shape[-1] == 3 else image)
    assert encoded
    return data.tobytes()


Prepare = Callable[..., Path]


@pytest.fixture
def prepare(folders: Folders, write_prepared: Callable[..., Path]) -> Prepare:
    """Writes images of one size as tensorflow-datasets would; returns the folder of the version."""

    def write(
        name: str,
        images: dict[str, np.ndarray],
        labels: dict[str, list[int]],
        ids: dict[str, list[str]] | None = None,
        version: str = "3.0.2",
        num_shards: int = 1,
        class_names: tuple[str, ...] = ("0", "1", "2"),
    ) -> Path:
        splits = {
            split: [
                {"image": _encode_png(image), "label": labels[split][row]}
                | ({"id": ids[split][row].encode()} if ids else {})
                for row, image in enumerate(of_split)
            ]
            for split, of_split in images.items()
        }
        return write_prepared(
            folders.data,
            name,
            splits,
            class_names,
            image_shape=images["train"].shape[1:],
            version=version,
            num_shards=num_shards,
        )

    return write


WriteImage = Callable[..., Path]


@pytest.fixture
def write_image(tmp_path: Path) -> WriteImage:
    """Writes an image file below the test's folder, of random pixels unless some are given."""

    def write(path: str, pixels: np.ndarray | None = None, size: tuple[int, int] = (8, 8)) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            pixels = np.random.default_rng(list(path.encode())).integers(
                0, 256, (*size, 3), dtype=np.uint8
            )
        PIL.Image.fromarray(pixels).save(file)
        return file

    return write

"""Prepared sets: the real ones, decoded once for all tests, and tiny ones made on the spot."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

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


def _feature(python_class: str, **content: object) -> dict[str, object]:
    return {"pythonClassName": f"tensorflow_datasets.core.features.{python_class}", **content}


def _encode_png(image: np.ndarray) -> bytes:
    encoded, data = cv2.imencode(".png", image[..., ::-1] if image.shape[-1] == 3 else image)
    assert encoded
    return data.tobytes()


Prepare = Callable[..., Path]


@pytest.fixture
def prepare(folders: Folders) -> Prepare:
    """Writes a set as tensorflow-datasets would; returns the folder of the version."""

    def write(
        name: str,
        images: dict[str, np.ndarray],
        labels: dict[str, list[int]],
        ids: dict[str, list[str]] | None = None,
        version: str = "3.0.2",
        num_shards: int = 1,
        class_names: tuple[str, ...] = ("0", "1", "2"),
    ) -> Path:
        folder = folders.data / name / version
        folder.mkdir(parents=True)
        splits = []
        for split, of_split in images.items():
            shards = np.array_split(np.arange(len(of_split)), num_shards)
            for shard, rows in enumerate(shards):
                end = f"{shard:05d}-of-{num_shards:05d}"
                path = folder / f"{name}-{split}.array_record-{end}"
                writer = ArrayRecordWriter(str(path), "group_size:1")
                for row in rows:
                    example = tf_example_pb2.Example()
                    values = example.features.feature
                    values["image"].bytes_list.value.append(_encode_png(of_split[row]))
                    values["label"].int64_list.value.append(labels[split][row])
                    if ids:
                        values["id"].bytes_list.value.append(ids[split][row].encode())
                    writer.write(example.SerializeToString())
                writer.close()
            splits.append(
                {
                    "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                    "name": split,
                    "numBytes": "1",
                    "shardLengths": [str(len(rows)) for rows in shards],
                }
            )
        shape = images["train"].shape[1:]
        features = {
            "image": _feature(
                "image_feature.Image",
                image={"dtype": "uint8", "shape": {"dimensions": list(map(str, shape))}},
            ),
            "label": _feature(
                "class_label_feature.ClassLabel", classLabel={"numClasses": str(len(class_names))}
            ),
        }
        (folder / "label.labels.txt").write_text("\n".join(class_names))
        if ids:
            features["id"] = _feature("text_feature.Text", text={})
        (folder / "features.json").write_text(
            json.dumps(_feature("features_dict.FeaturesDict", featuresDict={"features": features}))
        )
        (folder / "dataset_info.json").write_text(
            json.dumps(
                {"fileFormat": "array_record", "name": name, "splits": splits, "version": version}
            )
        )
        return folder

    return write


WriteImage = Callable[..., Path]


@pytest.fixture
def write_image(tmp_path: Path) -> WriteImage:
    """Writes an image file below the test's folder, of random pixels unless some are given."""

    def write(path: str, pixels: np.ndarray | None = None, size: tuple[int, int] = (8, 8)) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            seed = int.from_bytes(path.encode()) % 2**32
            pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(file)
        return file

    return write

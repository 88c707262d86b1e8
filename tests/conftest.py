"""What every test shares: strictness, fake devices and the real data."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Eight CPU devices and reproducible sums; before anything imports JAX.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says how to provide it."""
    folder = Path(os.environ.get("ENSEMBLE_JAX_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"no real data at {folder}; set ENSEMBLE_JAX_TEST_DATA to the folder that has it"
        )
    return folder


def _feature(python_class: str, **content: object) -> dict[str, object]:
    return {"pythonClassName": f"tensorflow_datasets.core.features.{python_class}", **content}


@pytest.fixture(scope="session")
def write_prepared() -> Callable[..., Path]:
    """A function that writes a set as tensorflow-datasets would, and returns its folder."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    def write(
        data_dir: Path,
        name: str,
        splits: Mapping[str, Sequence[Mapping[str, bytes | int]]],
        class_names: Sequence[str],
        *,
        image_shape: Sequence[int],
        version: str,
        num_shards: int = 1,
    ) -> Path:
        """Examples have an `image` (bytes of a file), a `label` and texts; -1 is any size."""
        folder = data_dir / name / version
        folder.mkdir(parents=True)
        described = []
        for split, examples in splits.items():
            # Shards differ by one example at most, the first ones being larger.
            size, larger = divmod(len(examples), num_shards)
            lengths = [size + (shard < larger) for shard in range(num_shards)]
            rest = iter(examples)
            for shard, length in enumerate(lengths):
                end = f"{shard:05d}-of-{num_shards:05d}"
                path = folder / f"{name}-{split}.array_record-{end}"
                writer = ArrayRecordWriter(str(path), "group_size:1")
                for _ in range(length):
                    record = tf_example_pb2.Example()
                    for feature, value in next(rest).items():
                        values = record.features.feature[feature]
                        if isinstance(value, int):
                            values.int64_list.value.append(value)
                        else:
                            values.bytes_list.value.append(value)
                    writer.write(record.SerializeToString())
                writer.close()
            described.append(
                {
                    "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                    "name": split,
                    "numBytes": "1",
                    "shardLengths": list(map(str, lengths)),
                }
            )
        features = {feature: _feature("text_feature.Text", text={}) for feature in examples[0]}
        features["image"] = _feature(
            "image_feature.Image",
            image={"dtype": "uint8", "shape": {"dimensions": list(map(str, image_shape))}},
        )
        features["label"] = _feature(
            "class_label_feature.ClassLabel", classLabel={"numClasses": str(len(class_names))}
        )
        contents = {
            "features.json": _feature(
                "features_dict.FeaturesDict", featuresDict={"features": features}
            ),
            "dataset_info.json": {
                "fileFormat": "array_record",
                "name": name,
                "splits": described,
                "version": version,
            },
        }
        for file, content in contents.items():
            (folder / file).write_text(json.dumps(content))
        (folder / "label.labels.txt").write_text("\n".join(class_names))
        return folder

    return write


@pytest.fixture(scope="session")
def write_imagenet(write_prepared) -> Callable[[Path], Path]:
    """A function that writes 45 and 13 photographs of three classes as ImageNet is prepared.

    JPEG files of many sizes, of which one is grey and one in cyan, magenta, yellow and black.
    """
    import io

    import numpy as np
    import PIL.Image

    modes = {3: "L", 5: "CMYK"}

    def encode(rng, number, label) -> bytes:
        height, width = rng.integers(40, 90, 2)
        coarse = rng.integers(0, 120, (4, 4, 3)) + 60 * (np.arange(3) == label)
        image = PIL.Image.fromarray(coarse.astype(np.uint8)).resize((width, height))
        file = io.BytesIO()
        image.convert(modes.get(number, "RGB")).save(file, "JPEG")
        return file.getvalue()

    def write(data_dir: Path) -> Path:
        rng = np.random.default_rng(0)
        class_names = ("n01440764", "n01443537", "n01484850")
        splits = {}
        for split, size in {"train": 45, "validation": 13}.items():
            labels = rng.integers(0, 3, size).tolist()
            splits[split] = [
                {
                    "image": encode(rng, number, label),
                    "label": label,
                    "file_name": f"{class_names[label]}_{number}.JPEG".encode(),
                }
                for number, label in enumerate(labels)
            ]
        return write_prepared(
            data_dir,
            "imagenet2012",
            splits,
            class_names,
            image_shape=(-1, -1, 3),
            version="5.1.0",
            num_shards=2,
        )

    return write

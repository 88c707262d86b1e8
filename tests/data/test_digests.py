import hashlib
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from ensemble_jax.data import Dataset, Probe, Split, digests, load_dataset
from ensemble_jax.data.digests import digest_of_array, digest_of_inputs, digest_of_names
from ensemble_jax.data.stored import StoredInputs

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 4, 5, 3), dtype=np.uint8)
LABELS = np.arange(30, dtype=np.int32) % 3


def sha256(content):
    return hashlib.sha256(content).hexdigest()[:32]


@pytest.mark.parametrize("bytes_per_chunk", [1, 100, 1 << 23])
@pytest.mark.parametrize(
    "array",
    [IMAGES, LABELS, IMAGES.astype(np.float32), np.zeros((0, 3), np.uint8), np.zeros((3, 0))],
)
def test_type_shape_and_bytes_of_an_array(monkeypatch, array, bytes_per_chunk):
    monkeypatch.setattr(digests, "_BYTES_PER_CHUNK", bytes_per_chunk)
    header = f"{array.dtype.str} {array.shape} ".encode()
    assert digest_of_array(array) == sha256(header + array.tobytes())


def test_memory_layout_does_not_matter():
    for array in (np.asfortranarray(IMAGES), IMAGES[::-1][::-1], np.repeat(IMAGES, 2, 0)[::2]):
        assert digest_of_array(array) == digest_of_array(IMAGES)


def test_each_value_type_and_shape_matters():
    changed = IMAGES.copy()
    changed[-1, -1, -1, -1] ^= 1
    others = [changed, IMAGES[:29], IMAGES.astype(np.int32), IMAGES.reshape(30, 60), IMAGES[::-1]]
    found = {digest_of_array(array) for array in [IMAGES, *others]}
    assert len(found) == 1 + len(others)


def test_texts_of_any_width():
    narrow, wide = np.array(["a", "bc"]), np.array(["a", "bc"], "U9")
    assert digest_of_array(narrow) == digest_of_array(wide) == digest_of_names(("a", "bc"))
    assert digest_of_names(["a", "bc"]) == sha256(b'["a", "bc"]')
    assert len({digest_of_names(names) for names in (["ab"], ["a", "b"], ["b", "a"], [])}) == 4


def make_dataset(**changes):
    split = Split(IMAGES, LABELS, np.arange(30))
    return Dataset(**{
        "name": "own",
        "train": split,
        "test": replace(split, ids=np.array([f"test {row}" for row in range(30)])),
        "class_names": ("a", "b", "c"),
        "probes": {"noise.2": Probe(IMAGES[:2], np.arange(2))},
    } | changes)  # fmt: skip


def test_everything_that_is_read_has_one():
    dataset = make_dataset()
    splits = [
        f"{split}.{part}" for split in ("train", "test") for part in ("inputs", "labels", "ids")
    ]
    assert list(dataset.digests) == [*splits, "noise.2.inputs", "noise.2.ids", "class_names"]
    assert all(re.fullmatch("[0-9a-f]{32}", value) for value in dataset.digests.values())
    assert dataset.digests["train.inputs"] == digest_of_array(IMAGES)
    assert dataset.digests is dataset.digests
    assert make_dataset(name="other").digests == dataset.digests


CHANGED = Split(IMAGES, LABELS[::-1], np.arange(30))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train": CHANGED}, {"train.labels"}),
        ({"test": replace(CHANGED, ids=np.arange(30, 60))}, {"test.labels", "test.ids"}),
        ({"train": replace(CHANGED, inputs=IMAGES ^ 1)}, {"train.labels", "train.inputs"}),
        ({"class_names": ("a", "b", "d")}, {"class_names"}),
        ({"probes": {"noise.2": Probe(IMAGES[1:3], np.arange(2))}}, {"noise.2.inputs"}),
        ({"probes": {}}, {"noise.2.inputs", "noise.2.ids"}),
    ],
)
def test_a_change_shows_where_it_is(changes, expected):
    before, after = make_dataset().digests, make_dataset(**changes).digests
    assert {key for key in before if before[key] != after.get(key)} == expected


def test_word_vectors():
    split = Split(np.array([[1, 2]] * 2, np.int32), np.array([0, 1], np.int32), np.arange(2))
    vectors = np.array([[0, 0], [1, 2], [3, 4]], np.float32)
    dataset = Dataset("own", split, split, ("a", "b"), word_vectors=vectors)
    assert dataset.digests["word_vectors"] == digest_of_array(vectors)


def refuse(rows):
    raise AssertionError("nothing was to be read")


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"records-{number}" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * (1 << 17))
    return tuple(paths)


def stored(files=(), read=refuse, rows=30):
    return StoredInputs(read, np.arange(rows), (4, 5, 3), files=files)


def change_first_byte(path):
    path.write_bytes(b"x" + path.read_bytes()[1:])


def change_size(path):
    path.write_bytes(path.read_bytes() + b"x")


def change_name(path):
    path.rename(path.with_name("records-x"))
    return path.with_name("records-x")


@pytest.mark.parametrize("change", [change_first_byte, change_size, change_name])
def test_stored_inputs_are_known_by_their_files(files, change):
    before = digest_of_inputs(stored(files))
    assert re.fullmatch("files:[0-9a-f]{32}", before)
    assert digest_of_inputs(stored(files, rows=29)) != before
    os.utime(files[2], (1, 1))
    assert digest_of_inputs(stored(files)) == before
    renamed = change(files[2]) or files[2]
    assert digest_of_inputs(stored((*files[:2], renamed, *files[3:]))) != before


def test_few_of_many_files_are_looked_into(files, monkeypatch):
    monkeypatch.setattr(digests, "_MOST_READ", 3)
    before = digest_of_inputs(stored(files))
    change_first_byte(files[1])
    assert digest_of_inputs(stored(files)) == before
    change_first_byte(files[4])
    assert digest_of_inputs(stored(files)) != before


def test_stored_inputs_without_files_are_known_by_examples(monkeypatch):
    monkeypatch.setattr(digests, "_MOST_READ", 4)
    changed = IMAGES.copy()

    def read(rows):
        assert set(rows) <= {0, 9, 19, 29}
        return changed[rows]

    before = digest_of_inputs(stored(read=read))
    assert re.fullmatch("examples:[0-9a-f]{32}", before)
    changed[9] ^= 1
    assert digest_of_inputs(stored(read=read)) != before


def test_imagenet_is_known_by_its_records(write_imagenet, folders, monkeypatch):
    monkeypatch.setenv("ENSEMBLE_JAX_CACHE", str(folders.cache))
    folder = write_imagenet(folders.data)
    before = load_dataset("imagenet2012?size=8", data_dir=folders.data).digests
    assert before["train.inputs"].startswith("files:")
    assert before["train.inputs"] != before["test.inputs"]
    names = {path.name for path in folder.glob("*.array_record*")}
    inputs = load_dataset("imagenet2012?size=8", data_dir=folders.data).train.inputs
    assert {file.name for file in inputs.files} == {name for name in names if "-train." in name}

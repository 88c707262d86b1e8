import numpy as np
import PIL.Image
import pytest

from ensemble_jax.data import load_dataset, vggface2

# Thirteen identities; ties are at the edge of the ten: n04, n05 and n06 have five images each.
COUNTS = {f"n{number:02}": 6 for number in range(7, 14)} | {
    "n01": 9,
    "n02": 1,
    "n03": 4,
    "n04": 5,
    "n05": 5,
    "n06": 5,
}
CHOSEN = ("n01", "n04", "n05", "n07", "n08", "n09", "n10", "n11", "n12", "n13")


@pytest.fixture(autouse=True)
def three_train_images(monkeypatch):
    monkeypatch.setattr(vggface2, "_TRAIN_IMAGES", 3)


@pytest.fixture
def write_faces(write_image, folders):
    def write(folder_of):
        for identity, count in COUNTS.items():
            for number in range(count):
                folder = f"{folders.data.name}/VGGFace2/{folder_of(identity)}"
                write_image(f"{folder}/{identity}/{number:04}_01.jpg", size=(70 + number, 90))

    return write


def load(folders):
    return load_dataset("vggface2", data_dir=folders.data, cache_dir=folders.cache)


def of_part(identity):
    return "test" if identity in ("n01", "n04", "n06") else "train"


def test_the_ten_with_most_images(write_faces, folders):
    write_faces(of_part)
    dataset = load(folders)
    assert dataset.name == "vggface2"
    assert dataset.class_names == CHOSEN
    assert dataset.input_shape == (64, 64, 3)
    assert np.bincount(dataset.train.labels).tolist() == [3] * 10
    assert np.bincount(dataset.test.labels).tolist() == [COUNTS[name] - 3 for name in CHOSEN]
    ids = [*dataset.train.ids, *dataset.test.ids]
    expected = {
        f"{of_part(name)}/{name}/{number:04}_01.jpg"
        for name in CHOSEN
        for number in range(COUNTS[name])
    }
    assert set(ids) == expected
    assert len(ids) == len(expected)
    for split in dataset.splits.values():
        assert [CHOSEN[label] for label in split.labels] == [id_.split("/")[1] for id_ in split.ids]


def test_faces_are_centre_cropped(write_faces, folders):
    write_faces(of_part)
    split = load(folders).test
    image = PIL.Image.open(folders.data / "VGGFace2" / split.ids[0])
    width, height = image.size
    left = (width - height) // 2
    square = image.crop((left, 0, left + height, height))
    expected = square.resize((64, 64), PIL.Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(split.inputs[0], np.asarray(expected))


def test_one_folder_of_identities_gives_the_same_examples(write_faces, folders, tmp_path):
    write_faces(of_part)
    in_parts = load(folders)
    (folders.data / "VGGFace2").rename(folders.data / "parts")
    write_faces(lambda identity: ".")
    together = load(folders)
    assert together.class_names == in_parts.class_names
    for name, split in together.splits.items():
        ids = [id_.split("/", 1)[1] for id_ in in_parts.splits[name].ids]
        assert split.ids.tolist() == ids


def test_the_choice_is_fixed_for_ever(write_faces, folders):
    write_faces(of_part)
    ids = load(folders).train.ids[:3].tolist()
    assert ids == ["test/n01/0001_01.jpg", "test/n01/0002_01.jpg", "test/n01/0006_01.jpg"]


def test_too_few_images(write_faces, folders, monkeypatch):
    write_faces(of_part)
    monkeypatch.setattr(vggface2, "_TRAIN_IMAGES", 5)
    problem = "needs 10 identities of more than 5 images, got 8 among 13 in .*VGGFace2$"
    with pytest.raises(ValueError, match=problem):
        load(folders)


def test_no_faces(folders):
    with pytest.raises(ValueError, match=r"^vggface2 is not in data_dir .*VGGFace2 with the fold"):
        load(folders)
    (folders.data / "VGGFace2" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match="got 0 among 0"):
        load(folders)

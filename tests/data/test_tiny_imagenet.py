import numpy as np
import PIL.Image
import pytest

from ensemble_jax.data import load_dataset

WORDNET_IDS = ["n03", "n01", "n02", "n04"]
WORDS = """n00\tentity
n01\tgoldfish, Carassius auratus
n02\tcrane
n03\tlawn mower, mower
n04\tcrane, a machine
n05\tlemon
"""
VAL = ["n01", "n03", "n02", "n04", "n02", "n01", "n04", "n03"]


@pytest.fixture
def archive(write_image, folders):
    """A small set in the layout of the authors' archive: three train images a class, two val."""
    root = folders.data / "tiny-imagenet-200"
    inside = f"{folders.data.name}/{root.name}"
    for wordnet_id in WORDNET_IDS:
        for number in range(3):
            grey = np.full((64, 64), number, np.uint8) if wordnet_id == "n02" else None
            if grey is not None:
                grey[0] = 255
            path = f"{inside}/train/{wordnet_id}/images/{wordnet_id}_{number}.JPEG"
            write_image(path, grey, size=(64, 64))
        (root / f"train/{wordnet_id}/{wordnet_id}_boxes.txt").write_text("")
    for number in range(len(VAL)):
        write_image(f"{inside}/val/images/val_{number}.JPEG", size=(64, 64))
    write_image(f"{inside}/test/images/test_0.JPEG", size=(64, 64))
    lines = [f"val_{number}.JPEG\t{id_}\t0\t0\t63\t63\n" for number, id_ in enumerate(VAL)]
    (root / "val/val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(WORDNET_IDS) + "\n")
    (root / "words.txt").write_text(WORDS)
    return root


def load(folders):
    return load_dataset("tiny_imagenet", data_dir=folders.data, cache_dir=folders.cache)


def test_the_layout_of_the_archive(archive, folders):
    dataset = load(folders)
    assert dataset.name == "tiny_imagenet"
    assert dataset.class_names == ("goldfish", "crane n02", "lawn mower", "crane n04")
    assert dataset.input_shape == (64, 64, 3)
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert dataset.train.ids[3] == "train/n02/images/n02_0.JPEG"
    assert dataset.test.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    order = [0, 5, 2, 4, 1, 7, 3, 6]
    assert dataset.test.ids.tolist() == [f"val/images/val_{number}.JPEG" for number in order]
    for split in dataset.splits.values():
        for image, id_ in zip(split.inputs, split.ids, strict=True):
            expected = np.asarray(PIL.Image.open(archive / id_).convert("RGB"))
            np.testing.assert_array_equal(image, expected)


def delete(path):
    return lambda root: (root / path).unlink()


def unknown_class(root):
    annotations = root / "val/val_annotations.txt"
    annotations.write_text(annotations.read_text().replace("n03", "n77", 1))


def no_train_images(root):
    for image in root.glob("train/*/images/*"):
        image.unlink()


@pytest.mark.parametrize(
    ("happen", "problem"),
    [
        (delete("wnids.txt"), r"is incomplete: .*wnids\.txt is missing"),
        (delete("words.txt"), r"is incomplete: .*words\.txt is missing"),
        (delete("val/val_annotations.txt"), r"is incomplete: .*val_annotations\.txt is missing"),
        (delete("val/images/val_3.JPEG"), r"is incomplete: .*/val_3\.JPEG is missing"),
        (delete("train/n02/images/n02_1.JPEG"), "train has 2 images of n02 and 3 of others"),
        (no_train_images, "train has 0 images of n01 and 0 of others"),
        (lambda root: (root / "train/n04").rename(root / "n04"), "train has 0 images of n04 and 3"),
        (lambda root: (root / "train/n04/images/n04_2.JPEG").write_bytes(b""), "cannot be read as"),
    ],
)
def test_an_incomplete_archive(happen, problem, archive, folders):
    happen(archive)
    with pytest.raises(ValueError, match=f"^tiny_imagenet.*{problem}") as caught:
        load(folders)
    message = str(caught.value)
    assert message.endswith(
        f"unpack http://cs231n.stanford.edu/tiny-imagenet-200.zip in {folders.data}"
    )
    assert "\n" not in message


def test_a_damaged_annotation(archive, folders):
    unknown_class(archive)
    with pytest.raises(ValueError, match=r"is damaged: .* has the line 'val_1\.JPEG\\tn77"):
        load(folders)


def test_no_archive(folders):
    with pytest.raises(ValueError, match=r"tiny_imagenet is not in data_dir .*; to get it, unpack"):
        load(folders)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("val/val_annotations.txt", "../../../../outside.JPEG\tn01\t0\t0\t63\t63"),
        ("val/val_annotations.txt", "/outside.JPEG\tn01\t0\t0\t63\t63"),
        ("wnids.txt", "../../../outside"),
        ("wnids.txt", ".."),
    ],
)
def test_names_in_the_set_lead_nowhere_else(archive, folders, file, line):
    with (archive / file).open("a") as opened:
        opened.write(f"{line}\n")
    with pytest.raises(ValueError, match=f"is damaged: .*{file} has the line"):
        load(folders)

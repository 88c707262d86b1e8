import os
import re
import shutil

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_jax.data import check_dataset_name, load_dataset
from ensemble_jax.data.class_folders import fixed_order, parse_folder_name


@pytest.fixture
def load(tmp_path, folders):
    """Loads `folder:in` below the test's own folder, with options."""

    def load_with(options=""):
        return load_dataset(f"folder:{tmp_path / 'in'}{options}", cache_dir=folders.cache)

    return load_with


def write_all(write_image, *paths):
    for path in paths:
        write_image(f"in/{path}")


def pixels_of(tmp_path, split):
    return [np.asarray(PIL.Image.open(tmp_path / "in" / path)) for path in split.ids]


@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_of_splits(test, write_image, load, tmp_path):
    write_all(write_image, "train/owl/2.png", "train/owl/10.png", "train/cat/1.png")
    write_all(write_image, f"{test}/cat/x.png", f"{test}/owl/1.png", "other/dog/1.png")
    dataset = load()
    assert dataset.name == f"folder:{tmp_path / 'in'}"
    assert dataset.class_names == ("cat", "owl")
    assert dataset.train.ids.tolist() == ["train/cat/1.png", "train/owl/10.png", "train/owl/2.png"]
    assert dataset.train.labels.tolist() == [0, 1, 1]
    assert dataset.train.labels.dtype == np.int32
    assert dataset.test.ids.tolist() == [f"{test}/cat/x.png", f"{test}/owl/1.png"]
    assert dataset.test.labels.tolist() == [0, 1]
    for split in dataset.splits.values():
        np.testing.assert_array_equal(split.inputs, pixels_of(tmp_path, split))


def test_real_images_as_files_are_those_of_the_archive(write_image, load, real_data):
    archive = load_dataset(f"npz:{real_data / 'small_mammals.npz'}")
    rows = {"train": np.arange(0, len(archive.train), 7), "test": np.arange(len(archive.test))}
    for name, of_split in rows.items():
        split = archive.splits[name]
        for row in of_split:
            class_name = archive.class_names[split.labels[row]]
            write_image(f"in/{name}/{class_name}/{row:04}.png", split.inputs[row])
    dataset = load()
    assert dataset.class_names == archive.class_names
    for name, of_split in rows.items():
        split, source = dataset.splits[name], archive.splits[name]
        numbers = [int(id_[-8:-4]) for id_ in split.ids]
        assert sorted(numbers) == of_split.tolist()
        np.testing.assert_array_equal(split.inputs, source.inputs[numbers])
        np.testing.assert_array_equal(split.labels, source.labels[numbers])


def test_test_comes_before_val(write_image, load):
    for split in ("train", "test", "val"):
        write_all(write_image, f"{split}/a/1.png", f"{split}/b/1.png")
    assert load().test.ids.tolist() == ["test/a/1.png", "test/b/1.png"]


def test_other_files_are_passed_over(write_image, load, tmp_path):
    write_all(write_image, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    write_all(write_image, "loose.png", "a/.hidden.png", ".cache/1.png", "__MACOSX/1.png")
    (tmp_path / "in/a/labels.txt").write_text("no image")
    dataset = load()
    assert dataset.class_names == ("a", "b")
    ids = [*dataset.train.ids, *dataset.test.ids]
    assert sorted(ids) == ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]


def test_images_of_other_kinds_are_told(write_image, load, tmp_path):
    write_all(write_image, "a/1.png", "a/2.jpg", "b/1.png")
    shutil.copy(tmp_path / "in/a/2.jpg", tmp_path / "in/b/2.JFIF")
    for name in ("a/3.avif", "a/4.AVIF", "b/3.svg", "b/README"):
        (tmp_path / "in" / name).write_text("no image")
    with pytest.warns(
        UserWarning, match=r": 3 images are passed over, as \.avif \.svg cannot be r"
    ):
        dataset = load("?channels=3")
    assert "b/2.JFIF" in [*dataset.train.ids, *dataset.test.ids]
    assert dataset.notes == ("4 other files passed over (.avif 2, no ending 1, .svg 1)",)


def test_images_of_16_bits_are_told(write_image, load):
    for number, path in enumerate(("a/1.png", "a/2.png", "b/1.png", "b/2.png"), start=1):
        write_image(f"in/{path}", np.array([[number, 999 * number]], np.uint16))
    dataset = load()
    assert dataset.notes == ("4 images of 16 bits, which use 12 of them, scaled to 8",)
    assert max(split.inputs.max() for split in dataset.splits.values()) == 3996 >> 4


def test_links_are_followed_and_named_as_if_they_were_folders(write_image, load, tmp_path):
    write_all(write_image, "a/1.png", "a/2.png")
    for number in range(2):
        write_image(f"elsewhere/{number}.png")
    (tmp_path / "in/b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    dataset = load()
    assert dataset.class_names == ("a", "b")
    ids = [*dataset.train.ids, *dataset.test.ids]
    assert sorted(ids) == ["a/1.png", "a/2.png", "b/0.png", "b/1.png"]
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["0.png", "1.png"]


def test_names_that_are_no_text_are_refused(write_image, load, tmp_path):
    write_all(write_image, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    (tmp_path / "in/a/1.png").rename(os.fsdecode(os.fsencode(tmp_path / "in/a") + b"/\xff.png"))
    with pytest.raises(
        ValueError, match=r"ids must be of characters that UTF-8 has, got 'a/\\udcff"
    ):
        load()


def test_without_splits_a_fifth_of_each_class_is_to_test_on(write_image, load, tmp_path):
    counts = {"a": 2, "b": 7, "c": 8, "d": 30}
    for class_name, count in counts.items():
        write_all(write_image, *(f"{class_name}/{number}.png" for number in range(count)))
    dataset = load()
    assert dataset.class_names == tuple(counts)
    assert np.bincount(dataset.test.labels).tolist() == [1, 1, 2, 6]
    assert np.bincount(dataset.train.labels).tolist() == [1, 6, 6, 24]
    ids = [*dataset.train.ids, *dataset.test.ids]
    assert len(set(ids)) == sum(counts.values())
    for split in dataset.splits.values():
        assert split.ids.tolist() == sorted(split.ids)
        assert [dataset.class_names[label] for label in split.labels] == [i[0] for i in split.ids]
        np.testing.assert_array_equal(split.inputs, pixels_of(tmp_path, split))


def test_the_split_is_fixed_for_ever(write_image, load):
    write_all(write_image, *(f"{name}/{number}.png" for name in "ab" for number in range(10)))
    assert load().test.ids.tolist() == ["a/5.png", "a/7.png", "b/2.png", "b/5.png"]


def test_the_split_moves_little_when_an_image_is_added(write_image, load):
    write_all(write_image, *(f"{name}/{number}.png" for name in "ab" for number in range(20)))
    before = set(load().test.ids)
    write_all(write_image, "a/new.png")
    after = set(load().test.ids) - {"a/new.png"}
    assert len(before) == 8
    assert len(before - after) <= 1
    assert after <= before


@given(st.lists(st.text(), unique=True), st.text())
def test_the_fixed_order(names, prefix):
    paths = [f"class/{name.replace('/', '')}{number}" for number, name in enumerate(names)]
    order = fixed_order(paths)
    assert sorted(order) == sorted(paths)
    assert fixed_order(paths[::-1]) == order
    # A part of the paths has the order of the whole, wherever the class's folder lies.
    assert fixed_order(paths[::2]) == [path for path in order if path in paths[::2]]
    assert fixed_order([f"{prefix}/{path}" for path in paths]) == [f"{prefix}/{p}" for p in order]


def test_size_and_channels(write_image, load):
    for number in range(4):
        write_image(f"in/a/{number}.png", size=(9 + number, 12))
        write_image(f"in/b/{number}.jpg", size=(20, 12 + number))
    assert load("?size=6").input_shape == (6, 6, 3)
    assert load("?size=6&channels=1").input_shape == (6, 6, 1)
    assert load("?channels=3&size=5").train.inputs.dtype == np.uint8
    with pytest.raises(ValueError, match=r"8 different sizes .* such as size=64$"):
        load()


def test_grey_is_decided_over_both_splits(write_image, load):
    grey = 100 * np.eye(4, dtype=np.uint8)
    for level, split in enumerate(("train", "test"), start=1):
        for name in "ab":
            write_image(f"in/{split}/{name}/1.png", level * grey)
    assert load().input_shape == (4, 4, 1)
    write_image("in/test/a/1.png", size=(4, 4))
    assert load().input_shape == (4, 4, 3)


def test_broken_images(write_image, load, tmp_path):
    write_all(
        write_image,
        *(f"{split}/{c}/{i}.png" for split in ("train", "test") for c in "ab" for i in "123"),
    )
    bad = tmp_path / "in/train/b/2.png"
    bad.write_bytes(bad.read_bytes()[:200])
    path = tmp_path / "in"
    for options, advice in (("", "?"), ("?size=8", "?size=8&")):
        with pytest.raises(ValueError, match="cannot be read as an image") as caught:
            load(options)
        assert str(bad) in str(caught.value)
        assert str(caught.value).endswith(f"leave such out: folder:{path}{advice}skip_broken=1")
    with pytest.warns(UserWarning, match=r"skipped 1 broken of 12 images: train/b/2\.png$"):
        dataset = load("?skip_broken=1")
    assert dataset.train.ids.tolist() == [
        f"train/{i}.png" for i in ("a/1", "a/2", "a/3", "b/1", "b/3")
    ]
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_array_equal(dataset.train.inputs, pixels_of(tmp_path, dataset.train))
    assert len(dataset.test) == 6


def test_a_broken_image_moves_no_other(write_image, load, tmp_path):
    write_all(write_image, *(f"{name}/{number}.png" for name in "ab" for number in range(10)))
    before = load()
    (tmp_path / "in/a/3.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="skipped 1"):
        after = load("?skip_broken=1")
    for split in ("train", "test"):
        ids = before.splits[split].ids.tolist()
        assert after.splits[split].ids.tolist() == [id_ for id_ in ids if id_ != "a/3.png"]


@pytest.mark.filterwarnings("ignore:.*skipped 2 broken")
def test_skipping_must_leave_each_class_an_image(write_image, load, tmp_path):
    for split in ("train", "test"):
        write_all(write_image, f"{split}/a/1.png", f"{split}/b/1.png", f"{split}/b/2.png")
    for name in "12":
        (tmp_path / f"in/test/b/{name}.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"all test images of the class b are broken$"):
        load("?skip_broken=1")


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        (["loose.png"], "in holds no class folders but 1 loose image(s); images belong"),
        ([".hidden/1.png"], "in holds no class folders; images belong into one folder per class"),
        (["a/1.png", "a/2.png"], "in must hold at least two class folders, got only a"),
        (["a/1.txt", "b/1.txt"], "the 2 class folders of {in} hold no images; those end in .bmp"),
        (["a/1.png", "b/1.txt", "c/1.txt"], "class folders of {in} without images: b, c"),
        (["a/1.png", "b/1.png", "b/2.png"], "a must have at least two images, one to train and"),
        (["a/1.png", "b/more/1.png"], "must hold images and no folders, got {in}/b/more; PATH/"),
        (["train/a/1.png", "train/b/1.png"], "must hold test or val; to have a fifth of train to"),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"], "{in}/test lacks b"),
        (
            ["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png", "val/c/1.png"],
            "{in}/train lacks c",
        ),
        (["train/a/1.png", "train/b/1.png", "test/1.png"], "{in}/test holds no class folders but"),
        (["train/a/1.png", "test/a/1.png"], "{in}/train must hold at least two class folders"),
        (["train/1.png", "test/1.png"], "{in} holds no classes but test, train, of which train"),
        (["test/a/1.png", "test/b/1.png"], "{in} holds no classes but test, of which train must"),
        (["train/a/x/1.png", "train/b/1.png", "test/a/1.png"], "no folders, got {in}/train/a/x;"),
    ],
)
def test_wrong_folders(paths, problem, write_image, load, tmp_path, folders):
    for path in paths:
        if path.endswith(".txt"):
            (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / path).write_text("no image")
        else:
            write_image(f"in/{path}")
    expected = problem.replace("{in}", str(tmp_path / "in"))
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        load()
    assert str(caught.value).startswith(f"folder:{tmp_path / 'in'}: ")
    assert "\n" not in str(caught.value)
    assert not folders.cache.exists()


def test_of_many_classes_without_images_some_are_named(write_image, load, tmp_path):
    write_all(write_image, "z/1.png")
    for number in range(12):
        (tmp_path / f"in/{number:02}").mkdir()
    with pytest.raises(ValueError, match=r"without images: 00, 01, 02, 03, 04 and 7 more$"):
        load()


def test_no_folder(load, tmp_path):
    with pytest.raises(ValueError, match=r"in is not a folder$"):
        load()
    (tmp_path / "in").write_text("a file")
    with pytest.raises(ValueError, match=r"in is not a folder$"):
        load("?size=8")


@pytest.mark.parametrize("ask", [check_dataset_name, load_dataset])
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "folder:x?siez=3",
            "options must be among size, channels, skip_broken, written as in folder:x?OPTION=",
        ),
        ("folder:x?siez=3", "got 'siez', is 'size' meant?"),
        ("folder:x?size=3&", "got ''"),
        ("folder:x?64", "got '64'"),
        ("folder:x?size", "size must be a number of pixels, got ''"),
        ("folder:x?size=0", "size must be a number of pixels, got '0'"),
        ("folder:x?size=-3", "size must be a number of pixels, got '-3'"),
        ("folder:x?size=64x64", "size must be a number of pixels, got '64x64'"),
        ("folder:x?size=٣", "size must be a number of pixels, got '٣'"),
        ("folder:x?channels=4", "channels must be 1 or 3, got '4'"),
        ("folder:x?skip_broken=yes", "skip_broken must be 0 or 1, got 'yes'"),
        ("folder:x?size=3&size=4", "size is given twice"),
        ("folder:?size=3", "no path is named before the options"),
    ],
)
def test_wrong_options(ask, name, problem):
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        ask(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def test_names(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    path, form = parse_folder_name("folder:~/my photos?skip_broken=1&size=48")
    assert path.as_posix() == "/home/me/my photos"
    assert (form.size, form.channels, form.skip_broken) == ((48, 48), None, True)
    path, form = parse_folder_name("folder:x?channels=1&skip_broken=0")
    assert path.as_posix() == "x"
    assert (form.size, form.channels, form.skip_broken) == (None, 1, False)

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

from ensemble_jax.data import add_probes, as_array, load_dataset, read_inputs, select_classes
from ensemble_jax.data.image_files import load_images
from ensemble_jax.data.stored import StoredInputs


def load(folders, name="imagenet2012?size=32"):
    return load_dataset(name, data_dir=folders.data, cache_dir=folders.cache)


@pytest.fixture
def prepared(folders, write_imagenet):
    return write_imagenet(folders.data)


def records(folder, split):
    source = tfds.builder_from_directory(folder).as_data_source(
        split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
    )
    for row in range(len(source)):
        yield tf_example_pb2.Example.FromString(source[row]).features.feature


def test_labels_and_names_are_known_before_any_image_is_read(prepared, folders, monkeypatch):
    def refuse(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("ensemble_jax.data.imagenet.fit_encoded_image", refuse)
    dataset = load(folders, "imagenet2012")
    assert dataset.class_names == ("n01440764", "n01443537", "n01484850")
    assert dataset.train.inputs.shape == (45, 224, 224, 3)
    assert dataset.test.inputs.shape == (13, 224, 224, 3)
    for split, own in {"train": "train", "test": "validation"}.items():
        expected = list(records(prepared, own))
        examples = dataset.splits[split]
        assert examples.labels.tolist() == [x["label"].int64_list.value[0] for x in expected]
        assert examples.ids.tolist() == [
            x["file_name"].bytes_list.value[0].decode() for x in expected
        ]
    with pytest.raises(AssertionError, match="decoded"):
        as_array(dataset.test.inputs)


def test_images_are_those_that_a_folder_of_the_files_would_give(prepared, folders, tmp_path):
    """Sizes, grey and printing colours included, whichever rows are read."""
    (tmp_path / "files").mkdir()
    for row, values in enumerate(records(prepared, "train")):
        path = tmp_path / "files" / f"{row:03d}.jpg"
        path.write_bytes(values["image"].bytes_list.value[0])
    expected, _ = load_images(tmp_path / "files", (32, 32), 3, folders)
    inputs = load(folders).train.inputs
    assert isinstance(inputs, StoredInputs)
    rows = np.random.default_rng(0).permutation(45)
    np.testing.assert_array_equal(read_inputs(inputs, rows, max_threads=3), expected[rows])
    assert len(np.unique(expected.reshape(45, -1), axis=0)) == 45


def test_views_and_probes_of_it(prepared, folders):
    dataset = load(folders)
    part = select_classes(dataset, ("n01484850", "n01440764"))
    rows = np.flatnonzero(dataset.train.labels != 1)
    assert part.train.ids.tolist() == dataset.train.ids[rows].tolist()
    np.testing.assert_array_equal(as_array(part.train.inputs), as_array(dataset.train.inputs)[rows])
    probes = add_probes(
        dataset,
        ["noise:5", "test_of:imagenet2012?size=32"],
        data_dir=folders.data,
        cache_dir=folders.cache,
    ).probes
    assert probes["noise"].inputs.shape == (5, 32, 32, 3)
    np.testing.assert_array_equal(probes["imagenet2012"].inputs, as_array(dataset.test.inputs))


def test_labels_are_read_once(prepared, folders, capsys):
    load(folders)
    assert "reading the labels of imagenet2012 validation" in capsys.readouterr().err
    load(folders, "imagenet2012")
    assert capsys.readouterr().err == ""


def test_a_set_without_the_split_to_test_on_is_incomplete(prepared, folders):
    for file in prepared.glob("*-validation.*"):
        file.unlink()
    problem = "imagenet2012 is incomplete in .*: 0 of 1 record files of the split validation"
    with pytest.raises(ValueError, match=problem):
        load(folders)


def test_a_broken_image_is_named(folders, write_prepared):
    file = io.BytesIO()
    PIL.Image.new("RGB", (40, 50)).save(file, "JPEG")
    whole = {"image": file.getvalue(), "label": 0, "file_name": b"whole.JPEG"}
    broken = {"image": file.getvalue()[:200], "label": 0, "file_name": b"broken.JPEG"}
    write_prepared(
        folders.data,
        "imagenet2012",
        {"train": [whole, broken], "validation": [whole]},
        ("n0",),
        image_shape=(-1, -1, 3),
        version="5.1.0",
    )
    train = load(folders).train
    assert read_inputs(train.inputs, np.array([0])).shape == (1, 32, 32, 3)
    with pytest.raises(ValueError, match=r"damaged in .* \(broken.JPEG cannot be read as an image"):
        as_array(train.inputs)

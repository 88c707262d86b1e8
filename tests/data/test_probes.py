"""Probes are what their names say, in the form of the data set."""

import dataclasses
from statistics import NormalDist

import numpy as np
import pytest

from ensemble_jax.data import (
    Dataset,
    Probe,
    Split,
    add_probes,
    channel_statistics,
    load_dataset,
    load_images,
    parse_probes,
)
from ensemble_jax.data.draws import uniforms


def make_set(shape=(4, 4, 3), dtype=np.uint8, size=50, std=40):
    rng = np.random.default_rng(0)
    inputs = rng.normal(np.linspace(60, 200, shape[-1]), std, (size, *shape)).clip(0, 255)
    split = Split(inputs.astype(dtype), np.arange(size, dtype=np.int32) % 2, np.arange(size))
    return Dataset("toy", split, split, ("dim", "bright"))


@pytest.fixture
def save_set(tmp_path):
    """A function that writes a data set of the user's own; returns its name."""

    def save(name, shape, dtype=np.uint8):
        images = np.arange(7 * np.prod(shape)).reshape(7, *shape).astype(dtype)
        labels = np.arange(7) % 2
        path = tmp_path / f"{name}.npz"
        np.savez(
            path,
            train_images=images + 1,
            test_images=images[::-1],
            train_labels=labels,
            test_labels=labels,
            test_ids=np.array([*"abcdefg"]),
        )
        return f"npz:{path}"

    return save


def naive_noise(dataset, num_examples):
    """Value after value."""
    mean, std = channel_statistics(dataset.train.inputs)
    shape = dataset.input_shape
    size = int(np.prod(shape))
    numbers = [n for i in range(num_examples) for n in uniforms([i, 2019, *b"noise"], size)]
    values = []
    for i, number in enumerate(numbers):
        channel = i % shape[-1]
        z = NormalDist(float(mean[channel]), float(std[channel])).inv_cdf(number)
        values.append(min(255, max(0, round(z))))
    return np.array(values).reshape(num_examples, *shape)


def test_gaussian_noise_like_naive():
    dataset = make_set()
    probe = add_probes(dataset, ["noise:20"]).probes["noise"]
    assert probe.inputs.dtype == np.uint8
    np.testing.assert_array_equal(probe.inputs, naive_noise(dataset, 20))
    assert probe.ids.tolist() == list(range(20))


def test_gaussian_noise_has_the_moments_of_the_channels():
    dataset = make_set(size=2000, std=15)  # so that nothing is clipped
    inputs = add_probes(dataset, ["noise"]).probes["noise"].inputs
    assert len(inputs) == 1000
    wanted = channel_statistics(dataset.train.inputs)
    for got, expected in zip(channel_statistics(inputs), wanted, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0.02)
    pixels = inputs.reshape(1000, -1).astype(float)
    correlations = np.corrcoef(pixels.T)[~np.eye(pixels.shape[1], dtype=bool)]
    assert np.abs(correlations).max() < 5 / np.sqrt(1000)


def test_uniform_noise_has_every_value_alike():
    inputs = add_probes(make_set(), ["uniform_noise:2000"]).probes["uniform_noise"].inputs
    counts = np.bincount(inputs.ravel(), minlength=256)
    assert len(counts) == 256
    expected = inputs.size / 256
    assert ((counts - expected) ** 2 / expected).sum() < 334  # chi-squared with 255: 0.0006


def test_noise_is_the_same_always_and_more_of_it_begins_alike():
    few = add_probes(make_set(), ["noise:3", "uniform_noise:3"])
    many = add_probes(make_set(), ["noise:9", "uniform_noise:9"])
    for name in ("noise", "uniform_noise"):
        np.testing.assert_array_equal(few.probes[name].inputs, many.probes[name].inputs[:3])
        assert len(np.unique(many.probes[name].inputs, axis=0)) == 9


@pytest.mark.parametrize("shape", [(4, 4, 3), (11,)])
def test_noise_of_floats_stays_in_their_range(shape):
    dataset = make_set(shape, np.float32)
    low, high = dataset.train.inputs.min(), dataset.train.inputs.max()
    viewed = add_probes(dataset, ["noise:100", "uniform_noise:100"])
    for probe in viewed.probes.values():
        assert probe.inputs.dtype == np.float32
        assert low <= probe.inputs.min() < probe.inputs.max() <= high
    uniform_mean = viewed.probes["uniform_noise"].inputs.mean()
    assert abs(uniform_mean - (low + high) / 2) < 0.05 * (high - low)


def test_test_images_of_another_set(save_set):
    name = save_set("other set", (4, 4, 3))
    other = load_dataset(name).test
    viewed = add_probes(make_set(), [f"test_of:{name}", f"mine=test_of:{name}"])
    assert list(viewed.probes) == ["other_set", "mine"]
    for probe in viewed.probes.values():
        np.testing.assert_array_equal(probe.inputs, other.inputs)
        assert probe.ids.tolist() == [*"abcdefg"]


def test_grey_becomes_colour_by_repetition(save_set):
    name = save_set("grey", (4, 4))
    probe = add_probes(make_set(), [f"test_of:{name}"]).probes["grey"]
    grey = load_dataset(name).test.inputs
    assert probe.inputs.shape == (7, 4, 4, 3)
    for channel in range(3):
        np.testing.assert_array_equal(probe.inputs[..., channel], grey[..., 0])


@pytest.mark.parametrize(
    ("shape", "dtype", "got"),
    [
        ((4, 5, 3), np.uint8, "uint8 4x5x3"),
        ((4, 4, 2), np.uint8, "uint8 4x4x2"),
        ((5, 5), np.uint8, "uint8 5x5x1"),
        ((4, 4, 3), np.float32, "float32 4x4x3"),
    ],
)
def test_other_forms_are_refused(save_set, shape, dtype, got):
    name = save_set("other", shape, dtype)
    with pytest.raises(ValueError) as raised:  # noqa: PT011  the whole text is compared
        add_probes(make_set(), [f"test_of:{name}"])
    assert str(raised.value) == (
        f"probe other: its examples must be as those of toy, uint8 4x4x3, got {got}"
    )


def test_codes_of_words_have_no_probes(save_set):
    words = make_set((5,), np.int32)
    for request in ("noise", "uniform_noise", f"test_of:{save_set('other', (5,))}"):
        with pytest.raises(ValueError, match="toy must have inputs of uint8 or floats, it has int"):
            add_probes(words, [request])


def test_a_folder_of_images_is_made_to_fit(write_image, tmp_path, folders):
    for file, size in {"b.png": (4, 4), "a/c.jpg": (9, 30), "d.png": (2, 2)}.items():
        write_image(f"odd things/{file}", size=size)
    folder = tmp_path / "odd things"
    images, ids = load_images(folder, (4, 4), 3, folders)
    viewed = add_probes(make_set(), [f"images:{folder}"], cache_dir=folders.cache)
    probe = viewed.probes["odd_things"]
    np.testing.assert_array_equal(probe.inputs, images)
    np.testing.assert_array_equal(probe.ids, ids)
    assert probe.ids.tolist() == ["a/c.jpg", "b.png", "d.png"]
    grey = add_probes(make_set((4, 4, 1)), [f"grey=images:{folder}"], cache_dir=folders.cache)
    assert grey.probes["grey"].inputs.shape == (3, 4, 4, 1)


def test_no_images_are_told(tmp_path, folders):
    (tmp_path / "empty").mkdir()
    for name, message in (("empty", "holds no images"), ("nothing", "is not a folder")):
        with pytest.raises(ValueError, match=f"probe {name}: .*{message}"):
            add_probes(make_set(), [f"images:{tmp_path / name}"], cache_dir=folders.cache)


def test_images_need_images():
    for dataset in (make_set((5,)), make_set((4, 4, 2)), make_set(dtype=np.float32)):
        with pytest.raises(ValueError, match="toy must have grey or RGB images of uint8"):
            add_probes(dataset, ["images:/nowhere"])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("noise", "noise"),
        ("noise:7", "noise"),
        ("uniform_noise:1000000", "uniform_noise"),
        ("static=noise:7", "static"),
        ("images:/data/indoor", "indoor"),
        ("images:/data/indoor/", "indoor"),
        ("images:/data/indoor/..", "data"),
        ("images:/data/my photos (2)", "my_photos_2"),
        ("images:/data/a=b", "a_b"),
        ("a.b-c_1=images:/data/x=y", "a.b-c_1"),
        ("test_of:fish", "fish"),
        ("test_of:large_man-made_outdoor_things", "large_man-made_outdoor_things"),
        ("test_of:npz:/data/own set.npz", "own_set"),
        ("x=test_of:npz:/data/test.npz", "x"),
        ("test_of:folder:/data/cats?size=64", "cats"),
    ],
)
def test_names(text, name):
    assert [request.name for request in parse_probes([text])] == [name]


@pytest.mark.parametrize(
    "text",
    ["", "noise:", "images", "images:", "test_of", "test_of:", "gauss", "x=", "=noise", "Noise"],
)
def test_what_is_no_probe_is_refused(text):
    with pytest.raises(ValueError) as raised:  # noqa: PT011  the whole text is compared
        parse_probes(["noise", text])
    assert str(raised.value) == (
        "probes must be of noise[:M], uniform_noise[:M], images:PATH, test_of:DATASET, with NAME= "
        f"before it or without, got {text!r}"
    )


@pytest.mark.parametrize("number", ["0", "-1", "1e3", "1000001", "9999999999", "²"])
def test_numbers_out_of_range_are_refused(number):
    with pytest.raises(ValueError, match=r"noise must have 1\.\.1000000 examples, got"):
        parse_probes([f"noise:{number}"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("images:/", "must be of letters, digits, '_', '-' and '.', got ''; NAME=images:/ gives"),
        ("images:/data/фото", "got ''"),
        ("images:/data/test", "must not be called 'test', .*; NAME=images:/data/test gives"),
        ("train=noise", "must not be called 'train', .*; NAME=noise gives"),
        ("independent=noise", "must not be called 'independent'"),
        ("..=noise", r"must be of letters, .* got '\.\.'"),
        ("-x=noise", "got '-x'"),
        ("é=noise", "got 'é'"),
        ("test_of:fishes", "^probe test_of:fishes: dataset must be one of .*, is 'fish' meant"),
    ],
)
def test_impossible_names_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_probes([text])


@pytest.mark.parametrize(
    "texts", [["noise", "noise:5"], ["test_of:fish", "images:/data/fish"], ["a=noise", "a=noise"]]
)
def test_two_probes_of_one_name_are_refused(texts):
    message = f"must have different names, got .* for {' and '.join(texts)}; NAME="
    with pytest.raises(ValueError, match=message):
        parse_probes(["uniform_noise", *texts])
    assert len(parse_probes([texts[0], f"other={texts[1].rpartition('=')[2]}"])) == 2


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", ".a", "a\n", "test", "train"])
def test_a_data_set_takes_no_other_names(name):
    dataset = make_set()
    probe = Probe(dataset.test.inputs, dataset.test.ids)
    with pytest.raises(ValueError, match="a probe must"):
        dataclasses.replace(dataset, probes={name: probe})


def test_a_data_set_takes_no_other_examples():
    dataset = make_set()
    for inputs in (np.zeros((2, 4, 4, 1), np.uint8), np.zeros((2, 4, 4, 3), np.float32)):
        with pytest.raises(ValueError, match=r"probe x must be uint8 \[4, 4, 3\] as those of"):
            dataclasses.replace(dataset, probes={"x": Probe(inputs, np.arange(2))})
    with pytest.raises(ValueError, match="one entry per example, at least one, got 0 and 0"):
        Probe(np.zeros((0, 4, 4, 3), np.uint8), np.arange(0))
    with pytest.raises(ValueError, match="one entry per example, at least one, got 2 and 3"):
        Probe(np.zeros((2, 4, 4, 3), np.uint8), np.arange(3))


def test_what_all_examples_take():
    dataset = make_set()
    without = 2 * 50 * (4 * 4 * 3 + 4)
    assert dataset.num_bytes == without
    assert add_probes(dataset, ["noise:5"]).num_bytes == without + 5 * 48


@pytest.mark.filterwarnings("ignore:.*are train examples, too")
def test_real_images_of_other_classes(real_data):
    data_dir = real_data / "tensorflow_datasets"
    mammals = load_dataset("small_mammals", data_dir=data_dir)
    viewed = add_probes(mammals, ["noise:200", "test_of:fish"], data_dir=data_dir)
    fish = load_dataset("fish", data_dir=data_dir).test
    np.testing.assert_array_equal(viewed.probes["fish"].inputs, fish.inputs)
    np.testing.assert_array_equal(viewed.probes["fish"].ids, fish.ids)
    assert not set(fish.ids) & set(mammals.test.ids)
    wanted, _ = channel_statistics(mammals.train.inputs)
    got, _ = channel_statistics(viewed.probes["noise"].inputs)
    np.testing.assert_allclose(got, wanted, rtol=0.03)
    with pytest.raises(ValueError, match=r"as those of small_mammals, uint8 32x32x3, got uint8 28"):
        add_probes(mammals, ["test_of:fashion_mnist"], data_dir=data_dir)

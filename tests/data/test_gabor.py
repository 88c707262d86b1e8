import itertools

import numpy as np
import pytest

from ensemble_jax.data import load_dataset
from ensemble_jax.data.draws import uniforms

CHANNELS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def gabor():
    return load_dataset("gabor")


@pytest.fixture(scope="module")
def gabor24():
    return load_dataset("gabor24")


def whole(dataset):
    """All pictures with the names of their classes, by id."""
    pictures = {}
    for split in dataset.splits.values():
        for picture, label, id_ in zip(split.inputs, split.labels, split.ids, strict=True):
            pictures[id_] = picture, dataset.class_names[label]
    return pictures


@pytest.mark.parametrize(("name", "num_classes"), [("gabor", 12), ("gabor24", 24)])
def test_shapes_and_types(request, name, num_classes):
    dataset = request.getfixturevalue(name)
    assert len(set(dataset.class_names)) == num_classes
    for split, size in zip(dataset.splits.values(), (80, 20), strict=True):
        assert split.inputs.shape == (num_classes * size, 32, 32, 3)
        assert split.inputs.dtype == np.uint8
        assert split.labels.dtype == np.int32
        np.testing.assert_array_equal(split.labels, np.arange(len(split)) % num_classes)
    assert len(whole(dataset)) == 100 * num_classes
    assert len({picture.tobytes() for picture, _ in whole(dataset).values()}) == 100 * num_classes


def test_the_24_classes_are_all_combinations(gabor24):
    parts = itertools.product((45, 90, 135, 180), CHANNELS, ("sine", "cosine"))
    assert gabor24.class_names == tuple(f"{a} {channel} {wave}" for a, channel, wave in parts)


def test_the_12_classes_alternate_in_parity(gabor):
    table = [name.split() for name in gabor.class_names]
    parity = {(int(a), channel): wave for a, channel, wave in table}
    assert set(parity) == set(itertools.product((45, 90, 135, 180), CHANNELS))
    for channel in CHANNELS:
        assert parity[45, channel] == parity[90, channel]
        assert parity[135, channel] == parity[180, channel]
        assert parity[45, channel] != parity[135, channel]
    for a in (45, 90, 135, 180):
        assert parity[a, "red"] == parity[a, "blue"] != parity[a, "green"]


def test_gabor_has_the_same_pictures_as_gabor24(gabor, gabor24):
    every = whole(gabor24)
    for id_, (picture, name) in whole(gabor).items():
        np.testing.assert_array_equal(picture, every[id_][0])
        assert name == every[id_][1]


def naive_patch(orientation, channel, wave, size):
    """The formula, pixel by pixel."""
    picture = np.full((32, 32, 3), 128)
    for row, column in itertools.product(range(32), range(32)):
        x, y = column - 15.5, 15.5 - row
        across = x * np.cos(orientation) + y * np.sin(orientation)
        along = y * np.cos(orientation) - x * np.sin(orientation)
        value = np.exp(-(across**2 + along**2) / (2 * size**2)) * wave(np.pi * across / size)
        picture[row, column, channel] = round(128 + 127 * value)
    return picture


@pytest.mark.parametrize("id_", [0, 199, 777, 2305])
def test_pictures_follow_the_formula(gabor24, id_):
    picture, name = whole(gabor24)[id_]
    base, channel, parity = name.split()
    of_orientation, of_size = uniforms(1946, 24 * 100 * 2).reshape(-1, 2)[id_]
    expected = naive_patch(
        np.deg2rad(int(base) - 30 + 60 * of_orientation),
        CHANNELS.index(channel),
        {"sine": np.sin, "cosine": np.cos}[parity],
        3 + 3 * of_size,
    )
    np.testing.assert_allclose(picture, expected, atol=1)  # a rounding may go either way
    assert (picture != expected).mean() < 0.001


def test_only_the_channel_of_the_class_is_used_and_parity_is_a_symmetry(gabor24):
    for picture, name in whole(gabor24).values():
        _, channel, parity = name.split()
        others = np.delete(picture, CHANNELS.index(channel), axis=2)
        assert (others == 128).all()
        patch = picture[..., CHANNELS.index(channel)].astype(int) - 128
        turned = patch[::-1, ::-1]
        # Half a turn leaves an even patch as it is and inverts an odd one.
        np.testing.assert_allclose(turned, patch if parity == "cosine" else -patch, atol=1)
        assert 60 < np.abs(patch).max() <= 127


def measured_orientation(picture):
    """The direction of the greatest mean squared gradient, in degrees, modulo 180."""
    patch = (picture.astype(float) - 128).sum(axis=2)
    down, right = np.gradient(patch)
    up = -down
    return np.rad2deg(np.arctan2(2 * (right * up).sum(), (right**2 - up**2).sum()) / 2) % 180


def test_orientations_fill_their_range_and_overlap(gabor24):
    distances = {base: [] for base in (45, 90, 135, 180)}
    for picture, name in whole(gabor24).values():
        base = int(name.split()[0])
        distances[base].append((measured_orientation(picture) - base + 90) % 180 - 90)
    for of_base in distances.values():
        # Differences between pixels draw the measure up to 4 degrees towards the axes.
        assert -34 < min(of_base) < -26
        assert 26 < max(of_base) < 34
        assert np.abs(np.mean(of_base)) < 4 * 30 / 3**0.5 / len(of_base) ** 0.5


def test_pictures_are_fixed_for_ever(gabor):
    np.testing.assert_array_equal(gabor.train.ids[:4], [0, 300, 400, 600])
    middle = [[205, 224, 237, 240], [160, 187, 211, 229], [97, 122, 150, 178], [43, 56, 78, 106]]
    np.testing.assert_array_equal(gabor.train.inputs[0, 13:17, 13:17, 0], middle)


def test_nearest_pictures_confuse_only_what_overlaps(gabor):
    """The nearest training picture errs about as often as the overlap makes it, and only there."""
    train = gabor.train.inputs.reshape(len(gabor.train), -1).astype(np.float32)
    test = gabor.test.inputs.reshape(len(gabor.test), -1).astype(np.float32)
    distances = np.square(train).sum(axis=1) - 2 * test @ train.T
    predicted = gabor.train.labels[distances.argmin(axis=1)]
    wrong = predicted != gabor.test.labels
    assert 0.04 < wrong.mean() < 0.2  # 1/8 is expected of the best
    pairs = {
        frozenset((gabor.class_names[a].split()[0], gabor.class_names[b].split()[0]))
        for a, b in zip(predicted[wrong], gabor.test.labels[wrong], strict=True)
    }
    assert pairs <= {frozenset(("45", "90")), frozenset(("135", "180"))}

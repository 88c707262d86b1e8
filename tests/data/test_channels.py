import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ensemble_jax.data import channel_statistics, channels


def naive_statistics(images):
    means, stds = [], []
    for channel in range(images.shape[-1]):
        values = [float(value) for value in images[..., channel].ravel()]
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        means.append(mean)
        stds.append(variance**0.5 or 1.0)
    return means, stds


def test_hand_computed():
    images = np.zeros((2, 1, 2, 3), np.uint8)
    images[..., 0] = [[[0, 2]], [[4, 6]]]
    images[..., 1] = [[[255, 255]], [[253, 253]]]
    images[..., 2] = 7
    mean, std = channel_statistics(images)
    np.testing.assert_array_equal(mean, np.array([3, 254, 7], np.float32))
    np.testing.assert_array_equal(std, np.sqrt([5, 1, 1]).astype(np.float32))


@settings(deadline=None, max_examples=40)
@given(
    arrays(
        st.sampled_from([np.uint8, np.float32]),
        st.tuples(*[st.integers(1, 4)] * 4),
        elements=st.integers(0, 255),
    )
)
def test_naive_reference(images):
    mean, std = channel_statistics(images)
    expected_mean, expected_std = naive_statistics(images)
    assert mean.dtype == std.dtype == np.float32
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-6)
    np.testing.assert_allclose(std, expected_std, rtol=1e-6)


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 2, 3, 4, 5)])
def test_other_inputs_have_one_statistic(shape):
    inputs = np.random.default_rng(0).normal(3, 2, shape).astype(np.float32)
    mean, std = channel_statistics(inputs)
    np.testing.assert_allclose(mean, [inputs.astype(np.float64).mean()], rtol=1e-6)
    np.testing.assert_allclose(std, [inputs.astype(np.float64).std()], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_have_their_own(dtype):
    scale = np.array([1, 1e6, 1e-6, 0, 7])
    inputs = (np.random.default_rng(0).normal(3, 2, (50, 5)) * scale).astype(dtype)
    inputs[:, 3] = 0.1
    mean, std = channel_statistics(inputs)
    assert mean.dtype == std.dtype == np.float32
    exact = inputs.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, [*exact.std(axis=0)[:3], 1, exact.std(axis=0)[4]], rtol=1e-6)


def test_vectors_of_pixels_have_one_statistic():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8)
    mean, std = channel_statistics(pixels)
    np.testing.assert_allclose(mean, [pixels.mean()], rtol=1e-6)
    np.testing.assert_allclose(std, [pixels.std()], rtol=1e-6)


def test_pieces_do_not_matter(monkeypatch):
    images = np.random.default_rng(1).integers(0, 256, (23, 4, 4, 3), dtype=np.uint8)
    for inputs in (images, np.float32(images[:, 0, 0])):
        monkeypatch.setattr(channels, "_VALUES_PER_CHUNK", 1 << 20)
        whole = channel_statistics(inputs)
        for values_per_chunk in (1, 100, 1000):
            monkeypatch.setattr(channels, "_VALUES_PER_CHUNK", values_per_chunk)
            np.testing.assert_allclose(channel_statistics(inputs), whole, rtol=1e-7)


def test_large_offset_loses_nothing():
    inputs = (1e6 + np.arange(1000) % 2).astype(np.float32).reshape(250, 4)
    mean, std = channel_statistics(inputs)
    # 1,000 values in 4 columns, of which two have one value each.
    assert mean.tolist() == [1e6, 1e6 + 1, 1e6, 1e6 + 1]
    assert std.tolist() == [1, 1, 1, 1]
    mean, std = channel_statistics(inputs.reshape(1000, 1))
    assert mean.item() == np.float32(1e6 + 0.5)
    assert std.item() == 0.5


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-30])
def test_constant_channel_has_std_one(value):
    images = np.full((1001, 1, 3, 1), value, np.float32)
    mean, std = channel_statistics(images)
    assert mean.item() == np.float32(value)
    assert std.item() == 1


def test_normalised_inputs_have_mean_0_and_std_1():
    images = np.random.default_rng(2).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    mean, std = channel_statistics(images)
    again_mean, again_std = channel_statistics((images - mean) / std)
    np.testing.assert_allclose(again_mean, 0, atol=1e-6)
    np.testing.assert_allclose(again_std, 1, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (0, 4), (3, 0, 4, 1)])
def test_no_statistics_of_nothing(shape):
    with pytest.raises(ValueError, match="non-empty"):
        channel_statistics(np.zeros(shape, np.uint8))

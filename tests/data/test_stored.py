import threading

import numpy as np
import pytest

from ensemble_jax.data import channel_statistics
from ensemble_jax.data.stored import StoredInputs, as_array, read_inputs

IMAGES = np.random.default_rng(0).integers(0, 256, (100, 2, 3, 1), dtype=np.uint8)


def stored(images=IMAGES, rows=None):
    rows = np.arange(len(images)) if rows is None else rows
    return StoredInputs(lambda wanted: images[wanted], rows, images.shape[1:])


def test_it_says_what_the_array_would_be():
    inputs = stored()
    assert (inputs.shape, inputs.ndim, len(inputs)) == ((100, 2, 3, 1), 4, 100)
    assert (inputs.dtype, inputs.nbytes) == (np.uint8, IMAGES.nbytes)


@pytest.mark.parametrize("inputs", [IMAGES, stored()], ids=["array", "stored"])
@pytest.mark.parametrize("max_threads", [1, 3])
def test_reading_is_indexing(inputs, max_threads):
    positions = np.random.default_rng(1).permutation(100)[:71]
    read = read_inputs(inputs, positions, max_threads=max_threads)
    np.testing.assert_array_equal(read, IMAGES[positions])


@pytest.mark.parametrize("inputs", [IMAGES, stored()], ids=["array", "stored"])
def test_only_the_rows_asked_for_are_written(inputs):
    out = np.full((5, 2, 3, 1), 7, np.uint8)
    assert read_inputs(inputs, np.array([4, 2]), out=out) is out
    np.testing.assert_array_equal(out[:2], IMAGES[[4, 2]])
    assert (out[2:] == 7).all()


def test_a_selection_reads_nothing_and_is_of_the_selected_rows():
    def refuse(rows):
        raise AssertionError("read")

    images = StoredInputs(refuse, np.arange(100), IMAGES.shape[1:])
    selected = images[np.array([9, 8, 7, 3])][np.array([3, 1])]
    assert selected.rows.tolist() == [3, 8]
    np.testing.assert_array_equal(as_array(stored(rows=selected.rows)), IMAGES[[3, 8]])


def test_an_array_is_itself():
    assert as_array(IMAGES) is IMAGES


def test_threads_work_at_once():
    both = threading.Barrier(2, timeout=10)

    def read(rows):
        both.wait()
        return IMAGES[rows]

    inputs = StoredInputs(read, np.arange(64), IMAGES.shape[1:])
    np.testing.assert_array_equal(as_array(inputs, max_threads=2), IMAGES[:64])


def test_what_reading_raises_is_raised():
    def fail(rows):
        raise ValueError("a broken image")

    with pytest.raises(ValueError, match="a broken image"):
        as_array(StoredInputs(fail, np.arange(100), IMAGES.shape[1:]), max_threads=2)


def test_what_is_cancelled_is_not_read():
    calls = []

    def read(rows):
        calls.append(len(rows))
        return IMAGES[rows]

    inputs = StoredInputs(read, np.arange(100), IMAGES.shape[1:])
    read_inputs(inputs, np.arange(100), cancelled=lambda: len(calls) == 2)
    assert len(calls) == 2


def test_statistics_are_those_of_the_array_up_to_a_number_of_examples(monkeypatch):
    for one, two in zip(channel_statistics(stored()), channel_statistics(IMAGES), strict=True):
        np.testing.assert_array_equal(one, two)
    monkeypatch.setattr("ensemble_jax.data.channels._MOST_READ", 10)
    read = []

    def record(rows):
        read.extend(rows.tolist())
        return IMAGES[rows]

    inputs = StoredInputs(record, np.arange(100), IMAGES.shape[1:])
    means = [channel_statistics(inputs)[0].item() for _ in range(2)]
    assert means[0] == means[1] == IMAGES[read[:10]].mean(dtype=np.float64).astype(np.float32)
    assert len(set(read[:10])) == 10

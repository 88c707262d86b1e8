import errno
import json
import os

import numpy as np
import pytest

from ensemble_jax.data.cache import cached_arrays

KEY = {"version": "1.0.0", "records": {"a": [1, 2]}}


def example_arrays():
    return {
        "images": np.arange(600, dtype=np.uint8).reshape(50, 2, 2, 3),
        "labels": np.arange(50, dtype=np.int32),
        "ids": np.array([f"train_{row}" for row in range(50)]),
    }


def must_not_be_called():
    raise AssertionError("the cache was not used")


def entry_of(folder):
    (entry,) = folder.iterdir()
    return entry


def assert_equal(actual, expected):
    assert set(actual) == set(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        np.testing.assert_array_equal(actual[name], array)


def test_arrays_are_made_once(tmp_path):
    made = cached_arrays(tmp_path / "deep" / "cache", "set", KEY, example_arrays)
    found = cached_arrays(tmp_path / "deep" / "cache", "set", dict(KEY), must_not_be_called)
    assert_equal(made, example_arrays())
    assert_equal(found, example_arrays())


def test_found_arrays_are_mapped_and_read_only(tmp_path):
    for _ in range(2):
        arrays = cached_arrays(tmp_path, "set", KEY, example_arrays)
        assert type(arrays["images"]) is np.ndarray
        assert isinstance(arrays["images"].base, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            arrays["images"][0] = 0


def test_entry_is_named_for_people_and_leaves_nothing_else(tmp_path):
    cached_arrays(tmp_path, "cifar100-3.0.2", KEY, example_arrays)
    assert entry_of(tmp_path).name.startswith("cifar100-3.0.2-")


@pytest.mark.parametrize(
    "other",
    [
        KEY | {"version": "1.0.1"},
        KEY | {"records": {"a": [1, 3]}},
        KEY | {"records": {"b": [1, 2]}},
    ],
)
def test_another_key_is_another_entry(tmp_path, other):
    cached_arrays(tmp_path, "set", KEY, example_arrays)
    arrays = cached_arrays(tmp_path, "set", other, lambda: {"x": np.ones(3)})
    assert set(arrays) == {"x"}
    assert len(list(tmp_path.iterdir())) == 2


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip_last_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def change_type(path):
    path.write_bytes(path.read_bytes().replace(b"|u1", b"|i1"))


@pytest.mark.parametrize("damage", [truncate, flip_last_byte, change_type, os.remove])
def test_damaged_array_is_made_again(tmp_path, damage):
    cached_arrays(tmp_path, "set", KEY, example_arrays)
    damage(entry_of(tmp_path) / "images.npy")
    assert_equal(cached_arrays(tmp_path, "set", KEY, example_arrays), example_arrays())
    assert_equal(cached_arrays(tmp_path, "set", KEY, must_not_be_called), example_arrays())
    entry_of(tmp_path)


@pytest.mark.parametrize("damage", [truncate, os.remove])
def test_damaged_manifest_is_made_again(tmp_path, damage):
    cached_arrays(tmp_path, "set", KEY, example_arrays)
    damage(entry_of(tmp_path) / "manifest.json")
    assert_equal(cached_arrays(tmp_path, "set", KEY, example_arrays), example_arrays())
    assert_equal(cached_arrays(tmp_path, "set", KEY, must_not_be_called), example_arrays())


def test_a_file_in_place_of_the_entry_is_replaced(tmp_path):
    cached_arrays(tmp_path, "set", KEY, example_arrays)
    entry = entry_of(tmp_path)
    entry.rename(tmp_path / "away")
    entry.write_text("no folder")
    assert_equal(cached_arrays(tmp_path, "set", KEY, example_arrays), example_arrays())
    assert entry.is_dir()


def test_the_loser_of_a_race_uses_the_winners_arrays(tmp_path):
    def make_while_another_process_is_faster():
        cached_arrays(tmp_path, "set", KEY, lambda: {"x": np.zeros(2)})
        return {"x": np.ones(2)}

    arrays = cached_arrays(tmp_path, "set", KEY, make_while_another_process_is_faster)
    np.testing.assert_array_equal(arrays["x"], np.zeros(2))
    entry_of(tmp_path)


def test_nothing_is_left_if_making_fails(tmp_path):
    with pytest.raises(AssertionError, match="not used"):
        cached_arrays(tmp_path, "set", KEY, must_not_be_called)
    assert list(tmp_path.iterdir()) == []


def test_unusable_folder_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match=r"set is not cached.*ENSEMBLE_JAX_CACHE"):
        arrays = cached_arrays(tmp_path / "file", "set", KEY, example_arrays)
    assert_equal(arrays, example_arrays())
    with pytest.raises(ValueError, match="read-only"):
        arrays["images"][0] = 0


def test_full_disk_is_a_warning_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    with pytest.warns(UserWarning, match="No space left"):
        arrays = cached_arrays(tmp_path, "set", KEY, example_arrays)
    assert_equal(arrays, example_arrays())
    assert list(tmp_path.iterdir()) == []


def test_manifest_holds_types_shapes_and_sums(tmp_path):
    cached_arrays(tmp_path, "set", KEY, lambda: {"x": np.frombuffer(b"123456789", np.uint8)})
    # CRC-32's published check value.
    expected = {"x": {"dtype": "|u1", "shape": [9], "crc32": 0xCBF43926}}
    assert json.loads((entry_of(tmp_path) / "manifest.json").read_text()) == expected

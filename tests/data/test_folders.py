from pathlib import Path

import pytest

from ensemble_jax.data.folders import Folders, resolve_folders


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TFDS_DATA_DIR", "ENSEMBLE_JAX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_usual_folders(tmp_path):
    expected = Folders(tmp_path / "tensorflow_datasets", tmp_path / ".cache" / "ensemble_jax")
    assert resolve_folders(None, None) == expected


def test_environment_comes_before_the_usual_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", "~/prepared")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert resolve_folders(None, None) == Folders(tmp_path / "prepared", Path("/xdg/ensemble_jax"))
    monkeypatch.setenv("ENSEMBLE_JAX_CACHE", "~/own")
    assert resolve_folders(None, None).cache == tmp_path / "own"


def test_an_empty_variable_counts_as_unset(monkeypatch, tmp_path):
    for name in ("TFDS_DATA_DIR", "ENSEMBLE_JAX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    expected = Folders(tmp_path / "tensorflow_datasets", tmp_path / ".cache" / "ensemble_jax")
    assert resolve_folders(None, None) == expected


def test_arguments_come_before_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", "/environment")
    monkeypatch.setenv("ENSEMBLE_JAX_CACHE", "/environment")
    assert resolve_folders("~/a", Path("/b")) == Folders(tmp_path / "a", Path("/b"))


def test_word_vectors_are_only_where_the_user_says(tmp_path):
    assert resolve_folders(None, None).word_vectors is None
    assert resolve_folders(None, None, "").word_vectors is None
    assert resolve_folders(None, None, "~/a.txt").word_vectors == tmp_path / "a.txt"

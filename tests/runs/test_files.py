"""Files are written nowhere but where they belong, and are no more open than the user wants."""

import os
import stat

import pytest

from ensemble_jax.runs.files import append_file, replace_file, staged_path
from ensemble_jax.runs.lock import locked


@pytest.fixture
def victim(tmp_path):
    """A file that a link leads to."""
    path = tmp_path / "victim"
    path.write_text("mine")
    return path


@pytest.fixture
def shared(tmp_path):
    """A folder in which others can make links."""
    path = tmp_path / "shared"
    path.mkdir()
    return path


def test_a_link_where_a_file_is_staged_is_not_followed(shared, victim):
    path = shared / "run.json"
    staged_path(path).symlink_to(victim)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()
    assert victim.read_text() == "mine"
    assert os.listdir(shared) == ["run.json"]


def test_a_link_in_the_place_of_a_file_is_replaced(shared, victim):
    path = shared / "run.json"
    path.symlink_to(victim)
    replace_file(path, b"new")
    assert not path.is_symlink()
    assert victim.read_text() == "mine"


def test_nothing_is_added_through_a_link(shared, victim):
    path = shared / "metrics.jsonl"
    append_file(path, b"one\n")
    append_file(path, b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
    path.unlink()
    path.symlink_to(victim)
    with pytest.raises(OSError, match=r"metrics\.jsonl"):
        append_file(path, b"three\n")
    assert victim.read_text() == "mine"


def test_no_lock_is_taken_through_a_link(shared, victim):
    path = shared / ".lock"
    path.symlink_to(victim)
    with pytest.raises(OSError, match=r"\.lock"), locked(path, shared):
        pass
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_modes_follow_the_umask(toy, tmp_path, umask):
    before = os.umask(umask)
    try:
        toy.write_run(tmp_path / "run", toy.manifest())
    finally:
        os.umask(before)
    paths = [tmp_path / "run", *(tmp_path / "run").rglob("*")]
    assert len(paths) >= 8
    for path in paths:
        allowed = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == allowed & ~umask, path

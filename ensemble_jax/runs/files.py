"""Files that are wholly there or not there at all, whenever the process or the machine stops."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that readers see either the old content or the new, never a part.

    Raises:
        OSError: if it cannot be written (a full disk); the old content is then still there.
    """
    stage_file(path, content)
    publish_file(path)


def stage_file(path: Path, content: bytes) -> None:
    """Bring the content safely to the disk beside `path`, to be published later.

    The file is new: what lies there, a link to elsewhere above all, is removed and never written
    to.
    """
    staged = staged_path(path)
    staged.unlink(missing_ok=True)
    try:
        with staged.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def publish_file(path: Path) -> None:
    """Let what was staged take its place."""
    staged = staged_path(path)
    try:
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(option: str, folder: Path) -> Path:
    """The folder, made if it is missing.

    Raises:
        ValueError: if it cannot be, naming the option that asked for it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{option} must be a folder, or where one can be made, got {folder}: {error.strerror}"
        ) from error
    return folder


def append_file(path: Path, content: bytes) -> None:
    """Add to a file and bring it to the disk.

    Raises:
        OSError: if it cannot be written, or is a link.
    """
    with open(path, "ab", opener=_open_no_link) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _open_no_link(path: str, flags: int) -> int:
    # Windows has no such flag, and hardly any links.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def staged_path(path: Path) -> Path:
    """Where the content of `path` waits until it is complete: in the same folder, hidden."""
    return path.with_name(f".{path.name}.tmp")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    if os.name == "nt":  # Windows opens no folders, and keeps a journal of their names itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def npz_content(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of an uncompressed .npz file; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def names_in_npz(path: Path) -> frozenset[str]:
    """The names of the arrays in an .npz file.

    Raises:
        ValueError: if the file is no archive.
    """
    with (
        _told_if_damaged(path),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        return frozenset(arrays)


def read_npz(path: Path, names: Iterable[str]) -> tuple[np.ndarray, ...]:
    """Read some arrays of an .npz file and none of the others.

    Raises:
        ValueError: if the file is cut off, overwritten or lacks one of the arrays.
    """
    # NumPy leaves a file open that is no archive, so it is not NumPy that opens it.
    with (
        _told_if_damaged(path),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        return tuple(arrays[name] for name in names)


@contextlib.contextmanager
def _told_if_damaged(path: Path) -> Iterator[None]:
    # NumPy does not say what it raises for a file that is no .npz file, or no longer one.
    try:
        yield
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error

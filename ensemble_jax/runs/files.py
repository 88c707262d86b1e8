"""Files that are wholly there or not there at all, whenever the process or the machine stops."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ensemble_jax.runs.layout import CHECKPOINTS, FOLDERS, PARTS

# Of an archive's member.
_ENCRYPTED = 1
_BEGINNING = b"PK\x03\x04"
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


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


def check_own_folders(directory: Path) -> None:
    """See that the folders of a run, in which files are written and removed, are no links.

    Raises:
        ValueError: naming the first that is one.
    """
    for name in FOLDERS:
        folder = directory / name
        below = folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ()
        for path in (folder, *(below if name in (CHECKPOINTS, PARTS) else ())):
            if path.is_symlink():
                raise ValueError(
                    f"{path} is a link: what a run has lies in its own folder, so that nothing is "
                    f"written or removed elsewhere"
                )


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


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of a file that somebody else may have put there.

    Raises:
        ValueError: if it is a link, a pipe, a device or anything but a file, or is too large.
        OSError: if it cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most_bytes:
            raise ValueError(f"{path} must have at most {most_bytes} bytes, got {size}")
        return file.read()


def open_regular(path: Path) -> BinaryIO:
    """Open a file to be read, and nothing but a file: a pipe would wait for ever.

    Raises:
        ValueError: if it is a link, a pipe, a device or a folder.
        OSError: if it cannot be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink():
        raise ValueError(f"{path} must be a file of its own, not a link")
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} must be a file")
    return open(descriptor, "rb")


def names_in_npz(path: Path) -> frozenset[str]:
    """The names of the arrays in an .npz file.

    Raises:
        ValueError: if the file is no archive as this project writes them.
    """
    with _opened(path) as archive:
        return frozenset(name.removesuffix(".npy") for name in archive.namelist())


def read_npz(path: Path, names: Iterable[str]) -> tuple[np.ndarray, ...]:
    """Read some arrays of an .npz file and none of the others.

    Nothing is allocated that is larger than the file: arrays are neither compressed nor encrypted,
    and each has as many bytes as its header says.

    Raises:
        ValueError: if the file is cut off, overwritten, lacks one of the arrays or is no archive as
            this project writes them.
    """
    with _opened(path) as archive:
        return tuple(_read_array(archive, name) for name in names)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with _told_if_damaged(path), open_regular(path) as file, _archive(file) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise ValueError("it holds an array twice")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
                raise ValueError(f"{member.filename} must be neither compressed nor encrypted")
        if sum(member.file_size for member in members) > os.fstat(file.fileno()).st_size:
            raise ValueError("its arrays are larger than the file")
        yield archive


def _archive(file: BinaryIO) -> zipfile.ZipFile:
    # What is before the beginning of an archive, or lacks there, is passed over by zipfile.
    if file.read(len(_BEGINNING)) != _BEGINNING:
        raise ValueError("it is no .npz file")
    return zipfile.ZipFile(file)


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _READERS:
            raise ValueError(f"{name} is of an unknown version of .npy")
        shape, _, dtype = _READERS[version](file)
        if dtype.hasobject:
            raise ValueError(f"Object arrays cannot be loaded: {name} holds Python objects")
        if dtype.kind not in "biufU" or dtype.fields:
            raise ValueError(f"{name} must hold numbers or text, got {dtype}")
        if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"{name} has not as many bytes as its header says")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


@contextlib.contextmanager
def _told_if_damaged(path: Path) -> Iterator[None]:
    # NumPy does not say what it raises for a file that is no .npz file, or no longer one.
    try:
        yield
    except (
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        RuntimeError,
        OverflowError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # where zipfile is led to before the beginning of the file
            raise
        raise ValueError(f"{path} is damaged: {error}") from error

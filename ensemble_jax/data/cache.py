"""A cache on disk for arrays that take long to make; cached arrays are mapped into memory."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

Arrays = Mapping[str, np.ndarray]

_MANIFEST = "manifest.json"


def cached_arrays(cache_dir: Path, label: str, key: object, make: Callable[[], Arrays]) -> Arrays:
    """The arrays that `make` returns, made only if the cache does not hold them.

    An entry is the folder `<cache_dir>/<label>-<digest of key>` with one `.npy` file per array and
    a manifest of their types, shapes and CRC-32 sums. It appears by a rename, so that it is whole
    or absent, and of two processes that make it at once both use the first one's. An entry that
    does not match its manifest is made again; one that cannot be written is a warning. Reading
    costs one pass over the files for the sums, about 0.1 s for CIFAR-100 once they are in the page
    cache. Entries are never removed.

    Args:
        cache_dir: the folder of all entries; it is created.
        label: what a person recognises the entry by.
        key: what the arrays depend on, as plain JSON values.
        make: returns the arrays by name; names are file names, types hold no Python objects.

    Returns:
        The arrays, read-only.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    entry = cache_dir / f"{label}-{digest}"
    found = _read(entry)
    if found is not None:
        return found
    made = make()
    for array in made.values():
        array.flags.writeable = False
    try:
        _write(entry, made)
    except OSError as error:
        warnings.warn(
            f"{label} is not cached, so that it will be decoded again: cannot write in {cache_dir} "
            f"({error}); cache_dir or $ENSEMBLE_JAX_CACHE may name another folder",
            stacklevel=2,
        )
        return made
    return _read(entry) or made


def state_of_file(path: Path) -> tuple[int, int, int, int]:
    """What a key says of a file in place of its content: inode, size, and when it changed.

    Times of modification can be set, and two files be exchanged. The time at which the system
    itself saw the last change (`ctime`) cannot be set, and a file that takes another's place has
    its own inode; so an entry is never used for other content. A copy of a file is another file,
    whose arrays are made again.
    """
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _read(entry: Path) -> Arrays | None:
    """The arrays of an entry, or None where it is absent or not what was written."""
    try:
        manifest = json.loads((entry / _MANIFEST).read_text())
        arrays = {
            # The plain view of the mapping: no other code needs to know np.memmap.
            name: np.asarray(np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False))
            for name in manifest
        }
    except (OSError, ValueError, EOFError):
        return None
    intact = all(_summary(array) == manifest[name] for name, array in arrays.items())
    return arrays if intact else None


def _write(entry: Path, arrays: Arrays) -> None:
    """Puts an entry in place at once, unless another process has just done so."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = entry.with_name(f".{entry.name}-{uuid.uuid4().hex}")
    try:
        temporary.mkdir()
        for name, array in arrays.items():
            with open(temporary / f"{name}.npy", "wb") as file:
                np.save(file, array, allow_pickle=False)
                _sync(file)
        with open(temporary / _MANIFEST, "w") as file:
            json.dump({name: _summary(array) for name, array in arrays.items()}, file)
            _sync(file)
        _sync_folder(temporary)
        if entry.exists() and _read(entry) is None:
            _discard(entry)
        try:
            temporary.rename(entry)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        _sync_folder(entry.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _discard(entry: Path) -> None:
    """Removes a damaged entry in a way that no reader meets it half removed."""
    aside = entry.with_name(f".{entry.name}-{uuid.uuid4().hex}")
    entry.rename(aside)
    if aside.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink()


def _summary(array: np.ndarray) -> dict[str, object]:
    """What a manifest says of an array."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return {"dtype": array.dtype.str, "shape": list(array.shape), "crc32": zlib.crc32(data.data)}


def _sync(file: IO[Any]) -> None:
    """Waits until a file has reached the disk."""
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Waits until a folder's entries have reached the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

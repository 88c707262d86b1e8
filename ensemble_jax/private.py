"""Folders and files of which nobody else can have changed anything: caches of what is run."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def private_folder(folder: Path) -> Path:
    """The folder, made if it is missing, for its owner alone (0700).

    One's own folder that others could write is closed to them; what they may have put there is told
    by `is_private`. Parents, which can be links, are made as the umask has it.

    Raises:
        PermissionError: if it is a link, or another user's.
        OSError: if it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.name == "nt":  # where modes say nothing
        return folder
    status = folder.stat(follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(f"{folder} is a link, or not this user's folder")
    if status.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def is_private(path: Path) -> bool:
    """Whether a path is a file of this user's, which nobody else can write; False for a link."""
    try:
        status = path.stat(follow_symlinks=False)
    except OSError:
        return False
    own = os.name == "nt" or (status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE)
    return stat.S_ISREG(status.st_mode) and own


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads and writes, whole on the disk or not at all.

    Raises:
        OSError: if it cannot be written; what was there before is then still there.
    """
    descriptor, staged = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, path)
    except BaseException:
        os.unlink(staged)
        raise

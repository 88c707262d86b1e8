"""One process at a time writes a run; any number may read it meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

# What a file system says that has no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EOPNOTSUPP)
_HELD = (errno.EWOULDBLOCK, errno.EACCES)
# `is_locked` holds a lock for a moment, in which nobody shall be refused.
_ATTEMPTS, _PAUSE_SECONDS = 5, 0.05
# The open lock files of this process, by their absolute path.
_held: dict[Path, int] = {}


class HeldError(ValueError):
    """Another process holds a lock file."""


class LostLockError(OSError):
    """A folder is no longer the one that this process has locked."""


@contextlib.contextmanager
def locked(path: Path, what: Path) -> Iterator[None]:
    """Hold a lock file, so that no other process does what is done within.

    The kernel releases the lock when the process ends, however it ends; then the file may be left,
    which means nothing. On network file systems it holds between machines where the server has
    locks (NFS from version 4, or with its lock daemon; Lustre mounted with `flock`). Where there
    are none, which a warning says, nothing is kept out.

    Args:
        path: the lock file; its folder must exist.
        what: is written, for messages.

    Raises:
        HeldError: if another process holds it.
        OSError: if the file cannot be made.
    """
    if fcntl is None:
        yield
        return
    descriptor = _acquire(path, what)
    try:
        with contextlib.suppress(OSError):  # a full disk: then nobody is told who holds it
            os.ftruncate(descriptor, 0)
            os.write(descriptor, holder_of_this_process().encode())
        _held[path.absolute()] = descriptor
        yield
    finally:
        _held.pop(path.absolute(), None)
        with contextlib.suppress(OSError):
            if _is_at(descriptor, path):  # and not that of a process which came after
                path.unlink()
        os.close(descriptor)


@contextlib.contextmanager
def locked_in_turn(path: Path, what: Path) -> Iterator[None]:
    """Hold a lock file as soon as no other process does; see `locked`.

    Raises:
        OSError: if the file cannot be made.
    """
    with contextlib.ExitStack() as held:
        while True:
            with contextlib.suppress(HeldError):  # which takes a while to be raised
                held.enter_context(locked(path, what))
                break
        yield


def check_lock(path: Path) -> None:
    """See that a lock file is the one that this process holds; nothing if it holds none there.

    Asked before whatever is written or removed in its folder: that may have been moved or removed,
    and another run begun in its place.

    Raises:
        LostLockError: if the lock file that lies there is another one, or gone.
    """
    descriptor = _held.get(path.absolute())
    if descriptor is not None and not _is_at(descriptor, path):
        raise LostLockError(
            f"{path.parent} is no longer the folder that this process has locked: it, or its "
            f"{path.name}, was moved or removed since; nothing more is written there"
        )


def holder_of_this_process() -> str:
    """What a lock file says that this process holds."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def is_locked(path: Path) -> bool | None:
    """Whether a process, this one included, holds a lock file; None where there are no locks."""
    if fcntl is None:
        return None
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in _HELD:
            return True
        if error.errno in _NO_LOCKS:
            return None
        raise
    return False


def _acquire(path: Path, what: Path) -> int:
    while True:
        # A link in its place would let the name of this process be written elsewhere.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            _lock(descriptor, what)
            # Its last holder may have removed the file since it was opened.
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, what: Path) -> None:
    try:
        _try_to_lock(descriptor)
    except OSError as error:
        if error.errno in _HELD:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
            raise HeldError(
                f"{what} is being written by {holder}: wait for its end, or choose another folder"
            ) from None
        if error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"the file system of {what} has no locks ({error.strerror}): see to it that no other "
            f"process writes there",
            stacklevel=5,
        )


def _try_to_lock(descriptor: int) -> None:
    assert fcntl is not None
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in _HELD or attempt == _ATTEMPTS:
                raise
        time.sleep(_PAUSE_SECONDS)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether a path names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except OSError as error:
        # ESTALE is what a network file system says of a file that another machine has removed.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
            return False
        raise

"""One process at a time writes a run; any number may read it meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

# What a file system says that has no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EOPNOTSUPP)


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
        ValueError: if another process holds it.
        OSError: if the file cannot be made.
    """
    if fcntl is None:
        yield
        return
    descriptor = _acquire(path, what)
    try:
        with contextlib.suppress(OSError):  # a full disk: then nobody is told who holds it
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


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
    assert fcntl is not None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
            raise ValueError(
                f"{what} is being written by {holder}: wait for its end, or choose another folder"
            ) from None
        if error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"the file system of {what} has no locks ({error.strerror}): see to it that no other "
            f"process writes there",
            stacklevel=5,
        )


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether a path names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

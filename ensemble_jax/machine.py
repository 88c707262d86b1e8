"""What the machine and its user provide."""

import contextlib
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

from ensemble_jax.private import is_private, private_folder

NO_BAR = "TQDM_DISABLE"
"""The variable of the environment that hides progress bars."""

# The first byte of what zlib has compressed.
_ZLIB = 0x78


JAX_DEFAULT_SECONDS = 1.0
"""What a program must take to compile for JAX to keep it, unless it is told otherwise."""


def num_cores() -> int:
    """The cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def user_cache() -> Path:
    """Where what can be made again is kept; it need not exist.

    `$XDG_CACHE_HOME/ensemble_jax`, else `~/.cache/ensemble_jax`, and for a user without a home, as
    there are in containers, a folder of the user's among the temporary files.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "ensemble_jax").expanduser()
    except RuntimeError:  # there is no home
        return Path(tempfile.gettempdir(), f"ensemble_jax-{os.geteuid()}")


def use_compilation_cache() -> None:
    """Keep compiled programs between processes, where the user has not said otherwise."""
    import jax

    config: Any = jax.config  # its attributes are those of its options, unknown to type checkers
    if config.jax_compilation_cache_dir is None:
        try:
            folder = private_folder(user_cache() / "compiled")
        except OSError:
            return  # nothing is kept
        _remove_broken(folder)
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if config.jax_persistent_cache_min_compile_time_secs == JAX_DEFAULT_SECONDS:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _remove_broken(folder: Path) -> None:
    """Remove compiled programs that are not this user's, or not whole.

    JAX compares the checksum that is in each before it loads it, but never writes a broken one
    anew. Those that have not changed since they were looked at the last time are passed over.
    """
    seen = folder / ".seen"
    last = seen.stat().st_mtime_ns if is_private(seen) else 0
    with contextlib.suppress(OSError):  # another process may remove the same
        seen.touch(mode=0o600)
        os.utime(seen)
        for entry in folder.glob("*-cache"):
            if not is_private(entry) or (
                entry.stat().st_mtime_ns >= last and not _is_whole(entry.read_bytes())
            ):
                entry.unlink()


def _is_whole(program: bytes) -> bool:
    """Whether a compressed program has its checksum; those of other formats are JAX's to judge."""
    if program and program[0] != _ZLIB:
        return True
    try:
        zlib.decompress(program)
    except zlib.error:
        return False
    return True

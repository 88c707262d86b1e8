"""Functions in C, compiled on the machine that runs them when they are first needed.

A library compiled elsewhere could use only what all processors have, but vectors of 16 numbers are
twice as fast as those of 8. Results are kept in the user's cache, one for each compiler, processor
and source.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

import jax

from ensemble_jax.machine import user_cache
from ensemble_jax.private import is_private, private_folder, write_private

_SOURCES = sorted(Path(__file__).parent.glob("*.[ch]"))
_OPTIONS = ("-O3", "-march=native", "-std=gnu11", "-fPIC", "-shared")
_SECONDS = 120


class NotCompiledError(RuntimeError):
    """There is no compiler here, or it refuses; the message is one line."""


class NoCompilerError(NotCompiledError):
    """There is no compiler here."""


@functools.cache
def register(*names: str) -> None:
    """Make the functions of these names targets of `jax.ffi.ffi_call` on CPUs.

    Takes two seconds where nobody has done so before on this machine. The compiler is `$CC`, else
    `cc`.

    Raises:
        NotCompiledError: if that is not possible here.
    """
    library = _load()
    for name in names:
        pointer = jax.ffi.pycapsule(getattr(library, name))
        jax.ffi.register_ffi_target(name, pointer, platform="cpu")


def _load() -> ctypes.CDLL:
    try:
        compiler = shlex.split(os.environ.get("CC") or "cc") or ["cc"]
    except ValueError as error:
        raise NotCompiledError(f"$CC is no command: {error}") from None
    command = [*compiler, *_OPTIONS, "-I", jax.ffi.include_dir()]
    key = _digest(command)
    try:
        folder = private_folder(user_cache() / "native")
        kept = _kept(folder, key) or _keep(_compiled(command), folder, key)
        return ctypes.CDLL(str(kept))
    except OSError:  # nothing can be kept, or what is kept cannot be loaded
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary, f"{key}.so")
            path.write_bytes(_compiled(command))
            try:
                return ctypes.CDLL(str(path))
            except OSError as error:
                raise NotCompiledError(
                    f"what the C compiler {command[0]!r} makes cannot be loaded: {error}"
                ) from None


def _kept(folder: Path, key: str) -> Path | None:
    """What was compiled before, if it is as it was; what is not is removed.

    The name of a library ends with the digest of its content: one that was cut off or changed since
    would crash the process, or run what somebody else has put there.
    """
    for path in folder.glob(f"{key}-*.so"):
        if is_private(path) and path == _place(folder, key, path.read_bytes()):
            return path
        path.unlink()
    return None


def _keep(library: bytes, folder: Path, key: str) -> Path:
    """Write the library into the cache, whole or not at all; two processes may do so at once."""
    path = _place(folder, key, library)
    write_private(path, library)
    return path


def _place(folder: Path, key: str, library: bytes) -> Path:
    return folder / f"{key}-{hashlib.sha256(library).hexdigest()[:32]}.so"


def _compiled(command: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "library.so")
        _run([*command, *(str(s) for s in _SOURCES if s.suffix == ".c"), "-o", str(path)])
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise NotCompiledError(f"the C compiler {command[0]!r} makes nothing") from None


def _digest(command):
    """Of all that the result depends on.

    A compiler's predefined macros tell its version and what the processor that it compiles for can.
    """
    macros = _run([*command, "-dM", "-E", "-x", "c", os.devnull])
    interface = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h").read_bytes()
    digest = hashlib.sha256(repr(command).encode())
    for content in (macros, interface, *(source.read_bytes() for source in _SOURCES)):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def _run(command):
    try:
        return subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS).stdout
    except FileNotFoundError:
        raise NoCompilerError(f"there is no C compiler {command[0]!r} on the PATH") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or [str(error)]
        told = next((line for line in lines if "error" in line), lines[0])
        raise NotCompiledError(f"the C compiler {command[0]!r} refuses: {told.strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotCompiledError(f"the C compiler {command[0]!r} does not work: {error}") from None

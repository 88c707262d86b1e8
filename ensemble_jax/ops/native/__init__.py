"""What is written in C, compiled for the machine it runs on when it is first needed.

Compiled before, it could use only what all processors have: vectors of 16 numbers are twice as fast
as those of 8. Results are kept in the user's cache, one for each compiler, processor and source.
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
    compiler = shlex.split(os.environ.get("CC") or "cc")
    command = [*compiler, *_OPTIONS, "-I", jax.ffi.include_dir()]
    folder = user_cache() / "native"
    path = folder / f"{_digest(command)}.so"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            # Two that compile at the same time write the same; half a file is never there.
            with tempfile.TemporaryDirectory(dir=folder) as temporary:
                _compile(command, Path(temporary, path.name)).replace(path)
        return ctypes.CDLL(str(path))
    except OSError:  # nothing can be kept, or what is kept cannot be read
        with tempfile.TemporaryDirectory() as temporary:
            return ctypes.CDLL(str(_compile(command, Path(temporary, path.name))))


def _compile(command, path):
    _run([*command, *(str(s) for s in _SOURCES if s.suffix == ".c"), "-o", str(path)])
    return path


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

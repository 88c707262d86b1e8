"""The memory that a process needs and has needed, as the kernel counts it."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path

_PROCESSES = Path("/proc")
_PROCESS = _PROCESSES / "self"


@dataclass(frozen=True)
class Memory:
    """The most that was held while a contender trained.

    Attributes:
        resident_bytes: of main memory, by its processes together, libraries and data included.
        device_bytes: of the accelerator, None where there is none; since the process began, since
            that cannot start anew.
    """

    resident_bytes: int
    device_bytes: int | None = None


def release_unused() -> None:
    """Give back what the C library keeps though nobody uses it, such as all that compiling took."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
        if trim is not None:
            trim(0)


def forget_peak() -> None:
    """Let the peak start anew, where the system can do that (Linux)."""
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:  # another system, or one that does not allow it: the peak is then the life's
        return


def peak_resident_bytes() -> int:
    """The most memory that this process held since `forget_peak`, or ever."""
    try:
        return _status_bytes(_PROCESS, "VmHWM")
    except OSError:
        import resource  # which Windows does not have

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


@dataclass(frozen=True)
class Footprint:
    """What another process and all that it has started hold now; nothing where it has ended.

    Attributes:
        resident_bytes: now, together.
        peak_resident_bytes: of the process itself, at any time.
        written_bytes: of the process itself, sent to the disk.
    """

    resident_bytes: int = 0
    peak_resident_bytes: int = 0
    written_bytes: int = 0

    @classmethod
    def of(cls, process: int) -> Footprint:
        """Of a process by its number, on Linux."""
        folder = _PROCESSES / str(process)
        resident = 0
        for member in _family(process):
            with contextlib.suppress(OSError, StopIteration):
                resident += _status_bytes(_PROCESSES / str(member), "VmRSS")
        try:
            written = (folder / "io").read_text().split("\nwrite_bytes: ")[1].split()[0]
            return cls(resident, _status_bytes(folder, "VmHWM"), int(written))
        except (OSError, StopIteration):  # it has ended
            return cls()


def _family(process: int) -> list[int]:
    """A process and its descendants."""
    family = [process]
    with contextlib.suppress(OSError):
        for children in (_PROCESSES / str(process)).glob("task/*/children"):
            for child in children.read_text().split():
                family += _family(int(child))
    return family


def _status_bytes(folder: Path, field: str) -> int:
    """A field of a process's status; a process that is ending has no memory any more."""
    lines = (folder / "status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(field))
    return int(line.split()[1]) * 1024

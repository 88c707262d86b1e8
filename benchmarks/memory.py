"""The memory that a process has needed, as the kernel counts it."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path

_PROCESS = Path("/proc/self")


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
        status = (_PROCESS / "status").read_text()
    except OSError:
        import resource  # which Windows does not have

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

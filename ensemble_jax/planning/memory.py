"""Memory: what a device has left, what a compiled program takes and what a collection holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ensemble_jax.collection import Lifted, Placement

PUBLISHED_BYTES = {
    "TPU v4": 32 * 2**30,
    "TPU v5 lite": 16 * 2**30,
    "TPU v5p": 95 * 2**30,
    "TPU v5": 95 * 2**30,
    "TPU v6 lite": 32 * 2**30,
}
"""Memory of accelerators by JAX's `device_kind` (Google Cloud, TPU system architecture)."""
LEAST_BYTES = 8 * 2**30
"""Less than any accelerator has that is made for training."""

_CGROUP = Path("/sys/fs/cgroup")
# Version 2, then version 1: the limit of a container and what it uses of it.
_CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
# A checkpoint on its way to the disk: the state gathered from the devices, the copy of it that none
# of them changes, and what is made of that.
_CHECKPOINT_COPIES = 3


class CollectionMemory(NamedTuple):
    """What a collection holds while it is trained, in bytes, by what it is for.

    On the fullest device; on all of them together, and with checkpoints, where the devices share
    the memory of the host, as those of a CPU do.

    Attributes:
        data: what every device holds for all members.
        state: of the members, padding included.
        programs: results and temporaries of a call.
        checkpoints: the state on its way to the disk.
    """

    data: int
    state: int
    programs: int
    checkpoints: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)

    @classmethod
    def of(cls, placement: Placement, *, data: int, state: int, programs: int) -> CollectionMemory:
        """Of members that are placed so, by what one device needs.

        Args:
            placement: of all members.
            data: of one device.
            state: of one member.
            programs: of one device, as `program_bytes` has it.
        """
        held = placement.members_per_device * state
        if placement.devices[0].platform != "cpu":
            return cls(data, held, programs, 0)
        devices = len(placement.devices)
        checkpoints = _CHECKPOINT_COPIES * placement.num_members * state
        return cls(devices * data, devices * held, devices * programs, checkpoints)


def free_bytes(device: Any) -> int:
    """What may still be allocated on a device; for a CPU, what the machine or container has left.

    All CPU devices share that memory. An accelerator that does not say what it has is taken to have
    what is published of its kind, or, of an unknown kind, `LEAST_BYTES`.

    Args:
        device: a `jax.Device`, which is a variable that no type checker takes.
    """
    if device.platform == "cpu":
        return min([_free_in_machine(), *_free_in_container()])
    stats = device.memory_stats() or {}
    published = PUBLISHED_BYTES.get(device.device_kind, LEAST_BYTES)
    return stats.get("bytes_limit", published) - stats.get("bytes_in_use", 0)


def program_bytes(compiled: Lifted | jax.stages.Compiled) -> int:
    """What one device needs beside the arguments while a program runs: results and temporaries."""
    analysis: Any = compiled.memory_analysis()
    if analysis is None:
        return 0
    aliased = analysis.alias_size_in_bytes
    return analysis.temp_size_in_bytes + analysis.output_size_in_bytes - aliased


def lack_of_memory(error: BaseException) -> str | None:
    """What an error says in its first line, if it says that memory lacks; None otherwise."""
    # Of the host's memory XLA says INTERNAL, and NumPy raises its own.
    of_memory = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory", "Ran out of memory")
    if isinstance(error, MemoryError) or any(words in str(error) for words in of_memory):
        return (str(error) or type(error).__name__).splitlines()[0]
    return None


def _free_in_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":") for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free_in_container() -> list[int]:
    for limit, used in _CGROUP_FILES:
        try:
            return [
                int((_CGROUP / limit).read_text()) - int((_CGROUP / used).read_text()),
            ]
        except (OSError, ValueError):  # absent, or "max": no limit
            continue
    return []

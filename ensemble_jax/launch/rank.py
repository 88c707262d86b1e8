"""Which of several processes this is: by its scheduler, by `jax.distributed`, or as it is told.

Process r of P trains slice r of the members. Nothing else is known of the others: what they have in
common lies in the run directory.
"""

from __future__ import annotations

import enum
import functools
import os
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

# With these a host of a TPU pod uses its own chips alone, and waits for no other host.
_TPU_ALONE = {"TPU_PROCESS_BOUNDS": "1,1,1", "CLOUD_TPU_TASK_ID": "0"}
_SCHEDULERS = "TPU VM, Slurm step or job array, MPI or indexed job of Kubernetes"


class Detection(enum.Enum):
    """Whether the scheduler's variables tell the rank."""

    OFF = "off"
    AUTO = "auto"


class _Scheduler(NamedTuple):
    """The variables by which a scheduler tells a process its rank; empty where it has none."""

    rank: str
    count: str
    local_rank: str = ""
    local_count: str = ""


# `mpirun` within a Slurm job inherits Slurm's variables, so those of MPI come first.
_KNOWN = (
    _Scheduler(
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ),
    _Scheduler("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    _Scheduler(
        "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"
    ),
    _Scheduler("TPU_WORKER_ID", "TPU_WORKER_HOSTNAMES"),
    _Scheduler("JOB_COMPLETION_INDEX", ""),
)


@dataclass(frozen=True)
class Rank:
    """A launcher: this process trains one slice of the members; others train the rest.

    The processes need nothing of each other but the run directory, which all must see, and the same
    arguments. They may run at different times. The one that finishes last finds the run complete.

    >>> Rank(3, 8)
    Rank(index=3, count=8)

    Attributes:
        index: which of them this is, from 0.
        count: how many there are, P.

    Raises:
        ValueError: if there is no such process.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"num_ranks must be at least 1, got {self.count}")
        if not 0 <= self.index < self.count:
            raise ValueError(f"rank must lie in 0..{self.count - 1}, got {self.index}")

    def __str__(self) -> str:
        return f"rank {self.index} of {self.count}"

    @classmethod
    def detect(cls, count: int | None = None) -> Rank:
        """As the scheduler's variables of the environment tell.

        Known are TPU VMs, Slurm (steps, job arrays and steps of them), Open MPI and other MPIs, and
        indexed jobs of Kubernetes. Where several processes share the GPUs of a host and the
        scheduler has not divided them, this one takes that of its number there.

        Args:
            count: P, where the scheduler does not tell, as Kubernetes does not.

        Raises:
            ValueError: if there is no such variable, or P is not known.
        """
        found = rank_of(os.environ, count)
        for name, value in _own_devices(os.environ).items():
            os.environ.setdefault(name, value)
            if name.startswith("JAX_") and "jax" in sys.modules:
                sys.modules["jax"].config.update(name.lower(), os.environ[name])
        return found


def rank_of(environment: Mapping[str, str], count: int | None = None) -> Rank:
    """The rank that a scheduler's variables tell; see `Rank.detect`.

    >>> rank_of({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"})
    Rank(index=3, count=8)

    Raises:
        ValueError: if there is none, or P is not known.
    """
    index, counted, of_array = 0, None, "SLURM_ARRAY_TASK_ID" in environment
    scheduler = _scheduler(environment)
    if scheduler is not None:
        index = _number(environment, scheduler.rank)
        counted = _count(environment, scheduler.count)
    elif of_array:
        counted = 1
    else:
        raise ValueError(
            f"--distributed=auto finds no {_SCHEDULERS} here: give --rank and --num_ranks"
        )
    if of_array and counted is not None:
        first = _number(environment, "SLURM_ARRAY_TASK_MIN")
        step = _number(environment, "SLURM_ARRAY_TASK_STEP", 1)
        task = (_number(environment, "SLURM_ARRAY_TASK_ID") - first) // step
        index += task * counted
        counted *= _number(environment, "SLURM_ARRAY_TASK_COUNT")
    size = counted if count is None else count
    if size is None:
        raise ValueError(
            f"--num_ranks must be given: the scheduler tells the rank alone, which is {index}"
        )
    return Rank(index, size)


def rank_asked_for(detection: Detection, index: int | None, count: int | None) -> Rank:
    """The rank that options of the command line ask for.

    Raises:
        ValueError: naming the option, its value and what is allowed.
    """
    if detection is Detection.AUTO:
        if index is not None:
            raise ValueError(
                f"--distributed=auto finds the rank itself: leave out --rank, got {index}"
            )
        return Rank.detect(count)
    if (index is None) != (count is None):
        raise ValueError("--rank and --num_ranks must be given together")
    return Rank() if index is None or count is None else Rank(index, count)


@functools.cache
def _leave_jax_group() -> Rank:
    """The rank in the group of `jax.distributed`, which this process leaves: it is not needed.

    From then on JAX takes this process for the only one. Otherwise Orbax would write the
    checkpoints of the first process alone, and the death of one process would end all.
    """
    import jax
    from jax.extend.backend import clear_backends

    from ensemble_jax.collection import use_all_cores

    rank = Rank(jax.process_index(), jax.process_count())
    jax.distributed.shutdown()
    clear_backends()
    # JAX forgets its former number only where it is given another: in a group of one process.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    jax.distributed.initialize(address, 1, 0, coordinator_bind_address=address)
    jax.distributed.shutdown()
    use_all_cores()  # before JAX looks for its devices again
    return rank


def jax_rank() -> Rank:
    """The rank that `jax.distributed.initialize` gave this process; 0 of 1 without that."""
    # Where JAX is not imported nothing is connected; so mistakes are answered without its import.
    jax = sys.modules.get("jax")
    if _leave_jax_group.cache_info().currsize or (jax and jax.distributed.is_initialized()):
        return _leave_jax_group()
    return Rank()


def _scheduler(environment: Mapping[str, str]) -> _Scheduler | None:
    """The scheduler that has started this process; a job of Slurm without `srun` is no step."""
    for scheduler in _KNOWN:
        if scheduler.rank in environment and (scheduler.count or scheduler.rank) in environment:
            return scheduler
    return None


def _own_devices(environment: Mapping[str, str]) -> dict[str, str]:
    """What keeps JAX to the devices of this process: of a TPU host, or the GPU of its number."""
    scheduler = _scheduler(environment)
    if scheduler is not None and scheduler.rank == "TPU_WORKER_ID":
        return _TPU_ALONE
    if scheduler is None or scheduler.local_rank not in environment:
        return {}
    if (_count(environment, scheduler.local_count) or 1) == 1:
        return {}
    local = _number(environment, scheduler.local_rank)
    visible = environment.get("CUDA_VISIBLE_DEVICES") or environment.get("ROCR_VISIBLE_DEVICES")
    if visible and len(visible.split(",")) <= local:
        return {}  # the scheduler has given each its own
    return {"JAX_CUDA_VISIBLE_DEVICES": str(local), "JAX_ROCM_VISIBLE_DEVICES": str(local)}


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, "")
    if not text and default is not None:
        return default
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError(f"{name} must be a number, got {text!r}: give --rank and --num_ranks")
    return int(text)


def _count(environment: Mapping[str, str], name: str) -> int | None:
    """How many a variable counts: a number, names with commas, or Slurm's `4(x2),3`: the most."""
    text = environment.get(name, "")
    if not text:
        return None
    if name == "TPU_WORKER_HOSTNAMES":
        return len(text.split(","))
    if name == "SLURM_STEP_TASKS_PER_NODE":
        return max(map(int, re.findall(r"(?:^|,)(\d+)", text)), default=1)
    return _number(environment, name)

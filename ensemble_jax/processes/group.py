"""The processes that train one collection: a process group at the start, then each on its own.

They connect through `jax.distributed`, which knows TPU VMs, Slurm, Open MPI and Kubernetes. The
first process decides who trains what. After a barrier all of them disconnect, before JAX looks for
its devices. So each process has only the devices of its own host, no process waits for another, and
none ends because another does. What they need to know of each other later they read from the run
directory.
"""

from __future__ import annotations

import contextlib
import enum
import ipaddress
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ensemble_jax.interruption import fail
from ensemble_jax.machine import NO_BAR
from ensemble_jax.processes.roll_call import answer_roll_call, hold_roll_call, split_address
from ensemble_jax.runs.layout import LOCK

T = TypeVar("T")

# A file that one host has made can take so long to be seen by another.
_SHARED_SECONDS = 90.0
_PAUSE_SECONDS = 0.2
_MOST_PORT = 65535
_LOCAL = "localhost"
# How long the first process stays to tell the others that it cannot begin.
_FAREWELL_SECONDS = 2.0
_DECISION = "decision"
# With these a host of a TPU pod uses its own chips alone, and waits for no other host.
_TPU_ALONE = {"TPU_PROCESS_BOUNDS": "1,1,1", "CLOUD_TPU_TASK_ID": "0"}


class Detection(enum.Enum):
    """How the processes of a group find each other."""

    OFF = "off"
    AUTO = "auto"
    MPI4PY = "mpi4py"


@dataclass(frozen=True)
class GroupRequest:
    """Which processes make the group: detected, or named by hand.

    Attributes:
        detection: off for a process that is alone, unless the others are named.
        coordinator: HOST:PORT of the first process; empty if it is detected.
        num_processes: how many there are.
        process_id: which of them this is, from 0.
        patience_seconds: how long to wait for the others at the start.
    """

    detection: Detection = Detection.OFF
    coordinator: str = ""
    num_processes: int | None = None
    process_id: int | None = None
    patience_seconds: float = 300.0

    @property
    def by_hand(self) -> bool:
        """Whether the processes are named."""
        return bool(self.coordinator) or self.num_processes is not None

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return not self.by_hand and self.detection is Detection.OFF

    def validate(self) -> None:
        """Check whatever can be checked without the others.

        Raises:
            ValueError: naming the option, its value and what is allowed.
        """
        if not self.patience_seconds > 0:
            raise ValueError(f"--patience must be positive, got {self.patience_seconds:g}")
        given = (
            bool(self.coordinator),
            self.num_processes is not None,
            self.process_id is not None,
        )
        if not any(given):
            return
        if self.detection is not Detection.OFF:
            raise ValueError(
                f"--distributed={self.detection.value} finds the processes itself: leave out "
                f"--coordinator, --num_processes and --process_id"
            )
        if not all(given):
            raise ValueError(
                "--coordinator, --num_processes and --process_id must be given together"
            )
        host, colon, port = self.coordinator.rpartition(":")
        if not (host and colon and port.isdecimal() and 0 < int(port) <= _MOST_PORT):
            raise ValueError(
                f"--coordinator must be HOST:PORT with a port in 1..{_MOST_PORT}, got "
                f"{self.coordinator!r}"
            )
        assert self.num_processes is not None
        assert self.process_id is not None
        if self.num_processes < 1:
            raise ValueError(f"--num_processes must be at least 1, got {self.num_processes}")
        if not 0 <= self.process_id < self.num_processes:
            raise ValueError(
                f"--process_id must lie in 0..{self.num_processes - 1}, got {self.process_id}"
            )


class ProcessGroup(Protocol):
    """The processes that train a collection, as one of them sees it.

    Attributes:
        rank: which of them this is, from 0.
        size: how many there are.
    """

    rank: int
    size: int

    @property
    def is_first(self) -> bool:
        """Whether this is the first process, which decides, and at the end waits for the others."""
        ...

    def begin(
        self, decide: Callable[[], Any], prepare: Callable[[Any], T], workdir: Path
    ) -> tuple[Any, T]:
        """Let the first process decide; all prepare, wait at a barrier and disconnect.

        Args:
            decide: called by the first process, which must hold the lock of the run directory when
                it returns. What it returns is what JSON can hold.
            prepare: called by each with the decision.
            workdir: the run directory, which all must see.

        Returns:
            The decision, and what `prepare` returned.

        Raises:
            ValueError: if any of the processes raises something, ends or does not see the folder.
        """
        ...

    def tell(self, what: str) -> None:
        """Say, once, what this process does."""
        ...


class SingleProcess:
    """A group of one process."""

    rank, size, is_first = 0, 1, True

    def begin(
        self, decide: Callable[[], Any], prepare: Callable[[Any], T], workdir: Path
    ) -> tuple[Any, T]:
        """Decide and prepare; see `ProcessGroup.begin`."""
        decision = _through_json(decide())
        return decision, prepare(decision)

    def tell(self, what: str) -> None:
        """Says nothing: there is no other process to tell apart."""


@contextlib.contextmanager
def connect_group(request: GroupRequest) -> Iterator[ProcessGroup]:
    """Connect with the other processes; within, only the first of them prints.

    Raises:
        ValueError: if they cannot be found.
    """
    if request.alone:
        yield SingleProcess()
        return
    connected = _ConnectedGroup(_connect(request), request.patience_seconds)
    with connected, _only_first_prints(connected) as group:
        yield group


@contextlib.contextmanager
def connected_group() -> Iterator[ProcessGroup]:
    """The processes that the user has connected by `jax.distributed.initialize`, if he has.

    `ProcessGroup.begin` disconnects them: from then on JAX knows this process alone. An error is
    sent to the others and raised again.
    """
    # Where JAX is not imported nothing is connected; so mistakes are answered without its import.
    jax = sys.modules.get("jax")
    if jax is None or not jax.distributed.is_initialized():
        yield SingleProcess()
        return
    from jax._src.distributed import global_state

    connected = _ConnectedGroup(global_state, GroupRequest().patience_seconds)
    with _only_first_prints(connected) as group:
        try:
            yield group
        except BaseException as error:
            connected.tell_of_failure(error)
            raise


@contextlib.contextmanager
def _only_first_prints(group: _ConnectedGroup) -> Iterator[ProcessGroup]:
    """The connected processes; within, only the first of them prints."""
    with contextlib.ExitStack() as stack:
        if group.size == 1:
            group.disconnect()
            yield SingleProcess()
            return
        if not group.is_first:
            os.environ[NO_BAR] = "1"
            silence = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(silence))
        yield group


def check_on_its_own() -> None:
    """See that JAX has no other process's devices.

    Raises:
        ValueError: if it has.
    """
    import jax

    try:
        count = jax.process_count()
    except (RuntimeError, AssertionError) as error:  # JAX's own, of which the second says nothing
        platforms = os.environ.get("JAX_PLATFORMS", "")
        raise ValueError(
            f"JAX has no devices here with JAX_PLATFORMS={platforms!r}: name a platform that this "
            f"machine has, such as cpu, or leave it out"
        ) from error
    if count > 1:
        raise ValueError(
            f"each process must have devices of its own, but JAX sees those of "
            f"{count} processes: nothing may use JAX between jax.distributed.initialize() and "
            f"train; on a TPU pod set TPU_PROCESS_BOUNDS=1,1,1 and TPU_CHIPS_PER_PROCESS_BOUNDS to "
            f"the chips of one host, such as 2,2,1"
        )


class _ConnectedGroup:
    """The processes while JAX's coordination service connects them, and after."""

    def __init__(self, state: Any, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._state = state
        self.rank: int = self._state.process_id
        self.size: int = self._state.num_processes
        self._disconnected = False
        self._stdout = sys.stdout

    @property
    def is_first(self) -> bool:
        """Whether this is the first process, which decides, and at the end waits for the others."""
        return self.rank == 0

    def begin(
        self, decide: Callable[[], Any], prepare: Callable[[Any], T], workdir: Path
    ) -> tuple[Any, T]:
        """See `ProcessGroup.begin`."""
        if self.is_first:
            decision = _through_json(decide())
            self._set(_DECISION, json.dumps([decision, _lock_of(workdir)]))
        else:
            decision, lock = _parse_decision(self._get(_DECISION))
            if decision is None:
                self._barrier()
            self._check_shared(workdir, lock)
        prepared = prepare(decision)
        self._set(_ready(self.rank), "")
        self._barrier()
        self.disconnect()
        return decision, prepared

    def tell(self, what: str) -> None:
        """Say, once, what this process does."""
        print(f"process {self.rank} of {self.size}: {what}", file=self._stdout, flush=True)

    def _check_shared(self, workdir: Path, lock: str) -> None:
        # Earlier than the others' patience ends, so that they hear the reason.
        deadline = time.monotonic() + min(_SHARED_SECONDS, self._patience / 2)
        while lock and _lock_of(workdir) != lock:
            if time.monotonic() > deadline:
                raise ValueError(
                    f"--workdir must be a folder that all processes share: {workdir.absolute()} of "
                    f"process {self.rank} is not the one that {lock}, the first, writes"
                )
            time.sleep(_PAUSE_SECONDS)

    def _barrier(self) -> None:
        """Wait until every process is ready, or one says why it is not."""
        for rank in range(self.size):
            if error := self._get(_ready(rank)):
                raise ValueError(f"process {rank} cannot begin: {error}")

    def disconnect(self) -> None:
        """Disconnect from the others, all at the same time; nothing is heard of them afterwards."""
        import jax

        with _errors_of_connection():
            _in_time(jax.distributed.shutdown, self._patience)
        # Otherwise JAX still takes this process for one of several when it looks for devices.
        self._state.process_id, self._state.num_processes = 0, 1
        for name, value in _TPU_ALONE.items():
            os.environ.setdefault(name, value)
        self._disconnected = True

    def _set(self, name: str, value: str) -> None:
        self._state.client.key_value_set(f"ensemble_jax/{name}", value)

    def _get(self, name: str) -> str:
        """What a process has set, as soon as it does."""
        client = self._state.client
        milliseconds = int(1000 * (self._patience + _FAREWELL_SECONDS))
        with _errors_of_connection():
            return _in_time(
                lambda: client.blocking_key_value_get(f"ensemble_jax/{name}", milliseconds),
                self._patience,
            )

    def __enter__(self) -> _ConnectedGroup:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Tell the others of an error, if they still listen; then the process ends with it.

        At once: an orderly end of one would wait for all.
        """
        if self._disconnected or error is None:
            return
        self.tell_of_failure(error)
        if isinstance(error, ValueError | OSError):
            fail(str(error), at_once=True)

    def tell_of_failure(self, error: BaseException) -> None:
        """Tell the others why this process cannot begin, if they still listen."""
        if self._disconnected:
            return
        with contextlib.suppress(Exception):
            self._set(_ready(self.rank), str(error) or type(error).__name__)
            if self.is_first:
                self._set(_DECISION, json.dumps([None, ""]))
                # They listen to the first process.
                time.sleep(_FAREWELL_SECONDS)


@contextlib.contextmanager
def _errors_of_connection() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # JAX's own, of the connection
        raise ValueError(f"the other processes are lost: {error}") from error


def _ready(rank: int) -> str:
    """The name of what a process says when it is ready: nothing, or why it is not."""
    return f"ready/{rank}"


def _lock_of(workdir: Path) -> str:
    """Which process holds the run directory, as it says itself; empty if nobody does."""
    try:
        return (workdir / LOCK).read_text()
    except FileNotFoundError:
        return ""


def _parse_decision(text: str) -> tuple[Any, str]:
    """What process 0 has decided, and which process it says holds the run directory.

    Raises:
        ValueError: if it is nothing of the kind.
    """
    try:
        decision, lock = json.loads(text)
        if not (isinstance(decision, dict | None) and isinstance(lock, str)):
            raise ValueError("of other kinds")
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"process 0 has sent no decision: {error}") from error
    return decision, lock


def _through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _connect(request: GroupRequest) -> Any:
    """Connect with the others; returns JAX's own state of that.

    Raises:
        ValueError: if no cluster is detected, or the others do not come in time.
    """
    import jax

    # The public name of the rank looks for devices, and the key-value store has none.
    from jax._src.distributed import global_state

    method = "deactivate" if request.by_hand else None
    if request.detection is Detection.MPI4PY:
        method = Detection.MPI4PY.value
    bound = None
    if request.by_hand and request.process_id == 0:
        bound = _address_to_bind(request.coordinator)
    # This service would catch SIGTERM and tell nobody.
    jax.config.update("jax_enable_preemption_service", False)

    def initialize() -> None:
        if request.by_hand:
            _call_roll(request, bound)
        jax.distributed.initialize(
            request.coordinator or None,
            request.num_processes,
            request.process_id,
            cluster_detection_method=method,
            # By itself JAX listens on every interface.
            coordinator_bind_address=bound or _detected_address(request, method),
            # JAX's own answer is to abort the process.
            initialization_timeout=int(10 * request.patience_seconds) + 60,
            heartbeat_timeout_seconds=30,
            shutdown_timeout_seconds=30,
        )

    try:
        _in_time(initialize, request.patience_seconds)
    except TimeoutError:
        # At once: an orderly end would wait for the connection that is still being made.
        fail(
            f"--patience={request.patience_seconds:g} seconds were not enough to meet the other "
            f"processes at {request.coordinator or global_state.coordinator_address}: all must be "
            f"started, and reach it",
            at_once=True,
        )
    except (RuntimeError, ValueError, OSError) as error:
        if not request.by_hand and global_state.coordinator_address is None:
            raise ValueError(
                f"--distributed={request.detection.value} finds no TPU VM, Slurm step, Open MPI "
                f"or Kubernetes job here ({error}): give --coordinator, --num_processes and "
                f"--process_id"
            ) from error
        fail(f"cannot meet the other processes: {error}", at_once=True)
    return global_state


def _call_roll(request: GroupRequest, bound: str | None) -> None:
    """See that all processes are there, and each once; see `roll_call`."""
    assert request.num_processes is not None
    assert request.process_id is not None
    if bound:
        hold_roll_call(bound, request.num_processes, request.patience_seconds)
    else:
        answer_roll_call(
            request.coordinator,
            request.process_id,
            request.num_processes,
            request.patience_seconds,
        )


def _detected_address(request: GroupRequest, method: str | None) -> str | None:
    """Where process 0 listens whose position is detected: at the host that the others are told.

    None leaves it to JAX: on every interface, as where that host is not known here by its address,
    or where the user has set JAX's own variable.
    """
    if request.by_hand or "JAX_COORDINATOR_BIND_ADDRESS" in os.environ:
        return None
    from jax._src.clusters import ClusterEnv

    coordinator, _, position, _ = ClusterEnv.auto_detect_unset_distributed_params(
        os.environ.get("JAX_COORDINATOR_ADDRESS"),
        None,
        None,
        None,
        method,
        int(request.patience_seconds) + 1,
    )
    if coordinator is None or position != 0:
        return None
    try:
        return _address_to_bind(coordinator)
    except ValueError:
        return None


def _address_to_bind(coordinator: str) -> str:
    """Where process 0 listens for the others, as HOST:PORT: on the named host's address alone.

    Many hosts resolve their own name to a loopback address such as 127.0.1.1, at which the others
    cannot reach them. Process 0 then listens on every interface.

    Raises:
        ValueError: if it is not a host and port that this process can use; JAX crashes there.
    """
    host, port = split_address(coordinator)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if host not in (_LOCAL, address[0]) and ipaddress.ip_address(address[0]).is_loopback:
            family, address = socket.AF_INET, ("0.0.0.0", port)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ValueError(
            f"--coordinator must be a host and port that process 0 can use, got {coordinator}: "
            f"{error.strerror}"
        ) from error
    shown = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
    return f"{shown}:{port}"


def _in_time(function: Callable[[], T], seconds: float) -> T:
    """Call a function that blocks in C++ on another thread, so that a signal can end the wait.

    Raises:
        TimeoutError: if it takes too long.
    """
    outcome: list[tuple[Any, BaseException | None]] = []

    def call() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:  # raised again where it is waited for
            outcome.append((None, error))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"waited {seconds:g} s for the other processes")
    ((value, error),) = outcome
    if error is not None:
        raise error
    return value

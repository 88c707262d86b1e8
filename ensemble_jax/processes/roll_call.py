"""Processes that are named by hand say who they are, before JAX connects them.

Where two say that they are the same, or count the processes differently, JAX aborts them natively.
So the first process listens at the coordinator's port before JAX does, hears the position and the
count of each other process, and answers all when they are whole or one cannot be.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from typing import BinaryIO

_GREETING = b"ensemble_jax "
# What does not say so much so soon is no process of a run.
_SECONDS_TO_SPEAK = 5.0
_MOST_BYTES = 1000
_PAUSE_SECONDS = 0.2


def hold_roll_call(bound: str, size: int, seconds: float) -> None:
    """Wait for the others, as process 0.

    Args:
        bound: HOST:PORT to listen at.
        size: how many processes there are.
        seconds: how long to wait.

    Raises:
        ValueError: if two have the same position, or one counts otherwise; all others hear of it.
        TimeoutError: if not all come in time.
        OSError: if the port cannot be used.
    """
    host, port = split_address(bound)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + seconds
    present: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server((host, port), family=family))
        error = ""
        while len(present) < size - 1 and not error:
            server.settimeout(max(deadline - time.monotonic(), _PAUSE_SECONDS / 100))
            connection = stack.enter_context(server.accept()[0])
            if (said := _hear(connection)) is None:
                connection.close()
                continue
            position, count = said
            present = {who: there for who, there in present.items() if not _has_left(there)}
            if count != size:
                error = (
                    f"--num_processes must be the same for all, but process 0 has {size} and "
                    f"process {position} has {count}"
                )
            elif position == 0 or position in present:
                error = f"two processes have --process_id={position}: each needs its own"
            present[-1 if error else position] = connection
        for connection in present.values():
            with contextlib.suppress(OSError):  # who has left need not hear
                connection.sendall(_GREETING + error.encode() + b"\n")
    if error:
        raise ValueError(error)


def answer_roll_call(coordinator: str, position: int, size: int, seconds: float) -> None:
    """Say to process 0 who this is, and wait until it has heard all.

    Args:
        coordinator: HOST:PORT of process 0.
        position: which process this is, from 1.
        size: how many processes there are.
        seconds: how long to wait.

    Raises:
        ValueError: if process 0 says that the processes do not fit, or does not wait for this one.
        TimeoutError: if it does not answer in time.
    """
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        # Process 0 may not have begun, its host may be unknown yet, or it may be begun again.
        with (
            contextlib.suppress(OSError),
            socket.create_connection(split_address(coordinator), timeout=left) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(_GREETING + b"%d of %d\n" % (position, size))
            if said := _read(answers):
                if error := said.removeprefix(_GREETING).decode(errors="replace").strip():
                    raise ValueError(error)
                return
        time.sleep(_PAUSE_SECONDS)
    raise TimeoutError(f"process 0 at {coordinator} has not answered")


def split_address(address: str) -> tuple[str, int]:
    """The host, without brackets, and the port of HOST:PORT."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _read(answers: BinaryIO) -> bytes:
    """What process 0 answers, or nothing if it has ended.

    Raises:
        ValueError: if something else answers, such as JAX when all are there already.
    """
    start = answers.read(len(_GREETING))
    if start and start != _GREETING:
        raise ValueError(
            "the first process does not wait for this one: each needs a --process_id of its own "
            "and the same --num_processes, and no other program the port of --coordinator"
        )
    return start and start + answers.readline(_MOST_BYTES)


def _hear(connection: socket.socket) -> tuple[int, int] | None:
    """The position and count that a process says; None if it is no process of a run."""
    connection.settimeout(_SECONDS_TO_SPEAK)
    with contextlib.suppress(OSError), connection.makefile("rb") as lines:
        if said := re.fullmatch(_GREETING + rb"(\d{1,9}) of (\d{1,9})\n", lines.readline(100)):
            return int(said[1]), int(said[2])
    return None


def _has_left(connection: socket.socket) -> bool:
    """Whether the process at the other end has ended; it says nothing more while it waits."""
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True

"""Processes that say who they are before JAX connects them."""

import socket
import threading
from typing import Any

import pytest

from ensemble_jax.processes.roll_call import answer_roll_call, hold_roll_call


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def address():
    return f"127.0.0.1:{free_port()}"


def outcomes_of(*calls):
    """What each call returns or raises, when all run at the same time."""
    outcomes: list[Any] = [None] * len(calls)

    def run(index, function, *arguments):
        try:
            outcomes[index] = function(*arguments)
        except Exception as error:
            outcomes[index] = f"{type(error).__name__}: {error}"

    threads = [threading.Thread(target=run, args=(i, *call)) for i, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return outcomes


def test_all_go_on_when_all_are_there(address):
    others = [(answer_roll_call, address, position, 4, 20) for position in (3, 1, 2)]
    assert outcomes_of(*others, (hold_roll_call, address, 4, 20)) == [None] * 4


@pytest.mark.parametrize("others", [(0,), (1, 1)])
def test_two_of_one_position_are_told_to_all(address, others):
    said = f"ValueError: two processes have --process_id={others[0]}: each needs its own"
    calls = [(answer_roll_call, address, position, 3, 20) for position in others]
    outcomes = outcomes_of(*calls, (hold_roll_call, address, 3, 20))
    assert outcomes == [said] * (len(others) + 1)


def test_another_count_is_told(address):
    said = "ValueError: --num_processes must be the same for all, but process 0 has 2 and process"
    outcomes = outcomes_of((answer_roll_call, address, 2, 3, 20), (hold_roll_call, address, 2, 20))
    assert outcomes == [f"{said} 2 has 3"] * 2


def test_who_has_left_may_come_again_and_strangers_are_passed_over(address):
    host, port = address.split(":")

    def stray():
        for said in (b"ensemble_jax 1 of 3\n", b"GET / HTTP/1.1\r\n\r\n", b""):
            while True:
                try:
                    connection = socket.create_connection((host, int(port)))
                    break
                except ConnectionRefusedError:
                    pass
            with connection:
                connection.sendall(said)
        return outcomes_of(*[(answer_roll_call, address, each, 3, 20) for each in (1, 2)])

    assert outcomes_of((stray,), (hold_roll_call, address, 3, 20)) == [[None] * 2, None]


def test_what_is_no_first_process_is_told(address):
    host, port = address.split(":")
    with socket.create_server((host, int(port))) as server:

        def speak():
            with server.accept()[0] as connection:
                connection.sendall(b"\0\0\x18\4" + bytes(100))

        outcome, _ = outcomes_of((answer_roll_call, address, 1, 2, 20), (speak,))
    assert outcome.startswith("ValueError: the first process does not wait for this one: ")


def test_the_waiting_ends(address):
    assert outcomes_of((answer_roll_call, address, 1, 2, 0.1)) == [
        f"TimeoutError: process 0 at {address} has not answered"
    ]
    assert outcomes_of((hold_roll_call, address, 2, 0.1)) == ["TimeoutError: timed out"]

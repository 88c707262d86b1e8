"""Measuring contenders against each other: round by round, each once in every round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.contender import Prepared, UnavailableError
from benchmarks.contenders import contender_title
from benchmarks.memory import Memory
from benchmarks.remote import ContenderError, RemoteContender
from benchmarks.workloads import LEAST_STEPS, Task

_TRIALS = 2


@dataclass(frozen=True)
class Protocol:
    """How long and how often is measured.

    Attributes:
        rounds: measurements of each contender.
        seconds: the time that one measurement should take. A contender whose shortest call takes
            longer takes longer.
        slow_seconds: a measurement longer than this is slow.
        slow_rounds: measurements of a slow contender, the first of the rounds.
        limit_seconds: what no request to a contender may exceed.
    """

    rounds: int
    seconds: float
    slow_seconds: float
    slow_rounds: int
    limit_seconds: float


@dataclass(frozen=True)
class Measurement:
    """One contender in one round.

    Attributes:
        round: counted from 0.
        position: the place in the order of the round.
        amount: images (operations, for the matrix product).
        seconds: wall time.
        loss: mean over the members, as last seen.
        memory: the most that was held meanwhile.
        idle_cpu_seconds: what its process computed since its measurement before.
    """

    round: int
    position: int
    amount: int
    seconds: float
    loss: float
    memory: Memory
    idle_cpu_seconds: float

    @property
    def speed(self) -> float:
        """Images (operations) per second."""
        return self.amount / self.seconds


@dataclass
class Outcome:
    """All that became of one contender.

    Attributes:
        task: what it was asked to train.
        state: `measured`, `unavailable` (it cannot take part here) or `failed`.
        reason: why it was not measured, or not to the end.
        details: the traceback of a failure.
        prepared: what it was ready to do in each call.
        steps: of each member in a call.
        calls: in each measurement.
        prepare_seconds: from the request to be ready to the answer, its own choices and all
            compilations included.
        measurements: those that were completed, by round.
    """

    task: Task
    state: str = "measured"
    reason: str = ""
    details: str = ""
    prepared: Prepared | None = None
    steps: int = 0
    calls: int = 0
    prepare_seconds: float = 0.0
    measurements: list[Measurement] = field(default_factory=list)

    def by_round(self) -> dict[int, Measurement]:
        """The measurements by the number of their round."""
        return {measurement.round: measurement for measurement in self.measurements}


def rotated(count: int, number: int) -> list[int]:
    """The order of a round: forwards and backwards in turn, and every two rounds all move up.

    So what slows down or speeds up steadily does so for everyone, and no one always follows the
    same.

    >>> [rotated(3, number) for number in range(4)]
    [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]]
    """
    order = [(place + number // 2) % count for place in range(count)]
    return order[::-1] if number % 2 else order


def measure(
    tasks: Sequence[Task], protocol: Protocol, report: Callable[[str], None]
) -> list[Outcome]:
    """Prepare every contender, then measure all in rounds; one process works at a time.

    Args:
        tasks: one for each contender.
        protocol: how long and how often.
        report: is told in one line what happens.
    """
    outcomes = [Outcome(task) for task in tasks]
    with ExitStack() as stack:
        remotes: list[RemoteContender | None] = []
        for outcome in outcomes:
            report(f"preparing {_name(outcome)}")
            remotes.append(_attempt(outcome, lambda o=outcome: _prepare(o, protocol, stack)))
            report(_readiness(outcome))
        for number in range(protocol.rounds):
            for position, index in enumerate(rotated(len(tasks), number)):
                outcome, remote = outcomes[index], remotes[index]
                if remote is None or number >= _num_rounds(outcome, protocol):
                    continue
                done = _attempt(outcome, lambda r=remote, o=outcome: r.train(o.calls))
                if done is None:
                    remotes[index] = None
                    report(_readiness(outcome))
                    continue
                assert outcome.prepared is not None
                amount = outcome.prepared.amount * outcome.calls
                measurement = Measurement(number, position, amount, *done)
                outcome.measurements.append(measurement)
                report(f"round {number + 1}: {_name(outcome)}: {measurement.speed:.4g} per second")
    return outcomes


def _prepare(outcome, protocol, stack):
    """Start, compile, warm up, and choose how much a measurement is."""
    remote = stack.enter_context(RemoteContender(outcome.task, protocol.limit_seconds))
    outcome.prepared, outcome.prepare_seconds = remote.prepare(LEAST_STEPS)
    outcome.steps = LEAST_STEPS
    seconds = _call_seconds(remote, protocol)
    step_seconds = seconds / LEAST_STEPS
    most_steps = outcome.task.workload.most_steps
    outcome.steps = max(LEAST_STEPS, min(int(protocol.seconds / step_seconds), most_steps))
    if outcome.steps != LEAST_STEPS:
        outcome.prepared, more_seconds = remote.prepare(outcome.steps)
        outcome.prepare_seconds += more_seconds
        seconds = _call_seconds(remote, protocol)
    outcome.calls = max(1, round(protocol.seconds / seconds))
    return remote


def _call_seconds(remote, protocol):
    """The time of a call, the shortest of a few where that takes no time."""
    seconds = remote.train(1).seconds
    for _ in range(_TRIALS):
        if seconds > protocol.seconds:
            break
        # The first call also pays for what happens once.
        seconds = min(seconds, remote.train(1).seconds)
    return seconds


def _attempt(outcome, action):
    """The result of an action, or None, and why, in the outcome."""
    try:
        return action()
    except UnavailableError as error:
        outcome.state, outcome.reason = "unavailable", str(error)
    except ContenderError as error:
        outcome.state, outcome.reason, outcome.details = "failed", str(error), error.details
    return None


def _num_rounds(outcome, protocol):
    slowest = max((m.seconds for m in outcome.measurements), default=0)
    return protocol.slow_rounds if slowest > protocol.slow_seconds else protocol.rounds


def _name(outcome):
    return f"[N = {outcome.task.num_members}] {contender_title(outcome.task.contender)}"


def _readiness(outcome):
    if outcome.state != "measured" or outcome.prepared is None:
        return f"{_name(outcome)}: {outcome.state}: {outcome.reason}\n{outcome.details}".strip()
    choice = f" ({outcome.prepared.choice})" if outcome.prepared.choice else ""
    return (
        f"{_name(outcome)}{choice}: ready after {outcome.prepare_seconds:.1f} s, "
        f"{outcome.calls} x {outcome.steps} steps a round"
    )

"""The interface of what is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from benchmarks.memory import Memory


class UnavailableError(Exception):
    """A contender cannot take part here, for a reason that is no fault."""


@dataclass(frozen=True)
class Prepared:
    """What a contender is ready to do.

    Attributes:
        amount: images that one call of `train` trains on, over all members (floating-point
            operations for the matrix product).
        num_members: how many members it trains.
        choice: what it has chosen for itself, in words.
        compile_seconds: time of the compilation, None where nothing is compiled.
        temporary_bytes: memory of the compiled program beyond its arguments and results, where it
            is known.
        state_bytes: what training changes of all members together, where it is known.
    """

    amount: int
    num_members: int
    choice: str = ""
    compile_seconds: float | None = None
    temporary_bytes: int | None = None
    state_bytes: int | None = None


@runtime_checkable
class Contender(Protocol):
    """A way to train the members of a workload. The data is in memory once it is made."""

    def prepare(self, steps: int) -> Prepared:
        """Compile, so that each `train` takes every member `steps` steps further."""
        ...

    def train(self) -> float:
        """Train all members and wait for the end; returns their mean loss as it was last seen."""
        ...

    def memory(self) -> Memory:
        """The most memory held during the last `train`."""
        ...

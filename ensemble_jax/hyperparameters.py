"""What may differ from member to member without changing a shape, and what an optimizer reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Array, Shaped

Scalar = Shaped[Array | np.ndarray, "..."] | float
"""A number of one member, or `[N]` numbers before they are lifted."""


class Hyperparameters:
    """The numbers of one member and the constants of the run, as attributes.

    `hp.learning_rate` is a scalar of the member, traced while the step is compiled; `hp.num_steps`
    and `hp.steps_per_epoch` are integers of the whole run.

    >>> hp = Hyperparameters({"learning_rate": 0.1}, num_steps=100, steps_per_epoch=10)
    >>> hp.learning_rate, hp.num_steps, hp.get("momentum", 0.9)
    (0.1, 100, 0.9)
    >>> hp.momentum
    Traceback (most recent call last):
    ...
    AttributeError: hyperparameters are learning_rate, num_steps and steps_per_epoch, got momentum

    Args:
        values: the numbers of the member, by name.
        num_steps: the steps of the whole training.
        steps_per_epoch: those of an epoch, a short last batch included.
    """

    def __init__(
        self, values: Mapping[str, Scalar], *, num_steps: int, steps_per_epoch: int
    ) -> None:
        self._values: dict[str, Any] = {
            **values,
            "num_steps": num_steps,
            "steps_per_epoch": steps_per_epoch,
        }
        self._read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name not in values:
            *names, last = values or ("none",)
            raise AttributeError(f"hyperparameters are {', '.join(names)} and {last}, got {name}")
        self._read.add(name)
        return values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a name, or the default where the members have none."""
        return getattr(self, name) if name in self else default

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def read(self) -> frozenset[str]:
        """The names that have been read so far."""
        return frozenset(self._read)

"""A member's training, lifted over a collection and compiled."""

from __future__ import annotations

import copy
import time
from typing import Self

import numpy as np
from jaxtyping import Array, Float

from ensemble_jax.collection import Placement
from ensemble_jax.training.member import Examples, Member, MemberState, MemberTraining


class CollectionTraining:
    """All members' training on the devices: `init` once, then `epoch` after `epoch`.

    Constructing it compiles, so that no call does.

    Attributes:
        num_images: images that one epoch reads, of all members together.
        state_shape: shapes and types of the state of all members on the host, `[N, ...]`.
        placed_state_shape: those of the state on the devices, copies that fill up included.
        compile_seconds: how long the compilation took.
        compiled_epoch: the compiled epoch, for reading its program and memory.
    """

    def __init__(
        self,
        training: MemberTraining,
        placement: Placement,
        members: Member,
        examples: Examples,
    ) -> None:
        started = time.perf_counter()
        self._placement = placement
        self._members = placement.spread(members)
        self._examples = examples
        self.num_images = images_per_epoch(members, len(examples.labels))
        init = placement.lift(training.init).lower(self._members)
        self._init = init.compile()
        self.placed_state_shape = init.out_info
        self.state_shape = placement.host_shapes(init.out_info)
        epoch = placement.lift(training.epoch, shared=(2, 3), donate=(0,))
        self.compiled_epoch = epoch.lower(*self._arguments(init.out_info, 0)).compile()
        self.compile_seconds = time.perf_counter() - started

    def of(self, members: Member) -> Self:
        """The same programs for other members of the same shapes; compiles nothing."""
        other = copy.copy(self)
        other._members = self._placement.spread(members)
        return other

    def init(self) -> MemberState:
        """The state of every member at initialisation, `[N, ...]` on the devices."""
        return self._init(self._members)

    def epoch(self, state: MemberState, epoch: int) -> tuple[MemberState, Float[Array, " N"]]:
        """Train every member for one epoch, counted from 0. `state` is used up.

        Returns at once; the results are there when they are read.
        """
        return self.compiled_epoch(*self._arguments(state, epoch))

    def _arguments(self, state, epoch):
        number = self._placement.share(np.int32(epoch))
        return state, self._members, number, self._examples


def place_examples(placement: Placement, inputs: np.ndarray, labels: np.ndarray) -> Examples:
    """Labelled examples on every device, once for training and evaluation."""
    return placement.share(Examples(inputs, labels.astype(np.int32)))


def images_per_epoch(members: Member, num_examples: int) -> int:
    """The examples that one epoch reads, of all members together."""
    if members.subset is None:
        return len(members.seed) * num_examples
    return int(np.sum(members.subset.size))

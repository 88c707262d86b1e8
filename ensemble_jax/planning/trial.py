"""One plan tried on the devices: a few steps of the real training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from ensemble_jax.collection import place
from ensemble_jax.data.stored import Inputs, read_inputs
from ensemble_jax.ops import CONVOLUTIONS, Convolution
from ensemble_jax.options import Precision
from ensemble_jax.plan import Plan
from ensemble_jax.planning.memory import (
    CollectionMemory,
    free_bytes,
    lack_of_memory,
    program_bytes,
)
from ensemble_jax.planning.turns import take_turns
from ensemble_jax.training import (
    CollectionTraining,
    Member,
    MemberTraining,
    Recipe,
    make_member_training,
    place_examples,
)

_STEPS = 4
_SECONDS = 0.5
# Of what is timed at once.
_LEAST_SECONDS = 0.1
# Evaluation, copies of results and whatever else a process keeps need room as well.
_USABLE = 0.8


@dataclass(frozen=True)
class PlanningTask:
    """The training to plan.

    Attributes:
        recipe: how one member is trained, with a way to convolve (None for JAX's own layers), a
            precision and a number of microbatches.
        members: all N members.
        inputs: the training examples.
        labels: their labels.
        shared_bytes: what every device holds for all members: the examples of all splits, or two
            pools of them.
        devices: this process's devices.
    """

    recipe: Callable[[Convolution | None, Precision, int], Recipe]
    members: Member
    inputs: Inputs
    labels: Int[np.ndarray, " M"]
    shared_bytes: int
    devices: Sequence[Any]  # of jax.Device, a variable that no type checker takes

    @property
    def num_members(self) -> int:
        """N."""
        return len(self.members.seed)

    @property
    def batch_size(self) -> int:
        """Examples per step."""
        return self.recipe(None, Precision.FLOAT32, 1).batch_size

    def make_training(self, plan: Plan) -> MemberTraining:
        """The training of one member under a plan."""
        convolution = CONVOLUTIONS[plan.convolution]
        return make_member_training(self.recipe(convolution, plan.precision, plan.microbatches))


class Trial(NamedTuple):
    """What a plan needs and gives.

    Attributes:
        needed_bytes: memory of all N members on the fullest device; of all devices together where
            these share the memory, as CPU devices do.
        usable_bytes: what of that there is.
        images_per_second: of all N members together; 0 where they do not fit.
        refusal: what the compiler or the device said that has no room for it, or how the compiler
            ended; empty where neither was asked for too much.
    """

    needed_bytes: int
    usable_bytes: int
    images_per_second: float
    refusal: str = ""

    @property
    def fits(self) -> bool:
        """Whether it can be compiled and the memory is enough."""
        return not self.refusal and self.needed_bytes <= self.usable_bytes


def try_plan(plan: Plan, task: PlanningTask) -> Trial:
    """Compile a plan for a few steps, read its memory and, if all members fit, time it.

    Only as many members are trained as the plan computes at once.
    """
    return Trials(task)(plan)


class Trials:
    """Tries plans as `try_plan` does, and all of them against the first that fits.

    That one stays where there is memory for two, and takes turns with every other: minutes lie
    between trials, in which a machine may have become slower by more than plans differ. Speeds are
    as of the time when the first was tried.

    Args:
        task: what is planned.
    """

    def __init__(self, task: PlanningTask) -> None:
        self._task = task
        self._usable_bytes = int(_USABLE * free_bytes(task.devices[0]))
        self._first: _Timed | None = None
        self._speed_of_first = 0.0

    def __call__(self, plan: Plan) -> Trial:
        """Try a plan. What a compiler or a device refuses for want of memory does not fit."""
        needed = 0
        try:
            compiled = _compile(plan, self._task)
            needed = compiled.needed_bytes
            fits = needed <= self._usable_bytes
            return Trial(needed, self._usable_bytes, self._speed_of(compiled) if fits else 0.0)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if (refusal := lack_of_memory(error)) is None:
                raise
            return Trial(needed, self._usable_bytes, 0.0, refusal)

    def _speed_of(self, compiled):
        first = self._first
        if first is not None and first.needed_bytes + compiled.needed_bytes <= self._usable_bytes:
            rounds = take_turns([first.seconds, _Timed(compiled).seconds], _SECONDS)
            seconds, images = rounds[:, 1] / rounds[:, 0], compiled.num_images / first.num_images
            return float(self._speed_of_first * images / np.median(seconds))
        self._first = first = None  # makes room
        timed = _Timed(compiled)
        speed = float(compiled.num_images / np.median(take_turns([timed.seconds], _SECONDS)))
        if not self._speed_of_first:
            self._first, self._speed_of_first = timed, speed
        return speed


class _Compiled(NamedTuple):
    """A plan's program for the members that are computed at once.

    Attributes:
        training: of these members and a few steps.
        needed_bytes: as in `Trial`.
        num_images: of all N members by the time of one call, padding not counted.
    """

    training: CollectionTraining
    needed_bytes: int
    num_images: float


def _compile(plan: Plan, task: PlanningTask) -> _Compiled:
    whole = place(plan, task.num_members, task.devices)
    at_once = min(task.num_members, plan.num_devices * whole.members_at_once)
    placement = place(plan, at_once, task.devices)
    read = min(len(task.labels), _STEPS * task.batch_size)
    members = _of_first(jax.tree.map(lambda x: x[:at_once], task.members), read)
    first = read_inputs(task.inputs, np.arange(read))
    examples = place_examples(placement, first, task.labels[:read])
    training = CollectionTraining(task.make_training(plan), placement, members, examples)
    state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(training.state_shape))
    needed = CollectionMemory.of(
        whole,
        data=task.shared_bytes,
        state=state // at_once,
        programs=program_bytes(training.compiled_epoch),
    ).total
    # The fullest device makes so many calls in the time of this one.
    share = task.num_members / (at_once * whole.calls_per_device)
    return _Compiled(training, needed, training.num_images * share)


class _Timed:
    """A compiled plan that runs, after the first epoch, which pays for what happens once."""

    def __init__(self, compiled: _Compiled) -> None:
        self._training, self.needed_bytes, self.num_images = compiled
        self._state = self._training.init()
        self._epoch = 0
        self._epochs = 1
        self.seconds()
        # Calling costs as much for few steps of few members as for all, and is not to count.
        self._epochs = max(1, round(_LEAST_SECONDS / self.seconds()))

    def seconds(self) -> float:
        """How long another epoch takes, as one of several that follow each other at once."""
        started = time.perf_counter()
        for _ in range(self._epochs):
            self._state, losses = self._training.epoch(self._state, self._epoch)
            self._epoch += 1
        jax.block_until_ready((self._state, losses))
        return (time.perf_counter() - started) / self._epochs


def _of_first(members: Member, num_examples: int) -> Member:
    """The members where there are only the first examples."""
    indices, labels = members.train_indices, members.train_labels
    return members._replace(
        train_indices=None if indices is None else indices[:, :num_examples] % num_examples,
        train_labels=None if labels is None else labels[:, :num_examples],
    )

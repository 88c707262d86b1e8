"""This project: the epoch that the main job compiles, with all that it does."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

import jax
import numpy as np

from benchmarks.contender import Prepared
from benchmarks.jax_networks import device_bytes, make_workload_network, temporary_bytes
from benchmarks.memory import Memory, peak_resident_bytes
from benchmarks.workloads import Task, load_training_set
from ensemble_jax.collection import Placement
from ensemble_jax.options import ConvolutionAlgorithm, Optimizer
from ensemble_jax.training import (
    CollectionTraining,
    Member,
    Settings,
    make_member_training,
    place_examples,
)

_CHUNK = 8
# A program whose temporaries leave no room for anything else is not tried.
_SHARE_OF_MEMORY = 0.25


class _Plan(NamedTuple):
    convolution: ConvolutionAlgorithm
    members_per_call: int


class Collection:
    """N members in one compiled epoch: own order, own dropout, frozen where they diverge.

    Of a few plans (convolution algorithm, members per call) it takes the one that is fastest for
    its first steps, unless a plan is forced.
    """

    def __init__(self, task: Task, num_members: int) -> None:
        self._task = task
        self._workload = task.workload
        self._num_members = num_members
        self._data = load_training_set(self._workload)
        # All contenders have one device, so this one has too.
        self._device = jax.local_devices()[0]
        self._plan: _Plan | None = None

    def prepare(self, steps: int) -> Prepared:
        """Compile; the first call also chooses the plan."""
        if self._plan is None:
            self._plan, self._training = self._choose_plan(steps)
        else:
            self._training = self._compile(self._plan, steps)
        self._state = self._training.init()
        self._epochs = 0
        return Prepared(
            self._training.num_images,
            self._num_members,
            self._describe(self._plan),
            self._training.compile_seconds,
            temporary_bytes(self._training.compiled_epoch),
        )

    def train(self) -> float:
        """One epoch."""
        self._state, losses = self._training.epoch(self._state, self._epochs)
        self._epochs += 1
        return float(np.mean(jax.block_until_ready((self._state, losses))[1]))

    def memory(self) -> Memory:
        """The peak of this process and of its device."""
        return Memory(peak_resident_bytes(), device_bytes())

    def _choose_plan(self, steps):
        """The fastest plan and its training."""
        fastest, *others = self._plans()
        training = self._compile(fastest, steps)
        if not others:
            return fastest, training
        least = _seconds_of(training)
        for plan in others:
            candidate = self._compile(plan, steps)
            if temporary_bytes(candidate.compiled_epoch) > _SHARE_OF_MEMORY * self._memory_bytes():
                continue
            if (seconds := _seconds_of(candidate)) < least:
                fastest, training, least = plan, candidate, seconds
        return fastest, training

    def _plans(self):
        """The plans that are tried; the one that needs least memory comes first."""
        algorithms = [ConvolutionAlgorithm.WINOGRAD]
        if self._task.forced_convolution is not None:
            algorithms = [self._task.forced_convolution]
        elif self._workload.has_images:
            algorithms.append(ConvolutionAlgorithm.PATCHES)
            # On CPU it is slower by far in every loop: `lax_map` measures that.
            if self._device.platform != "cpu":
                algorithms.append(ConvolutionAlgorithm.XLA)
        # One member at a time and all at once are two programs even where there is only one.
        chunks = [1, _CHUNK, 0] if self._num_members > _CHUNK else [1, 0]
        if self._task.members_per_call is not None:
            chunks = [self._task.members_per_call]
        return [_Plan(algorithm, chunk) for chunk in chunks for algorithm in algorithms]

    def _compile(self, plan, steps):
        placement = Placement(self._num_members, plan.members_per_call, (self._device,))
        read = steps * self._workload.batch_size
        examples = place_examples(placement, self._data.images[:read], self._data.labels[:read])
        network = make_workload_network(self._workload, self._data, plan.convolution)
        training = make_member_training(network, Optimizer.SGD, self._workload.batch_size)
        return CollectionTraining(training, placement, self._members(), 0, examples)

    def _members(self):
        """All members with the settings that the main job gives them."""
        values = {
            "learning_rate": np.float32(self._workload.learning_rate),
            "decay_factor": np.float32(1.8),
            "decay_epochs": np.int32(20),
            "momentum": np.float32(0),
            "l2": np.float32(0),
            "dropout_scale": np.float32(1),
        }
        settings = Settings(**{k: np.full(self._num_members, v) for k, v in values.items()})
        return Member(np.arange(self._num_members, dtype=np.uint32), settings)

    def _memory_bytes(self):
        stats = self._device.memory_stats()
        if stats is not None:
            return stats["bytes_limit"]
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def _describe(self, plan):
        at_once = min(plan.members_per_call or self._num_members, self._num_members)
        words = [plan.convolution.value] if self._workload.has_images else []
        if self._num_members > 1:
            all_at_once = at_once == self._num_members
            words.append("all members at once" if all_at_once else f"{at_once} at a time")
        return ", ".join(words)


def _seconds_of(training):
    """The time of the second epoch: the first also pays for what happens once."""
    state = jax.block_until_ready(training.epoch(training.init(), 0)[0])
    started = time.perf_counter()
    jax.block_until_ready(training.epoch(state, 1))
    return time.perf_counter() - started

"""This project: the epoch that the main job compiles, with all that it does."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from benchmarks.contender import Prepared
from benchmarks.jax_networks import (
    Planned,
    device_bytes,
    make_members,
    temporary_bytes,
    tree_bytes,
    workload_kit,
)
from benchmarks.memory import Memory, peak_resident_bytes
from benchmarks.workloads import Task, load_training_set
from ensemble_jax.collection import use_all_cores
from ensemble_jax.plan import Plan, parse_plan_request
from ensemble_jax.planning import (
    PlanningTask,
    Trials,
    alternatives_for,
    choose_plan,
    default_plan,
)
from ensemble_jax.training import place_examples

_PLANNING_SECONDS = 120.0


class Collection:
    """N members in one compiled epoch: own order, own dropout, frozen where they diverge.

    It measures its plans, unless one is forced, as the main job does.

    Args:
        task: what is trained.
        num_members: N.
        network: in place of the workload's architecture.
    """

    def __init__(self, task: Task, num_members: int, network: Any = None) -> None:
        self._task = task
        self._workload = task.workload
        self._num_members = num_members
        self._data = load_training_set(self._workload)
        use_all_cores()
        devices = jax.local_devices()
        # All cores, as every contender has them, but one accelerator, as every other has.
        self._devices = devices if devices[0].platform == "cpu" else devices[:1]
        self._kit = workload_kit(self._workload, self._data, network)
        self._planning = PlanningTask(
            self._kit.recipe,
            self._make_members(self._workload.most_steps),
            self._data.images,
            self._data.labels,
            self._data.images.nbytes,
            self._devices,
        )
        self._plan: Plan | None = None

    def prepare(self, steps: int) -> Prepared:
        """Compile; the first call also chooses the plan."""
        if self._plan is None:
            self._plan = self._choose_plan()
        self._training = self._compile(self._plan, steps)
        self._state = self._training.init()
        self._epochs = 0
        return Prepared(
            self._training.num_images,
            self._num_members,
            str(self._plan),
            self._training.compile_seconds,
            temporary_bytes(self._training.compiled_epoch),
            tree_bytes(self._state),
        )

    def train(self) -> float:
        """One epoch."""
        self._state, losses = self._training.epoch(self._state, self._epochs)
        self._epochs += 1
        return float(np.mean(jax.block_until_ready((self._state, losses))[1]))

    @property
    def program(self) -> str:
        """The compiled epoch, as XLA writes it down."""
        return self._training.compiled_epoch.as_text()

    def memory(self) -> Memory:
        """The peak of this process and of its device."""
        return Memory(peak_resident_bytes(), device_bytes())

    def _choose_plan(self):
        """The fastest plan that is allowed."""
        request = parse_plan_request(self._task.plan)
        first = request.apply(default_plan(self._num_members, self._devices))
        if not request.leaves_a_choice:
            return first
        batch = jax.ShapeDtypeStruct(
            (self._workload.batch_size, *self._data.images.shape[1:]), self._data.images.dtype
        )
        network = self._kit.member_network(None, first.precision)
        return choose_plan(
            first,
            Trials(self._planning),
            num_members=self._num_members,
            request=request,
            alternatives=alternatives_for(network, batch, self._devices[0].platform),
            budget_seconds=_PLANNING_SECONDS,
        ).plan

    def _compile(self, plan, steps):
        images, labels = self._data.images, self._data.labels
        if self._workload.subset_fraction == 1:
            read = steps * self._workload.batch_size
            images, labels = images[:read], labels[:read]
        planned = Planned.of(self._kit, plan, self._num_members, self._devices)
        examples = place_examples(planned.placement, images, labels)
        return planned.compile(self._make_members(steps), examples)

    def _make_members(self, steps):
        """Where members have subsets of their own, these are as large as so many steps read."""
        workload = self._workload
        subsets = None
        if workload.subset_fraction < 1:
            subsets = workload.member_images(self._num_members, steps)
        return make_members(self._num_members, workload.learning_rate, subsets)

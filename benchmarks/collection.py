"""This project: the epoch that the main job compiles, with all that it does."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

from benchmarks.contender import Prepared
from benchmarks.jax_networks import device_bytes, make_workload_network, temporary_bytes
from benchmarks.memory import Memory, peak_resident_bytes
from benchmarks.workloads import Task, Workload, load_training_set
from ensemble_jax.collection import place, use_all_cores
from ensemble_jax.options import Optimizer
from ensemble_jax.plan import Plan, parse_plan_request
from ensemble_jax.planning import (
    PlanningTask,
    alternatives_for,
    choose_plan,
    default_plan,
    try_plan,
)
from ensemble_jax.training import (
    CollectionTraining,
    Member,
    Settings,
    StreamIds,
    make_member_training,
    place_examples,
)

_SEED = 0
_PLANNING_SECONDS = 120.0


class Collection:
    """N members in one compiled epoch: own order, own dropout, frozen where they diverge.

    It measures its plans, unless one is forced, as the main job does.
    """

    def __init__(self, task: Task, num_members: int) -> None:
        self._task = task
        self._workload = task.workload
        self._num_members = num_members
        self._data = load_training_set(self._workload)
        use_all_cores()
        devices = jax.local_devices()
        # All cores, as every contender has them, but one accelerator, as every other has.
        self._devices = devices if devices[0].platform == "cpu" else devices[:1]
        self._members = make_members(replace(self._workload, num_members=num_members))
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
            sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self._state)),
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
        task = PlanningTask(
            self._make_training,
            self._members,
            self._data.images,
            self._data.labels,
            self._workload.batch_size,
            self._data.images.nbytes,
            self._devices,
        )
        network = make_workload_network(
            self._workload, self._data, first.convolution, first.precision
        )
        platform = self._devices[0].platform
        return choose_plan(
            first,
            lambda plan: try_plan(plan, task),
            num_members=self._num_members,
            request=request,
            alternatives=alternatives_for(network, self._workload.batch_size, platform),
            budget_seconds=_PLANNING_SECONDS,
        ).plan

    def _make_training(self, plan):
        network = make_workload_network(
            self._workload, self._data, plan.convolution, plan.precision
        )
        batch_size = self._workload.batch_size
        return make_member_training(network, Optimizer.SGD, batch_size, plan.passes_per_step)

    def _compile(self, plan, steps):
        placement = place(plan, self._num_members, self._devices)
        read = steps * self._workload.batch_size
        examples = place_examples(placement, self._data.images[:read], self._data.labels[:read])
        return CollectionTraining(self._make_training(plan), placement, self._members, examples)


def make_members(workload: Workload) -> Member:
    """All members of a workload with the settings that the main job gives them."""
    values = {
        "learning_rate": np.float32(workload.learning_rate),
        "decay_factor": np.float32(1.8),
        "decay_epochs": np.int32(20),
        "momentum": np.float32(0),
        "l2": np.float32(0),
        "dropout_scale": np.float32(1),
    }
    settings = Settings(**{k: np.full(workload.num_members, v) for k, v in values.items()})
    ids = np.arange(workload.num_members, dtype=np.uint32)
    return Member(np.full_like(ids, _SEED), StreamIds.own(ids), settings)

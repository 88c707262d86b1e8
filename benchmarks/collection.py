"""This project: the epoch that the main job compiles, with all that it does."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from benchmarks.contender import Prepared
from benchmarks.jax_networks import device_bytes, make_workload_network, temporary_bytes
from benchmarks.memory import Memory, peak_resident_bytes
from benchmarks.workloads import Task, Workload, load_training_set
from ensemble_jax.collection import place, use_all_cores
from ensemble_jax.ops import CONVOLUTIONS
from ensemble_jax.options import Optimizer
from ensemble_jax.plan import Plan, parse_plan_request
from ensemble_jax.planning import (
    PlanningTask,
    Trials,
    alternatives_for,
    choose_plan,
    default_plan,
    fastest_by_layer,
)
from ensemble_jax.training import (
    CollectionTraining,
    Member,
    Settings,
    StreamIds,
    Subset,
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
        self._members = make_members(self._workload, num_members, self._workload.most_steps)
        self._planning = PlanningTask(
            partial(make_workload_network, self._workload, self._data),
            Optimizer.SGD,
            self._members,
            self._data.images,
            self._data.labels,
            self._workload.batch_size,
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
        planning = self._planning
        network = planning.make_network(CONVOLUTIONS[first.convolution], first.precision)
        platform = self._devices[0].platform
        alternatives = alternatives_for(network, self._workload.batch_size, platform)
        return choose_plan(
            first,
            Trials(planning),
            num_members=self._num_members,
            request=request,
            alternatives=alternatives,
            budget_seconds=_PLANNING_SECONDS,
            choose_layers=lambda plan, seconds: fastest_by_layer(
                plan, planning, alternatives.algorithms, seconds
            ),
        ).plan

    def _compile(self, plan, steps):
        placement = place(plan, self._num_members, self._devices)
        members, images, labels = self._members, self._data.images, self._data.labels
        if members.subset is None:
            read = steps * self._workload.batch_size
            images, labels = images[:read], labels[:read]
        else:
            members = make_members(self._workload, self._num_members, steps)
        examples = place_examples(placement, images, labels)
        return CollectionTraining(self._planning.make_training(plan), placement, members, examples)


def make_members(workload: Workload, num_members: int, steps: int) -> Member:
    """Members of a workload with the settings that the main job gives them.

    Where members have subsets of their own, these are as large as so many steps read.
    """
    values = {
        "learning_rate": np.float32(workload.learning_rate),
        "decay_factor": np.float32(1.8),
        "decay_epochs": np.int32(20),
        "momentum": np.float32(0),
        "l2": np.float32(0),
        "dropout_scale": np.float32(1),
    }
    settings = Settings(**{k: np.full(num_members, v) for k, v in values.items()})
    ids = np.arange(num_members, dtype=np.uint32)
    subset = None
    if workload.subset_fraction < 1:
        indices = workload.member_images(num_members, steps)
        subset = Subset(indices, np.full(num_members, indices.shape[1], np.int32))
    return Member(np.full_like(ids, _SEED), StreamIds.own(ids), settings, subset)

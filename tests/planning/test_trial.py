"""Trials of a real, tiny training."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from ensemble_jax.collection import Placement
from ensemble_jax.losses import cross_entropy
from ensemble_jax.optimizers import as_optimizer
from ensemble_jax.options import ArchitectureOptions, ConvolutionAlgorithm, Model
from ensemble_jax.plan import Plan
from ensemble_jax.planning import PlanningTask, Trials, memory, trial, try_plan
from ensemble_jax.training import Member, Recipe, SourceIds

N, M, BATCH = 6, 90, 20


@pytest.fixture(scope="module")
def task(zoo_network) -> PlanningTask:
    rng = np.random.default_rng(0)
    network = zoo_network(Model.FULLY_CONNECTED, (5,), options=ArchitectureOptions(width=8))

    def recipe(convolution, precision, microbatches):
        return Recipe(network, as_optimizer("sgd"), cross_entropy, BATCH, 5, 5, microbatches)

    ids = np.arange(N, dtype=np.uint32)
    rates = {"learning_rate": np.ones(N, np.float32)}
    return PlanningTask(
        recipe,
        Member(np.zeros(N, np.uint32), SourceIds.own(ids), rates),
        inputs=rng.normal(size=(M, 5)).astype(np.float32),
        labels=rng.integers(0, 3, M),
        shared_bytes=1000,
        devices=jax.devices()[:4],
    )


def plan(num_devices, members_per_call, microbatches=1):
    return Plan(num_devices, members_per_call, ConvolutionAlgorithm.PATCHES, microbatches)


@pytest.mark.parametrize("tried", [plan(1, 0), plan(2, 1), plan(4, 1, 4), plan(1, 4)], ids=str)
def test_what_fits_is_timed(task, tried):
    found = try_plan(tried, task)
    assert found.fits
    assert found.images_per_second > 0
    # Weights and biases of 5-8-8-3, of each member on the devices and in three copies for the disk.
    state = 4 * (5 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3)
    assert found.needed_bytes > 4 * N * state + 1000 * tried.num_devices


def test_memory_of_a_collection():
    """7 members on 2 devices hold 8; on an accelerator only what is on the fullest counts."""
    cpu = Placement(7, 2, tuple(jax.devices()[:2]))
    of = memory.CollectionMemory.of(cpu, data=1000, state=10, programs=300)
    assert of == (2000, 80, 600, 210)
    assert of.total == 2890
    accelerator = SimpleNamespace(platform="gpu")
    of = memory.CollectionMemory.of(
        Placement(7, 2, (accelerator, accelerator)), data=1000, state=10, programs=300
    )
    assert of == (1000, 40, 300, 0)


def test_memory_grows_with_the_members_at_once(task):
    needed = [try_plan(plan(1, chunk), task).needed_bytes for chunk in (1, 2, 0)]
    assert needed == sorted(set(needed))


def test_what_does_not_fit_is_not_run(task, monkeypatch):
    monkeypatch.setattr("ensemble_jax.planning.trial.free_bytes", lambda device: 2000)
    found = try_plan(plan(1, 0), task)
    assert not found.fits
    assert found.usable_bytes == 1600
    assert found.images_per_second == 0


@pytest.mark.parametrize(("needed_bytes", "speed"), [(500, 125.0), (501, 62.5)])
def test_a_machine_that_becomes_slower_changes_no_speed(task, needed_bytes, speed, monkeypatch):
    """Where there is memory for the first plan beside another; the machine takes twice as long."""
    slowness = 1.0

    class Timed:
        def __init__(self, compiled):
            self.duration, self.needed_bytes, self.num_images = compiled

        def seconds(self):
            return slowness * self.duration

    durations = {1: 1.0, 2: 0.8}
    monkeypatch.setattr(trial, "free_bytes", lambda device: 1250)
    monkeypatch.setattr(trial, "_Timed", Timed)
    monkeypatch.setattr(
        trial,
        "_compile",
        lambda plan, task: trial._Compiled(durations[plan.num_devices], needed_bytes, 100.0),
    )
    trials = Trials(task)
    assert trials(plan(1, 0)).images_per_second == 100.0
    slowness = 2.0
    assert trials(plan(2, 0)).images_per_second == pytest.approx(speed)


def test_a_cpu_has_what_the_machine_has():
    free = memory.free_bytes(jax.devices()[0])
    assert 2**20 < free < 2**50


def test_a_container_has_what_it_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory.free_bytes(jax.devices()[0]) == 2000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(jax.devices()[0]) > 2**20


def test_an_accelerator_has_what_it_says():
    assert memory.free_bytes(accelerator({"bytes_limit": 100, "bytes_in_use": 30})) == 70


@pytest.mark.parametrize(
    ("stats", "kind", "expected"),
    [
        (None, "TPU v5 lite", 16 * 2**30),
        ({"bytes_in_use": 30}, "TPU v5 lite", 16 * 2**30 - 30),
        (None, "another", memory.LEAST_BYTES),
    ],
)
def test_an_accelerator_without_a_limit_never_has_the_memory_of_the_host(stats, kind, expected):
    assert memory.free_bytes(accelerator(stats, kind)) == expected


def accelerator(stats, kind="of no matter"):
    return SimpleNamespace(platform="gpu", device_kind=kind, memory_stats=lambda: stats)


HBM = "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm."


@pytest.mark.parametrize("where", ["_compile", "_Timed"])
def test_what_a_compiler_or_a_device_refuses_does_not_fit(task, where, monkeypatch):
    def refuse(*args):
        raise jax.errors.JaxRuntimeError(f"{HBM}\nUsed 17.32G of 15.75G hbm.")

    monkeypatch.setattr(trial, where, refuse)
    found = try_plan(plan(1, 0), task)
    assert not found.fits
    assert found.refusal == HBM
    assert found.images_per_second == 0


def test_another_error_of_the_compiler_is_its_own(task, monkeypatch):
    def fail(*args):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bit has flipped")

    monkeypatch.setattr(trial, "_compile", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="a bit has flipped"):
        try_plan(plan(1, 0), task)

"""Which of several processes this is, by what its scheduler says."""

import os

import pytest

from ensemble_jax.launch import Rank
from ensemble_jax.launch.rank import Detection, _own_devices, rank_asked_for, rank_of

STEP = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4"}
ARRAY = {
    "SLURM_ARRAY_TASK_ID": "12",
    "SLURM_ARRAY_TASK_MIN": "10",
    "SLURM_ARRAY_TASK_STEP": "2",
    "SLURM_ARRAY_TASK_COUNT": "5",
}
MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("environment", "count", "rank"),
    [
        (STEP, None, (3, 4)),
        (ARRAY, None, (1, 5)),
        (ARRAY | STEP, None, (7, 20)),
        # A batch script of Slurm without `srun` is one process, whatever it has asked for.
        (ARRAY | {"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, None, (1, 5)),
        # And `mpirun` within it starts processes of its own.
        (MPI | {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None, (1, 2)),
        ({"PMI_RANK": "0", "PMI_SIZE": "3"}, None, (0, 3)),
        ({"TPU_WORKER_ID": "1", "TPU_WORKER_HOSTNAMES": "a,b,c,d"}, None, (1, 4)),
        ({"JOB_COMPLETION_INDEX": "2"}, 8, (2, 8)),
    ],
)
def test_schedulers(environment, count, rank):
    assert rank_of(environment, count) == Rank(*rank)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "--distributed=auto finds no TPU VM, Slurm step or job array, MPI or indexed job"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, "--distributed=auto finds no "),
        ({"JOB_COMPLETION_INDEX": "2"}, "--num_ranks must be given: the scheduler tells the rank"),
        (STEP | {"SLURM_PROCID": "x"}, "SLURM_PROCID must be a number, got 'x'"),
        (STEP | {"SLURM_PROCID": "4"}, r"rank must lie in 0\.\.3, got 4"),
    ],
)
def test_schedulers_that_say_too_little(environment, message):
    with pytest.raises(ValueError, match=message):
        rank_of(environment)


@pytest.mark.parametrize(
    ("environment", "gpu"),
    [
        ({"SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "4(x2),3"}, "1"),
        # One process for all GPUs of a node, and GPUs that the scheduler has divided.
        ({"SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "1(x12)"}, None),
        (
            {
                "SLURM_LOCALID": "1",
                "SLURM_STEP_TASKS_PER_NODE": "4",
                "CUDA_VISIBLE_DEVICES": "0",
            },
            None,
        ),
        ({}, None),
    ],
)
def test_processes_of_one_host_take_a_gpu_each(environment, gpu):
    assert _own_devices(STEP | environment).get("JAX_CUDA_VISIBLE_DEVICES") == gpu


def test_a_host_of_a_pod_takes_its_own_chips():
    pod = {"TPU_WORKER_ID": "1", "TPU_WORKER_HOSTNAMES": "a,b"}
    assert _own_devices(pod)["TPU_PROCESS_BOUNDS"] == "1,1,1"


def test_what_the_user_has_set_stays(monkeypatch):
    for name, value in (STEP | {"SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "2"}).items():
        monkeypatch.setenv(name, value)
    for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JAX_CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("JAX_ROCM_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr("sys.modules", {})
    assert Rank.detect() == Rank(3, 4)
    assert os.environ["JAX_CUDA_VISIBLE_DEVICES"] == "0,1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Detection.OFF, 1, None), "--rank and --num_ranks must be given together"),
        ((Detection.OFF, None, 2), "--rank and --num_ranks must be given together"),
        ((Detection.OFF, 2, 2), r"rank must lie in 0\.\.1, got 2"),
        ((Detection.OFF, -1, 2), r"rank must lie in 0\.\.1, got -1"),
        ((Detection.OFF, 0, 0), "num_ranks must be at least 1, got 0"),
        ((Detection.AUTO, 1, 2), "--distributed=auto finds the rank itself: leave out --rank"),
    ],
)
def test_options_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        rank_asked_for(*arguments)


def test_one_process_is_rank_0_of_1():
    assert rank_asked_for(Detection.OFF, None, None) == Rank(0, 1)

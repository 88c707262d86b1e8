"""Several processes that call `train`, each after `jax.distributed.initialize()`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ensemble_jax as ej

SCRIPT = """
import sys
import jax
import numpy as np
import optax
from flax import linen as nn
import ensemble_jax as ej


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)


def make_arrays(size, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, 4)).astype(np.float32), rng.integers(0, 3, size)


def main(port, position, folder, count):
    if port:
        jax.distributed.initialize(f"localhost:{port}", 2, int(position))
    run = ej.train(
        Net(), ej.Dataset.from_arrays(train=make_arrays(20, 0), test=make_arrays(10, 1)),
        members=ej.members(int(count), learning_rate=0.1),
        optimizer=lambda hp: optax.sgd(optax.cosine_decay_schedule(hp.learning_rate, hp.num_steps)),
        batch_size=10, extents=(0, 3), plan="default,num_devices=1", workdir=folder or None)
    print(run.members.tolist(), run.extents, file=sys.stderr)


main(*sys.argv[1:])
"""


def start(folder, count, port="", position="0"):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(ej.__file__).parent.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, port, position, str(folder), str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def start_two(folder, count):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    return [start(folder, count, port, position) for position in "01"]


def answers(processes):
    found = [process.communicate(timeout=240) for process in processes]
    return [(process.returncode, *of) for process, of in zip(processes, found, strict=True)]


@pytest.mark.slow
def test_the_same_call_in_two_processes_trains_continues_and_grows(tmp_path):
    for count in (4, 7):
        for code, printed, told in answers(start_two(tmp_path / "run", count)):
            assert code == 0, printed + told
            assert told.splitlines()[-1].endswith("] (0, 3)"), told
    assert sorted(path.name for path in (tmp_path / "run" / "parts").iterdir()) == [
        "2-4",
        "4-6",
        "6-7",
    ]
    (answer,) = answers([start(tmp_path / "whole", 7)])
    assert answer[0] == 0, answer
    run, whole = (ej.load_run(tmp_path / name) for name in ("run", "whole"))
    np.testing.assert_array_equal(run.predictions("train"), whole.predictions("train"))
    np.testing.assert_array_equal(
        run.params()["Dense_0"]["kernel"], whole.params()["Dense_0"]["kernel"]
    )


@pytest.mark.slow
def test_a_folder_must_be_shared():
    for code, printed, error in answers(start_two("", 4)):
        assert code != 0
        assert "workdir must be given, a folder that all processes share" in error, printed + error

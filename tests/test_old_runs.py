"""A run of format 2, made before steps had shapes of their own: it is read and continued.

`old_run` was made by
python -m experiments.train --config.model=fully_connected --config.width=4 --config.depth=1 \
    --config.num_members=2 --config.optimizer=momentum --config.learning_rate=0.02 \
    --config.decay_epochs=1 --config.dropout_scale=0 --config.plan=default,num_devices=1 \
    --config.batch_size=100 --config.extents=0,1,2
and continued there, too; without dropout nothing but rounding has changed since.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.cli.translate import training_of
from ensemble_jax.launch.by_rank import train_collection
from ensemble_jax.options import Model, Optimizer
from ensemble_jax.runs import load_run

# It was made with what was newest then.
pytestmark = pytest.mark.filterwarnings("ignore:.* is continued with other software")

OLD_RUN = Path(__file__).parent / "old_run"
LOSSES_AFTER_4 = {"train": [1.4629253, 1.4011858], "test": [1.4678599, 1.4136112]}


@pytest.fixture
def old_run(tmp_path) -> Path:
    return shutil.copytree(OLD_RUN, tmp_path / "run")


def config(**fields) -> TrainConfig:
    return TrainConfig(
        model=Model.FULLY_CONNECTED,
        width=4,
        depth=1,
        num_members=2,
        optimizer=Optimizer.MOMENTUM,
        learning_rate=0.02,
        decay_epochs=1,
        dropout_scale=0.0,
        plan="default,num_devices=1",
        **fields,
    )


def test_it_is_read():
    run = load_run(OLD_RUN)
    assert run.extents == (0, 1, 2)
    np.testing.assert_allclose(run.metrics["train_loss"][-1], [1.6784267, 1.6009637], rtol=1e-6)
    assert run.manifest.inputs == {}
    with pytest.raises(ValueError, match="older version, which did not record how inputs are norm"):
        run.predict(np.zeros((1, 8, 8, 1), np.uint8))


def test_it_is_continued_as_it_was_then(old_run, capsys):
    run = train_collection(training_of([config(extents=(0, 1, 2, 4))]), old_run).run
    told = capsys.readouterr().out
    assert "is of an older version: whether its inputs have changed is not known" in told
    assert "after epoch 2" in told
    assert "is of an older version: it goes on to record predictions alone" in told
    assert run.recorded_quantities == {"train": (), "test": ()}
    for split, losses in LOSSES_AFTER_4.items():
        np.testing.assert_allclose(run.metrics[f"{split}_loss"][-1], losses, rtol=1e-4)
    # What it is made of now can be read by name.
    assert run.params(1)["Dense_0"]["kernel"].shape == (64, 4)


def test_another_config_is_refused(old_run):
    other = config(extents=(0, 1, 2, 4), l2=0.1)
    with pytest.raises(ValueError, match=r"l2: 0\.0 -> 0\.1"):
        train_collection(training_of([other]), old_run)

"""What loggers are told of a training, by a fake of each library and by the library itself."""

from __future__ import annotations

import struct
import sys
import threading

import numpy as np
import optax
import pytest
from flax import linen as nn

import ensemble_jax as ej
from ensemble_jax.analysis import bimodality, consistency_score
from ensemble_jax.extent import ExtentRecord, SplitRecord
from ensemble_jax.loggers import TensorBoardLogger, WandbLogger
from ensemble_jax.runs import pack_correct
from ensemble_jax.training import Observer

K, EXTENTS = 3, (0, 2, 3)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(K)(x)


def arrays(size, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, 4)).astype(np.float32), np.arange(size) % K


def train(observer):
    data = ej.Dataset.from_arrays(train=arrays(24, 0), test=arrays(12, 1))
    options = {"batch_size": 8, "extents": EXTENTS, "plan": "default,num_devices=1"}
    return ej.train(Net(), data, members=3, optimizer=optax.sgd(0.1), observer=observer, **options)


class Tracked:
    """The part of a run of wandb that is called; also by the thread that writes."""

    def __init__(self):
        self.logged, self.metrics, self.threads = [], {}, set()

    def define_metric(self, name, step_metric):
        self.metrics[name] = step_metric

    def log(self, data):
        self.threads.add(threading.get_ident())
        self.logged.append(data)


class Written:
    """The part of a SummaryWriter that is called."""

    def __init__(self):
        self.scalars, self.flushed, self.closed = [], 0, False

    def add_scalar(self, tag, scalar_value, global_step):
        self.scalars.append((tag, scalar_value, global_step))

    def flush(self):
        self.flushed += 1

    def close(self):
        self.closed = True


RECORD = ExtentRecord(
    4,
    {
        "test": SplitRecord(
            pack_correct(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], bool)),
            np.zeros((3, 3), np.uint8),
            np.array([0.5, 1.5, np.nan], np.float32),
            np.array([2 / 3, 1 / 3, 0], np.float32),
        )
    },
    np.array([-1, -1, 2]),
    100.0,
)
# Of the two members that did not diverge: consistency 1, 1/2, 0.
MEASURED = {
    "members/diverged": 1,
    "images_per_second": 100.0,
    "test/accuracy": 0.5,
    "test/accuracy_std": 1 / 6,
    "test/accuracy_min": 1 / 3,
    "test/accuracy_max": 2 / 3,
    "test/loss": 1.0,
    "test/loss_std": 0.5,
    "test/bimodality": 0.5,
}


def test_by_hand_of_wandb():
    tracked = Tracked()
    logger = WandbLogger(tracked)
    assert tracked.metrics == {"*": "epoch"}
    logger.epoch_done(3, np.array([1.0, np.nan, 3.0]))
    logger.extent_written(RECORD)
    epoch, extent = tracked.logged
    assert epoch == {"train/epoch_loss": 2.0, "train/epoch_loss_std": 1.0, "epoch": 3}
    assert extent == pytest.approx({**MEASURED, "epoch": 4}, rel=1e-6)
    assert all(type(value) in (int, float) for value in extent.values())


def test_by_hand_of_tensorboard():
    written = Written()
    logger = TensorBoardLogger(written)
    logger.epoch_done(3, np.array([1.0, np.nan, 3.0]))
    assert written.scalars == [("train/epoch_loss", 2.0, 3), ("train/epoch_loss_std", 1.0, 3)]
    logger.extent_written(RECORD)
    tags, values, epochs = zip(*written.scalars[2:], strict=True)
    assert dict(zip(tags, values, strict=True)) == pytest.approx(MEASURED, rel=1e-6)
    assert set(epochs) == {4}
    assert written.flushed == 1
    logger.close()
    assert written.closed


def test_nothing_is_said_of_members_that_diverged():
    tracked = Tracked()
    logger = WandbLogger(tracked)
    logger.epoch_done(1, np.full(2, np.inf))
    all_diverged = ExtentRecord(1, RECORD.splits, np.array([1, 1, 1]), np.nan)
    logger.extent_written(all_diverged)
    assert tracked.logged == [{"epoch": 1}, {"members/diverged": 3, "epoch": 1}]


def expected_of(run):
    """What must be logged of a run's extents."""
    return {
        (f"{split}/{name}", extent): value
        for row, extent in enumerate(run.extents)
        for split in run.splits
        for name, value in {
            "accuracy": run.metrics[f"{split}_accuracy"][row].mean(),
            "loss": run.metrics[f"{split}_loss"][row].mean(),
            "bimodality": bimodality(consistency_score(run.correct(split, extent)[0])),
        }.items()
    }


def check_of(run, found):
    """The values by name and epoch are those of the run."""
    for place, value in expected_of(run).items():
        assert found[place] == pytest.approx(value, rel=1e-5), place
    for epoch in range(1, EXTENTS[-1] + 1):
        assert np.isfinite(found["train/epoch_loss", epoch])


def test_a_training_by_wandb():
    tracked = Tracked()
    logger = WandbLogger(tracked)
    assert isinstance(logger, Observer)
    run = train(logger)
    check_of(run, by_place(tracked.logged))
    assert len(tracked.threads) == 2


def by_place(logged):
    return {(name, entry["epoch"]): value for entry in logged for name, value in entry.items()}


def test_a_training_by_trackio(monkeypatch, tmp_path):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    trackio = pytest.importorskip("trackio", reason="trackio is not installed")
    from trackio.sqlite_storage import SQLiteStorage

    tracked = trackio.init(project="mine", name="first", embed=False, auto_log_cpu=False)
    run = train(WandbLogger(tracked))
    tracked.finish()
    check_of(run, by_place(SQLiteStorage.get_logs("mine", "first")))


def test_a_training_by_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    logger = TensorBoardLogger(tmp_path / "logs")
    assert isinstance(logger, Observer)
    run = train(logger)
    logger.close()
    (path,) = (tmp_path / "logs").iterdir()
    check_of(run, read_scalars(path))


def read_scalars(path):
    """The scalars of an event file: of each record its length, a checksum, the event, another."""
    from tensorboardX.proto.event_pb2 import Event

    content, place, found = path.read_bytes(), 0, {}
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        event = Event.FromString(content[place + 12 : place + 12 + length])
        place += 12 + length + 4
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
    return found


def test_tensorboard_without_its_package_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match="takes tensorboardX: pip install tensorboardX"):
        TensorBoardLogger(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_mistakes():
    with pytest.raises(ValueError, match=r"run must be what wandb.init .* returns, got str"):
        WandbLogger("mine")
    with pytest.raises(ValueError, match="writer must be a folder or a SummaryWriter, got int"):
        TensorBoardLogger(3)

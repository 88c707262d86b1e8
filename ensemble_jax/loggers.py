"""Observers that log a training elsewhere: to TensorBoard, Weights & Biases, trackio.

`train(..., observer=TensorBoardLogger("logs"))`. What is logged is of the members that have not
diverged, against the number of completed epochs:

| name | when | what |
|---|---|---|
| `train/epoch_loss`, `_std` | each epoch | mean and std of the members' mean losses in that epoch |
| `SPLIT/accuracy`, `_std`, `_min`, `_max` | each extent | accuracy of the members, in [0, 1] |
| `SPLIT/loss`, `_std` | each extent | their mean losses |
| `SPLIT/bimodality` | each extent | of the consistency scores; see `analysis.bimodality` |
| `members/diverged` | each extent | how many have diverged |
| `images_per_second` | each extent | speed of training since the extent before |
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from jaxtyping import Float

from ensemble_jax.analysis import bimodality, consistency_from_bits
from ensemble_jax.extent import ExtentRecord
from ensemble_jax.training import NOT_DIVERGED

_EPOCH = "epoch"


class WandbLogger:
    """Logs to what `wandb.init(...)` returns, or `trackio.init(...)`, or has their method `log`.

    Each call of `log` has the number of epochs as `epoch`, which Weights & Biases is told to plot
    against: its own steps count calls.

    >>> class Tracked:  # or wandb.init(project="mine")
    ...     def log(self, values):
    ...         print(values)
    >>> WandbLogger(Tracked()).epoch_done(1, np.array([0.5, 1.5]))
    {'train/epoch_loss': 1.0, 'train/epoch_loss_std': 0.5, 'epoch': 1}

    Args:
        run: stays open; it is the caller's to finish.

    Raises:
        ValueError: `run` has no method `log`.
    """

    def __init__(self, run: Any) -> None:
        if not callable(getattr(run, "log", None)):
            raise ValueError(
                f"run must be what wandb.init or trackio.init returns, got {type(run).__name__}"
            )
        self._run = run
        if hasattr(run, "define_metric"):
            run.define_metric("*", step_metric=_EPOCH)

    def epoch_done(self, epoch: int, losses: Float[np.ndarray, " N"]) -> None:
        """Log the losses of an epoch."""
        self._run.log({**_of_epoch(losses), _EPOCH: epoch})

    def extent_written(self, record: ExtentRecord) -> None:
        """Log what was measured."""
        self._run.log({**_of_extent(record), _EPOCH: record.extent})


class TensorBoardLogger:
    """Logs scalars for TensorBoard; what was measured at an extent is on the disk at once.

    Args:
        writer: the folder for the event files, which takes `pip install tensorboardX`; or a
            `SummaryWriter` of tensorboardX or `torch.utils.tensorboard`, which stays open.

    Raises:
        ValueError: `writer` is neither.
        ModuleNotFoundError: a folder without tensorboardX.
    """

    def __init__(self, writer: Any) -> None:
        if isinstance(writer, str | os.PathLike):
            try:
                from tensorboardX import SummaryWriter
            except ModuleNotFoundError as error:
                raise ModuleNotFoundError(
                    f"TensorBoardLogger({os.fspath(writer)!r}) takes tensorboardX: "
                    "pip install tensorboardX",
                    name=error.name,
                ) from error
            writer = SummaryWriter(os.fspath(writer))
        if not callable(getattr(writer, "add_scalar", None)):
            raise ValueError(
                f"writer must be a folder or a SummaryWriter, got {type(writer).__name__}"
            )
        self._writer = writer

    def epoch_done(self, epoch: int, losses: Float[np.ndarray, " N"]) -> None:
        """Log the losses of an epoch."""
        self._log(_of_epoch(losses), epoch)

    def extent_written(self, record: ExtentRecord) -> None:
        """Log what was measured."""
        self._log(_of_extent(record), record.extent)
        self._writer.flush()

    def close(self) -> None:
        """Close the writer; nothing can be logged any more."""
        self._writer.close()

    def _log(self, values: dict[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)


def _of_epoch(losses: Float[np.ndarray, " N"]) -> dict[str, float]:
    return _mean_and_std("train/epoch_loss", losses[np.isfinite(losses)])


def _of_extent(record: ExtentRecord) -> dict[str, float]:
    healthy = record.diverged_at == NOT_DIVERGED
    values: dict[str, float] = {"members/diverged": int((~healthy).sum())}
    if np.isfinite(record.train_images_per_second):
        values["images_per_second"] = float(record.train_images_per_second)
    if not healthy.any():
        return values
    for split, of in record.splits.items():
        accuracy, losses = np.asarray(of.accuracy)[healthy], np.asarray(of.loss)[healthy]
        values |= _mean_and_std(f"{split}/accuracy", accuracy)
        values[f"{split}/accuracy_min"] = float(accuracy.min())
        values[f"{split}/accuracy_max"] = float(accuracy.max())
        values |= _mean_and_std(f"{split}/loss", losses)
        consistency = consistency_from_bits(of.bits[healthy], of.predictions.shape[-1])
        shape = float(bimodality(consistency))
        if np.isfinite(shape):
            values[f"{split}/bimodality"] = shape
    return values


def _mean_and_std(name: str, of_members: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Nothing of no members."""
    if not len(of_members):
        return {}
    wide = of_members.astype(np.float64)
    return {name: float(wide.mean()), f"{name}_std": float(wide.std())}

"""The two protocols: one collection is measured at all extents, or a fresh one at each extent."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ensemble_jax.collection import Placement
from ensemble_jax.extent import Evaluations, ExtentRecord
from ensemble_jax.interruption import Deferral
from ensemble_jax.membership import TrainedOn
from ensemble_jax.options import Protocol
from ensemble_jax.progress import TrainingProgress
from ensemble_jax.resuming import save_checkpoint, start_of, told, where
from ensemble_jax.runs import RunWriter
from ensemble_jax.runs.layout import CHECKPOINTS
from ensemble_jax.task import Training
from ensemble_jax.training import (
    Checkpoints,
    CollectionTraining,
    MemberState,
    Progress,
    Saving,
    independent_seeds,
    train_loop,
)


class Compiled(NamedTuple):
    """The programs of a collection, and its members as arrays.

    `images_per_second` is how fast they are, as far as that is known before; else NaN.
    """

    training: CollectionTraining
    evaluate: Callable[[MemberState], Evaluations]
    placement: Placement
    trained_on: TrainedOn
    images_per_second: float = math.nan


def train_by_protocol(
    compiled: Compiled,
    training: Training,
    writer: RunWriter,
    split_sizes: Mapping[str, int],
) -> None:
    """Train a collection, or go on, until all extents are written.

    Args:
        compiled: its programs.
        training: which says by what protocol, and to which extents.
        writer: of the run.
        split_sizes: the number of examples by split, for the progress bar.
    """
    by_protocol = {
        Protocol.TRAJECTORY: _train_trajectory,
        Protocol.INDEPENDENT: _train_independent,
    }
    by_protocol[training.protocol](compiled, training, writer, split_sizes)


def _loop(compiled: Compiled, writer: RunWriter) -> Callable[..., Progress]:
    """The host loop, without the members that it trains and their extents."""
    return functools.partial(
        train_loop,
        evaluate=compiled.evaluate,
        to_host=compiled.placement.gather,
        write=lambda record: _write(record, writer),
        images_per_second=compiled.images_per_second,
    )


def _train_trajectory(
    compiled: Compiled,
    training: Training,
    writer: RunWriter,
    split_sizes: Mapping[str, int],
) -> None:
    """One collection, measured at every extent; goes on from its last checkpoint."""
    programs, placement = compiled.training, compiled.placement
    checkpoints = Checkpoints(writer.directory / CHECKPOINTS, writer.manifest.run_id)
    saving = Saving(
        lambda pools, state: save_checkpoint(
            pools, pools // programs.num_pools, state, writer.directory, checkpoints
        ),
        training.checkpoint_extents,
        60 * training.checkpoint_minutes or math.inf,
    )
    try:
        missing = [extent for extent in training.extents if extent not in writer.extents]
        start = start_of(missing[0], programs, writer, checkpoints, placement)
        if writer.extents or start.pool:
            print(f"continuing {writer.directory}{where(start, programs)}", flush=True)
        with (
            Deferral() as deferral,
            TrainingProgress(
                missing[-1], start.epoch, training.members.ids, split_sizes, training.observer
            ) as progress,
        ):
            reached = _loop(compiled, writer)(
                programs,
                start.state,
                first_epoch=start.epoch,
                first_pool=start.pool,
                extents=missing,
                observer=progress,
                moved=progress.moved,
                begun=progress.begun,
                saving=saving,
                stop_asked=lambda: deferral.asked,
            )
        deferral.raise_if_asked(where(reached, programs))
    finally:
        checkpoints.close()


def _train_independent(
    compiled: Compiled,
    training: Training,
    writer: RunWriter,
    split_sizes: Mapping[str, int],
) -> None:
    """For each extent a collection of its own; goes on with the first that is not finished."""
    wanted = training.extents
    missing = [extent for extent in wanted if extent not in writer.extents]
    done = sum(wanted) - sum(missing)
    if len(missing) < len(wanted):
        print(f"continuing {writer.directory} with the collection of {missing[0]} epochs")
    members = compiled.trained_on.members
    with (
        Deferral() as deferral,
        TrainingProgress(
            sum(wanted), done, training.members.ids, split_sizes, training.observer
        ) as progress,
    ):
        for extent in missing:
            if deferral.asked:
                break
            progress.begin_collection()
            seeds = independent_seeds(np.asarray(members.seed), extent)
            fresh = compiled.training.of(members._replace(seed=seeds))
            _loop(compiled, writer)(
                fresh,
                fresh.init(),
                first_epoch=0,
                extents=[extent],
                observer=progress,
                moved=progress.moved,
                begun=progress.begun,
                stop_asked=lambda: deferral.asked,
            )
    deferral.raise_if_asked(f" with {len(writer.extents)} of {len(wanted)} collections finished")


def _write(record: ExtentRecord, writer: RunWriter) -> None:
    """Make an extent permanent."""
    with told(record.extent, writer.directory):
        writer.write_extent(record)

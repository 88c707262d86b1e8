"""Continuing a run: whether it may be continued, from where, and how its state is saved."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble_jax.data import Dataset
from ensemble_jax.options import Protocol
from ensemble_jax.runs import Run, RunWriter, config_differences, load_run
from ensemble_jax.runs.layout import LOCK
from ensemble_jax.runs.lock import LostLockError, check_lock

if TYPE_CHECKING:
    from ensemble_jax.collection import Placement
    from ensemble_jax.task import Training
    from ensemble_jax.training import Checkpoints, CollectionTraining, MemberState, Progress


def check_continuable(run: Run, training: Training) -> None:
    """See that a run can be continued as this training.

    Raises:
        ValueError: if it was begun with another config or other members, or the extents cannot be
            those of the training.
    """
    _check_same_config(run, training)
    _check_same_members(run, training)
    _check_extents(run, training)


def has_all(run: Run, training: Training) -> bool:
    """Whether a run has every extent of the training, and asks for no other."""
    return run.finished and run.extents == tuple(training.extents)


def _check_same_config(run: Run, training: Training) -> None:
    """The extents may differ."""
    known = {name: value for name, value in training.defaults.items() if name in training.config}
    given = {"extents": training.config["extents"]}
    # Runs from before there was such a choice record predictions alone, as their manifest says.
    if "record" in training.config and "record" not in run.config:
        given["record"] = training.config["record"]
    stored = {**known, **run.config, **given}
    differences = config_differences(stored, training.config)
    if differences:
        raise ValueError(
            f"{run.directory} holds a run with another config, continue it with its own or choose "
            f"another --workdir; stored -> wanted: {'; '.join(differences)}"
        )


def _check_same_members(run: Run, training: Training) -> None:
    """What is recorded of the members must be what they have now."""
    rows = {member: row for row, member in enumerate(run.manifest.members)}
    common = [member for member in training.members.ids if member in rows]
    wanted = (
        training.members.of_ids(range(common[0], common[-1] + 1)).recorded_values if common else {}
    )
    for name, values in wanted.items():
        stored = run.manifest.hyperparameters.get(name)
        if stored is None:
            continue
        for member, value in zip(common, values, strict=True):
            if stored[rows[member]] != value:
                raise ValueError(
                    f"{run.directory} holds members with another {name}, continue it with its own "
                    f"or choose another --workdir; member {member}: {stored[rows[member]]} -> "
                    f"{value}"
                )


def _check_extents(run: Run, training: Training) -> None:
    """Extents can be added after the finished ones; if each is a training of its own, anywhere.

    Unfinished extents can be dropped again.
    """
    finished, wanted = run.extents, training.extents
    after = max(finished, default=-1)
    anywhere = training.protocol is Protocol.INDEPENDENT
    too_early = [e for e in wanted if e not in run.manifest.extents and e <= after and not anywhere]
    dropped = [e for e in finished if e not in wanted]
    if too_early or dropped:
        rule = "anywhere" if anywhere else f"after {after}"
        raise ValueError(
            f"{run.directory} is continued only with extents that hold the finished ones, "
            f"{list(finished)}, and new ones {rule}, got {list(wanted)}: choose another --workdir"
        )
    if wanted[-1] != run.manifest.extents[-1] and training.depends_on_end:
        raise ValueError(
            f"extents must end with {run.manifest.extents[-1]} as those of {run.directory} do, "
            f"since its learning rates depend on the number of steps, got {list(wanted)}: choose "
            f"another --workdir"
        )


def check_same_examples(workdir: Path, dataset: Dataset) -> None:
    """See that a data set is the one that a run is trained and evaluated on.

    Raises:
        ValueError: naming what differs.
    """
    run = load_run(workdir, own_part=True)
    for name, split in dataset.splits.items():
        if not (
            np.array_equal(run.labels[name], split.labels)
            and np.array_equal(run.ids[name], split.ids)
        ):
            raise ValueError(
                f"{workdir} was trained on other {name} examples than {dataset.name} has now: "
                f"choose another --workdir"
            )
    for name, probe in dataset.probes.items():
        if not np.array_equal(run.ids[name], probe.ids):
            raise ValueError(
                f"{workdir} has other examples of the probe {name} than there are now: "
                f"choose another --workdir"
            )
    if changed := run.manifest.changed_inputs(dataset.digests, workdir):
        raise ValueError(
            f"{workdir} was trained on other inputs than {dataset.name} has now "
            f"({', '.join(changed)} differ): choose another --workdir"
        )


def start_of(
    missing: int,
    programs: CollectionTraining,
    writer: RunWriter,
    checkpoints: Checkpoints,
    placement: Placement,
) -> Progress:
    """Where to go on from, before the first missing extent; checkpoints are named by pools.

    Raises:
        ValueError: if only later checkpoints are left.
    """
    from ensemble_jax.training import Progress

    first_too_late = missing * programs.num_pools
    if checkpoints.epochs and min(checkpoints.epochs) >= first_too_late:
        raise ValueError(
            f"{writer.directory} lacks the record of the extent {missing}, from before its "
            f"checkpoints: remove {checkpoints.directory} to train again from the start"
        )
    latest = checkpoints.restore_latest(
        programs.state_shape,
        up_to=first_too_late - 1,
        steps_after=lambda pools: pools * programs.steps_per_epoch // programs.num_pools,
    )
    if latest is None:
        return Progress(0, programs.init())
    done, state = latest
    epoch, pool = divmod(done, programs.num_pools)
    return Progress(epoch, placement.spread(state), pool)


def where(progress: Progress, programs: CollectionTraining) -> str:
    """How far a training came, for a message."""
    pools = f" and {progress.pool} of {programs.num_pools} pools" if progress.pool else ""
    return f" after epoch {progress.epoch}{pools}"


@contextlib.contextmanager
def told(epoch: int, directory: Path) -> Iterator[None]:
    """Name the epoch and the folder where something cannot be written.

    Raises:
        OSError: in place of what was raised.
    """
    try:
        yield
    except LostLockError:
        raise
    except (OSError, ValueError) as error:  # Orbax makes a ValueError of a full disk
        raise OSError(
            f"cannot write epoch {epoch} to {directory}, the same command continues before it: "
            f"{error}"
        ) from error


def save_checkpoint(
    pools: int, epoch: int, state: MemberState, directory: Path, checkpoints: Checkpoints
) -> None:
    """Make a checkpoint permanent.

    Raises:
        OSError: if there is no room, it cannot be written, or the folder is no longer the one that
            this process has locked.
    """
    with told(epoch, directory):
        check_lock(directory / LOCK)
        _check_room(directory, state)
        checkpoints.save(pools, state)


def _check_room(directory: Path, state: Any) -> None:
    """Check the free space first: Orbax would end with a page of tracebacks."""
    import jax

    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise OSError(
            f"the disk is full, a checkpoint takes {needed / 1e6:.1f} MB and {free / 1e6:.1f} MB "
            f"are free"
        )

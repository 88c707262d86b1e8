"""Training the members of one run by several processes that never meet.

The run directory says all that they need to know of each other. The first process to come makes it,
with the one plan and the division into parts; every other one finds it and compares what it was
given. Each trains its own parts, and the one that finishes last finds the run complete. What is
short is done under the lock of `parts/`; each part has a lock of its own while it is trained.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ensemble_jax.launch.pieces import (
    Divide,
    Layout,
    Piece,
    check_as_begun,
    make_layout,
    split,
    training_of,
)
from ensemble_jax.launch.rank import Rank
from ensemble_jax.resuming import check_same_examples
from ensemble_jax.runs import Run, RunWriter, claim_folder, is_being_written, load_run, lock_run
from ensemble_jax.runs.layout import LOCK, MANIFEST, PARTS
from ensemble_jax.runs.lock import locked_in_turn
from ensemble_jax.runs.parts import check_joinable, read_part
from ensemble_jax.runs.reader import join_parts
from ensemble_jax.streams import lenient_output
from ensemble_jax.task import Training
from ensemble_jax.trainer import Lock, begin_run, run_training, tell_diverged

_ALONE = Rank()


class Trained(NamedTuple):
    """What a process has of a run when it ends.

    Attributes:
        run: all of it, if it is finished; else the members of this process.
        last: whether this process is the one that goes on with the finished run.
    """

    run: Run
    last: bool


@lenient_output()
def train_collection(training: Training, workdir: Path, rank: Rank = _ALONE) -> Trained:
    """Train a collection, continue it or grow it, as one of the processes that do.

    Raises:
        ValueError: if the folder holds anything but a part of this training, another process
            trains the same part of it, the data do not fit, or nothing is left for this rank.
        OSError: if it cannot be written; what was finished before stays.
        Interrupted: if a signal asked for an end; what was finished stays.
    """
    check_workdir(workdir)
    # Which is asked for it once for each part.
    training = dataclasses.replace(training, load_data=functools.cache(training.load_data))
    if rank.count == 1 and not (workdir / MANIFEST).exists():
        trained = Trained(run_training(training, workdir), True)
    else:
        with contextlib.ExitStack() as held:
            trained = _train_pieces(training, workdir, rank, held)
    tell_diverged(trained.run)
    return trained


def check_workdir(workdir: Path) -> None:
    """See that the name of a folder is text.

    Raises:
        ValueError: if it is not.
    """
    try:
        str(workdir).encode()
    except UnicodeEncodeError:
        raise ValueError(f"--workdir must be text in UTF-8, got {str(workdir)!a}") from None


def begin(
    training: Training,
    workdir: Path,
    divide: Divide,
    *,
    by_rank: bool,
    lock: Lock = lock_run,
) -> Layout:
    """What a run consists of; the first process to come makes the folder, the plan and the parts.

    Args:
        training: of all members.
        workdir: the run directory.
        divide: the members among parts.
        by_rank: whether other processes are to find that they were given the same.
        lock: keeps other processes from writing the folder's own members.

    Raises:
        ValueError, OSError: as `train_collection` does.
    """
    _claim(workdir)
    with locked_in_turn(workdir / PARTS / LOCK, workdir):
        if not (workdir / MANIFEST).exists():
            first, *others = divide(training.members.ids)
            own = training.of_members(range(*first))
            begin_run(dataclasses.replace(own, parts=others), workdir, lock)
        if by_rank:
            check_as_begun(training, workdir)
        layout = make_layout(training, workdir, divide)
        if by_rank and read_part(workdir).manifest.extents != list(training.extents):
            check_same_examples(workdir, training.load_data())
            with lock(workdir):
                RunWriter.open(workdir).ask_for(training.extents)
        for piece in layout.pieces:
            piece.folder(workdir).mkdir(exist_ok=True)
    return layout


def train_piece(
    training: Training, piece: Piece, workdir: Path, held: contextlib.ExitStack
) -> None:
    """Train one part of a run that is begun; it stays locked as long as `held` is open."""
    folder = piece.folder(workdir)
    held.enter_context(lock_run(folder))
    run_training(training_of(piece, training, workdir), folder, _unlocked)


def join(training: Training, workdir: Path, divide: Divide, lock: Lock = lock_run) -> Layout:
    """Let the parts that are finished belong to the run, if all are; returns what there is.

    Call it with the lock of `parts/`.
    """
    layout = make_layout(training, workdir, divide)
    if layout.joining and not layout.unfinished:
        with lock(workdir):
            RunWriter.open(workdir).add_parts([(p.first, p.end) for p in layout.joining])
    return layout


def _train_pieces(
    training: Training, workdir: Path, rank: Rank, held: contextlib.ExitStack
) -> Trained:
    """Train what is this rank's of a run of several parts."""
    divide = functools.partial(split, num_parts=rank.count)
    alone = rank.count == 1
    if (workdir / MANIFEST).exists():
        if not alone:
            check_as_begun(training, workdir)
        if make_layout(training, workdir, divide).finished:  # which needs no lock
            print(f"{workdir} is finished: {training}")
            return Trained(load_run(workdir), rank.index == 0)
    if alone:
        held.enter_context(lock_run(workdir))
    lock = _unlocked if alone else lock_run
    layout = begin(training, workdir, divide, by_rank=not alone, lock=lock)
    own = layout.pieces[rank.index :: rank.count]
    if not own:
        raise ValueError(
            f"{rank} has nothing to train: {workdir} has {len(layout.pieces)} parts, so that "
            f"num_ranks must be at most {len(layout.pieces)}"
        )
    left = [piece for piece in own if piece in layout.unfinished]
    if not alone:
        print(f"{rank}: {_named(own)}", flush=True)
    for piece in left:
        if alone and not piece.further:
            run_training(training_of(piece, training, workdir), workdir, _unlocked)
        else:
            train_piece(training, piece, workdir, held)
    return _finish(training, workdir, rank, own, left, held)


def _finish(
    training: Training,
    workdir: Path,
    rank: Rank,
    own: Sequence[Piece],
    trained: Sequence[Piece],
    held: contextlib.ExitStack,
) -> Trained:
    """Complete the run, if this is the last process to finish its parts.

    A process gives up the locks of its parts here alone. So of two that finish at the same time
    the second to come here, and no other, finds all parts finished and nobody else at work.
    """
    divide = functools.partial(split, num_parts=rank.count)
    with locked_in_turn(workdir / PARTS / LOCK, workdir):
        layout = make_layout(training, workdir, divide)
        others = [piece for piece in layout.pieces if piece not in own]
        at_work = [piece for piece in others if is_being_written(piece.folder(workdir))]
        is_last = not layout.unfinished and not at_work
        has_joined = is_last and bool(layout.joining)
        holds_run = rank.count == 1 or any(not piece.further for piece in trained)
        if is_last:
            join(training, workdir, divide, _unlocked if holds_run else lock_run)
        held.close()
    if is_last:
        return Trained(load_run(workdir), has_joined or bool(trained))
    if layout.unfinished:
        ranks = {piece: number % rank.count for number, piece in enumerate(layout.pieces)}
        names = ", ".join(f"{_named([p])} (rank {ranks[p]})" for p in layout.unfinished)
        print(f"{rank} has finished {_named(own)}; not finished in {workdir}: {names}")
    parts = [read_part(piece.folder(workdir)) for piece in own]
    return Trained(join_parts(workdir, parts, check_joinable(parts), False), False)


def _claim(workdir: Path) -> None:
    """Make the folder of a run, unless another process does at the same time."""
    if not (workdir / MANIFEST).exists():
        try:
            claim_folder(workdir)
        except ValueError:
            if not (workdir / MANIFEST).exists():
                raise
    (workdir / PARTS).mkdir(exist_ok=True)


def _named(pieces: Sequence[Piece]) -> str:
    return f"members {', '.join(f'{piece.first}:{piece.end}' for piece in pieces)}"


@contextlib.contextmanager
def _unlocked(folder: Path):
    """In place of a lock that the caller holds."""
    yield

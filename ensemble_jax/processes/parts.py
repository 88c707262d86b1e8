"""Which folders a run consists of, and who trains what in them.

A run that is trained by several processes, or grown, has its first members in its own folder and
further ones in folders below it, each of them a run by itself. The folders on the disk
decide: whoever continues a run, one process or many, finishes the parts that were begun. The
members that a run is begun with belong to it from the beginning. Members that are added later join
it when all of them are finished; until then the run is unchanged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ensemble_jax.processes.group import ProcessGroup
from ensemble_jax.processes.waiting import await_extents, await_whole
from ensemble_jax.resuming import check_continuable, has_all
from ensemble_jax.runs import (
    Run,
    RunWriter,
    claim_folder,
    config_differences,
    load_run,
    lock_run,
    part_path,
)
from ensemble_jax.runs.layout import MANIFEST, PARTS
from ensemble_jax.runs.manifest import MOST_MEMBERS
from ensemble_jax.runs.parts import read_part
from ensemble_jax.streams import lenient_output
from ensemble_jax.task import Training
from ensemble_jax.trainer import run_training, tell_diverged

_PART = re.compile(r"(\d+)-(\d+)")


class Piece(NamedTuple):
    """Members of a run that lie in one folder.

    Attributes:
        first: the first of them.
        end: the number after the last.
        further: whether the folder is one below that of the run.
    """

    first: int
    end: int
    further: bool

    @property
    def members(self) -> range:
        """The members."""
        return range(self.first, self.end)

    def folder(self, workdir: Path) -> Path:
        """Where they lie."""
        return part_path(workdir, self.first, self.end) if self.further else workdir


class Layout(NamedTuple):
    """The pieces that a run is to consist of.

    Attributes:
        pieces: all of them.
        unfinished: those in which something is left to train.
        joining: those that join the run when everything is finished.
    """

    pieces: Sequence[Piece]
    unfinished: Sequence[Piece]
    joining: Sequence[Piece]

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return not self.unfinished and not self.joining


@lenient_output()
def train_collection(training: Training, workdir: Path, group: ProcessGroup) -> Run | None:
    """Train a collection, continue it or grow it, together with the other processes of the group.

    Returns the finished run to the first process of the group, and None to the others, which may
    end earlier.

    Raises:
        ValueError: if the folder holds anything but a part of this training or another process
            works on it, the data do not fit, or a process of the group has ended too early.
        OSError: if it cannot be written; what was finished before stays.
        Interrupted: if a signal asked for an end; what was finished stays.
    """
    try:
        str(workdir).encode()
    except UnicodeEncodeError:
        raise ValueError(f"--workdir must be text in UTF-8, got {str(workdir)!a}") from None
    if group.size == 1 and not (workdir / MANIFEST).exists():
        run = run_training(training, workdir)
    else:
        with contextlib.ExitStack() as held:
            _train_shares(training, workdir, group, held)
        if not group.is_first:
            return None
        run = load_run(workdir)
    tell_diverged(run)
    return run


def await_run(training: Training, workdir: Path) -> Run:
    """The finished run, as soon as the other processes have finished their parts.

    Raises:
        ValueError: if they have ended before.
    """
    if not await_whole(workdir, training.members.ids, training.extents):
        raise ValueError(
            f"{workdir} is not finished, and the process that was to see to its end has ended; the "
            f"same call continues"
        )
    return load_run(workdir)


def make_layout(training: Training, workdir: Path, num_processes: int) -> Layout:
    """What there is of a run, and how what is missing is divided among processes.

    Raises:
        ValueError: if the folder holds anything but a part of this training.
    """
    if not (workdir / MANIFEST).exists():
        own, *others = _split(training.members.ids, num_processes)
        pieces = [Piece(*own, False), *(Piece(*bounds, True) for bounds in others)]
        return Layout(pieces, pieces, ())
    manifest = read_part(workdir).manifest
    members, wanted = manifest.members, training.members.ids
    own = Piece(members[0], members[-1] + 1, False)
    listed = [Piece(first, end, True) for first, end in manifest.parts]
    present = {*members, *(member for piece in listed for member in piece.members)}
    if not present <= {*wanted}:
        check_continuable(load_run(workdir, include_diverged=True), training)
    joining = list(_new_pieces(set(wanted) - present, workdir, num_processes))
    pieces = [own, *listed, *joining]
    unfinished = [piece for piece in pieces if not _is_finished(piece, training, workdir)]
    return Layout(pieces, unfinished, joining)


def _new_pieces(missing: Collection[int], workdir: Path, num_processes: int) -> Iterator[Piece]:
    """Pieces of members that the run has not yet: those begun before, and the rest divided."""
    rest = set(missing)
    for folder in sorted((workdir / PARTS).glob("*/")):
        match = _PART.fullmatch(folder.name)
        if match is None or not (folder / MANIFEST).exists():
            continue
        piece = Piece(int(match[1]), int(match[2]), True)
        if not rest.intersection(piece.members):
            continue
        if not rest.issuperset(piece.members):
            raise ValueError(
                f"{workdir} has begun to grow by the members {piece.first}:{piece.end}: ask for "
                f"all of them, or remove {folder}"
            )
        rest.difference_update(piece.members)
        yield piece
    for members in _ranges(rest):
        for first, end in _split(members, num_processes):
            yield Piece(first, end, True)


def _ranges(members: Collection[int]) -> list[range]:
    """The longest ranges that the members make, ascending."""
    ranges: list[range] = []
    for member in sorted(members):
        if ranges and ranges[-1].stop == member:
            ranges[-1] = range(ranges[-1].start, member + 1)
        else:
            ranges.append(range(member, member + 1))
    return ranges


def _split(members: range, num_parts: int) -> list[tuple[int, int]]:
    """First and end of parts as equal as can be, the larger ones first; none is empty.

    >>> _split(range(10, 17), 3)
    [(10, 13), (13, 15), (15, 17)]
    """
    size, larger = divmod(len(members), num_parts)
    sizes = [size + 1] * larger + [size] * (num_parts - larger if size else 0)
    ends = list(itertools.accumulate(sizes, initial=members.start))
    return list(itertools.pairwise(ends))


def _is_finished(piece: Piece, training: Training, workdir: Path) -> bool:
    """Whether a piece has all extents of the training.

    Raises:
        ValueError: if it cannot be continued as that.
    """
    folder = piece.folder(workdir)
    if not (folder / MANIFEST).exists():
        return False
    run = load_run(folder, own_part=True)
    members = list(run.manifest.members)
    own_training = training.of_members(range(members[0], members[-1] + 1))
    own_config = {**own_training.config, "members": members, "num_members": len(members)}
    own_training = dataclasses.replace(own_training, config=own_config)
    check_continuable(run, own_training)
    if has_all(run, own_training):
        return True
    if members != list(piece.members):
        raise ValueError(
            f"{folder} holds members that are no range, {members}, which cannot be trained any "
            f"further: choose another --workdir"
        )
    return False


def _train_shares(
    training: Training, workdir: Path, group: ProcessGroup, held: contextlib.ExitStack
) -> None:
    """Divide the work, train the own share and, as the first process, wait for the others."""

    def decide() -> dict[str, Any]:
        layout = make_layout(training, workdir, group.size)
        if not layout.finished:  # which needs no lock
            if not (workdir / MANIFEST).exists():
                claim_folder(workdir)
            held.enter_context(lock_run(workdir))
            # Another process may have gone on with it in between.
            layout = make_layout(training, workdir, group.size)
        return {"config": training.config, "layout": layout}

    def prepare(decision: dict[str, Any]) -> Sequence[Piece]:
        if not isinstance(decision.get("config"), dict):
            raise ValueError("process 0 has decided on no config")
        different = config_differences(decision["config"], training.config)
        if different:
            raise ValueError(f"all processes need the same config, got {'; '.join(different)}")
        layout = _parse(decision.get("layout"), training)
        own = layout.unfinished[group.rank :: group.size]
        for piece in own:
            if piece.further:
                piece.folder(workdir).mkdir(parents=True, exist_ok=True)
                held.enter_context(lock_run(piece.folder(workdir)))
        return own

    decision, own = group.begin(decide, prepare, workdir)
    layout = _parse(decision["layout"], training)
    if layout.finished:
        print(f"{workdir} is finished: {training}")
    elif own:
        group.tell(f"members {', '.join(f'{piece.first}:{piece.end}' for piece in own)}")
    for piece in own:
        own_training = _training_of(piece, layout, training, workdir)
        run_training(
            own_training, piece.folder(workdir), lock=lambda folder: contextlib.nullcontext()
        )
    if group.is_first:
        _await_others([piece for piece in layout.unfinished if piece not in own], training, workdir)
        if layout.joining:
            new = [(piece.first, piece.end) for piece in layout.joining]
            RunWriter.open(workdir).add_parts(new)


def _parse(layout: Any, training: Training) -> Layout:
    """Read a layout that another process has sent as JSON.

    Folders are named after it, so it must hold members of the training only.

    Raises:
        ValueError: if it is not.
    """
    try:
        pieces, unfinished, joining = ([Piece(*piece) for piece in some] for some in layout)
        parsed = Layout(pieces, unfinished, joining)
        for piece in itertools.chain(*parsed):
            kinds = [type(value) for value in piece]
            if kinds != [int, int, bool] or not piece.members or piece not in pieces:
                raise ValueError(f"got {piece}")
            if piece.first < 0 or piece.end - 1 > training.members.ids[-1] + MOST_MEMBERS:
                raise ValueError(f"got the members {piece.first}:{piece.end}")
    except (TypeError, ValueError) as error:
        raise ValueError(f"process 0 must decide on parts of the run: {error}") from error
    return parsed


def _training_of(piece: Piece, layout: Layout, training: Training, workdir: Path) -> Training:
    """The training of a piece."""
    own = training.of_members(piece.members)
    if piece.further:
        own = dataclasses.replace(own, whole=workdir)
    if (workdir / MANIFEST).exists():
        # Parts join only if their configs are equal, so they get the fields of the first part.
        fields = read_part(workdir).manifest.config
        config = {name: value for name, value in own.config.items() if name in fields}
        return dataclasses.replace(own, config=config)
    further = [(other.first, other.end) for other in layout.pieces if other.further]
    return own if piece.further else dataclasses.replace(own, parts=further)


def _await_others(pieces: Sequence[Piece], training: Training, workdir: Path) -> None:
    folders = [piece.folder(workdir) for piece in pieces]
    left = [folder for folder in folders if not await_extents(folder, training.extents)]
    if left:
        names = ", ".join(str(folder.relative_to(workdir)) for folder in left)
        raise ValueError(
            f"{workdir} is not finished: the processes that trained {names} have ended; the same "
            f"command continues"
        )

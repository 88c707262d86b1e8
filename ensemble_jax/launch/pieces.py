"""Which folders a run consists of, and who trains what in them.

A run that is trained by several processes, or grown, has its first members in its own folder and
further ones in folders below it, each of them a run by itself. The folders on the disk
decide: whoever continues a run, one process or many, finishes the parts that were begun. The
members that a run is begun with belong to it from the beginning. Members that are added later join
it when all of them are finished; until then the run is unchanged.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ensemble_jax.resuming import check_continuable, has_all
from ensemble_jax.runs import config_differences, load_run, part_path
from ensemble_jax.runs.layout import MANIFEST, PARTS
from ensemble_jax.runs.manifest import Manifest
from ensemble_jax.runs.parts import read_part
from ensemble_jax.task import Training

_PART = re.compile(r"(\d+)-(\d+)")
# Makes of members the first and the end of each part.
Divide = Callable[[range], Sequence[tuple[int, int]]]


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


def make_layout(training: Training, workdir: Path, divide: Divide) -> Layout:
    """What a run consists of, and is to consist of.

    Args:
        training: of all members.
        workdir: the run directory, which holds a run.
        divide: makes parts of members that no folder is there for.

    Raises:
        ValueError: if the folder holds anything but a part of this training.
    """
    manifest = read_part(workdir).manifest
    members, wanted = manifest.members, training.members.ids
    own = Piece(members[0], members[-1] + 1, False)
    listed = [Piece(first, end, True) for first, end in manifest.parts]
    present = _present(manifest)
    if not present <= {*wanted}:
        check_continuable(load_run(workdir, include_diverged=True), training)
    joining = sorted(_new_pieces(set(wanted) - present, workdir, divide))
    pieces = [own, *listed, *joining]
    unfinished = [piece for piece in pieces if not _is_finished(piece, training, workdir)]
    return Layout(pieces, unfinished, joining)


def check_as_begun(training: Training, workdir: Path) -> None:
    """See that a training is the one that other processes have begun here, if they are not done.

    Only a finished run is given more members or extents by several processes, so that none of them
    takes for a wish what is a mistake in its arguments.

    Raises:
        ValueError: naming what differs.
    """
    manifest = read_part(workdir).manifest
    present = _present(manifest)
    folders = [workdir, *(part_path(workdir, *bounds) for bounds in manifest.parts)]
    growing = {
        member
        for piece in _begun(workdir)
        if not present.intersection(piece.members)
        for member in piece.members
    }
    done = all(
        (folder / MANIFEST).exists() and set(manifest.extents) <= set(read_part(folder).extents)
        for folder in folders
    )
    if done and not growing:
        return
    begun = {"members": sorted(present | growing), "extents": list(manifest.extents)}
    given = {"members": list(training.members.ids), "extents": list(training.extents)}
    if different := config_differences(begun, given):
        raise ValueError(
            f"{workdir} is begun and not finished, all processes need the same members and "
            f"extents until it is; begun -> wanted: {'; '.join(different)}"
        )


def _present(manifest: Manifest) -> set[int]:
    """The members that belong to a run."""
    listed = (range(first, end) for first, end in manifest.parts)
    return {*manifest.members, *itertools.chain.from_iterable(listed)}


def _begun(workdir: Path) -> Iterator[Piece]:
    """The pieces that have a folder of their own."""
    for folder in sorted((workdir / PARTS).glob("*/")):
        if match := _PART.fullmatch(folder.name):
            yield Piece(int(match[1]), int(match[2]), True)


def _new_pieces(missing: Collection[int], workdir: Path, divide: Divide) -> Iterator[Piece]:
    """Pieces of members that the run has not yet: those begun before, and the rest divided."""
    rest = set(missing)
    for piece in _begun(workdir):
        if not rest.intersection(piece.members):
            continue
        if rest.issuperset(piece.members):
            rest.difference_update(piece.members)
            yield piece
        elif (piece.folder(workdir) / MANIFEST).exists():
            raise ValueError(
                f"{workdir} has begun to grow by the members {piece.first}:{piece.end}: ask for "
                f"all of them, or remove {piece.folder(workdir)}"
            )
    for members in _ranges(rest):
        for first, end in divide(members):
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


def split(members: range, num_parts: int) -> list[tuple[int, int]]:
    """First and end of parts as equal as can be, the larger ones first; none is empty.

    >>> split(range(10, 17), 3)
    [(10, 13), (13, 15), (15, 17)]
    """
    size, larger = divmod(len(members), num_parts)
    sizes = [size + 1] * larger + [size] * (num_parts - larger if size else 0)
    ends = list(itertools.accumulate(sizes, initial=members.start))
    return list(itertools.pairwise(ends))


def training_of(piece: Piece, training: Training, workdir: Path) -> Training:
    """The training of a piece of a run that is begun.

    Parts join only if their configs are equal, so they get the fields of the first part.
    """
    own = training.of_members(piece.members)
    fields = read_part(workdir).manifest.config
    config = {name: value for name, value in own.config.items() if name in fields}
    return dataclasses.replace(own, config=config, whole=workdir if piece.further else None)


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

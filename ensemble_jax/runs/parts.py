"""What a run is read from: one folder, or several that hold different members, joined."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_jax.runs.configs import config_differences
from ensemble_jax.runs.examples import (
    TRAIN,
    ExampleTable,
    TrainingSets,
    read_examples,
    read_training_sets,
)
from ensemble_jax.runs.layout import CHECKPOINTS, MANIFEST, part_path, record_path
from ensemble_jax.runs.manifest import Manifest, read_manifest
from ensemble_jax.runs.records import read_arrays
from ensemble_jax.runs.writer import finished_extents

# The fields of a config that say which members are trained.
_OF_MEMBERS = ("members", "num_members")
# What a joined run keeps of each of those that it is joined from.
_ORIGIN = (
    "members",
    "plan",
    "plan_reason",
    "devices",
    "versions",
    "python",
    "command",
    "created",
    "sources",
)


@dataclass(frozen=True)
class Part:
    """Members whose records lie in one folder.

    Attributes:
        directory: the folder.
        manifest: what it holds.
        extents: the finished extents, ascending.
    """

    directory: Path
    manifest: Manifest
    extents: tuple[int, ...]

    def read(self, extent: int, name: str) -> np.ndarray:
        """One array of an extent's record.

        Raises:
            ValueError: if the record is damaged or not that of the manifest.
        """
        path = record_path(self.directory, extent)
        (array,) = read_arrays(path, extent, [name], self.manifest)
        return array

    @property
    def checkpoints(self) -> Path:
        """The folder of the training states, which need not be there."""
        return self.directory / CHECKPOINTS

    def diverged_members(self) -> dict[int, int]:
        """The earliest epoch in which each member diverged, by id.

        Raises:
            ValueError: if a record is damaged.
        """
        diverged = {}
        for extent in self.extents:
            try:
                epochs = self.read(extent, "diverged_at")
            except ValueError as error:
                raise ValueError(
                    f"{error}; without this file the other extents can be read"
                ) from error
            for row in np.flatnonzero(epochs >= 0):
                diverged.setdefault(self.manifest.members[int(row)], int(epochs[row]))
        return diverged

    def training_sets(self) -> TrainingSets | None:
        """What each member is trained on; None if that is the whole split with its own labels.

        Raises:
            ValueError: if the file is damaged or is not that of the manifest.
        """
        return read_training_sets(self.directory, self.manifest)


def read_part(directory: Path) -> Part:
    """The members whose records lie in the folder itself.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it is not a run, is broken or was written in a newer format.
    """
    manifest = read_manifest(directory)
    return Part(directory, manifest, finished_extents(directory, manifest))


def read_parts(directory: Path) -> tuple[Part, ...]:
    """The folder's own members and, after them, those of the folders that belong to it.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it is not a run, or a part is missing, broken or of another run.
    """
    own = read_part(directory)
    further = []
    for first, end in own.manifest.parts:
        folder = part_path(directory, first, end)
        if not (folder / MANIFEST).exists():
            raise ValueError(
                f"{directory} lacks its part {folder.relative_to(directory)}: it is lost or not "
                f"begun yet; the command that trains the run makes it"
            )
        part = read_part(folder)
        if list(part.manifest.members) != list(range(first, end)):
            raise ValueError(f"{folder} does not hold the members {first}:{end}")
        further.append(part)
    return own, *further


def check_joinable(parts: Sequence[Part], *, ignored: Collection[str] = ()) -> ExampleTable:
    """See that parts differ in nothing but their members; returns what is known of their examples.

    Args:
        parts: at least one.
        ignored: fields of the config and the manifest in which they may differ for the time being.

    Raises:
        ValueError: if two share a member or differ in their config, hyperparameters, data or
            examples.
    """
    first, *others = parts
    examples = read_examples(first.directory, first.manifest.data)
    owner = dict.fromkeys(first.manifest.members, first.directory)
    for other in others:
        pair = f"{first.directory} and {other.directory}"
        configs = [
            _without(part.manifest.config, (*_OF_MEMBERS, *ignored)) for part in (first, other)
        ]
        if different := config_differences(*configs):
            raise ValueError(f"{pair} have different configs: {'; '.join(different)}")
        shared = [_without(_shared(part.manifest), ignored) for part in (first, other)]
        if all(part.manifest.inputs for part in (first, other)):
            for of_part, part in zip(shared, (first, other), strict=True):
                of_part["digests of inputs"] = part.manifest.inputs
        if different := config_differences(*shared):
            raise ValueError(f"{pair} differ: {'; '.join(different)}")
        of_other = read_examples(other.directory, other.manifest.data)
        for name in examples.ids:
            # A probe has no labels; true ones are in no part that an older version has begun.
            if any(
                name in one and name in two and not np.array_equal(one[name], two[name])
                for one, two in zip(examples, of_other, strict=True)
            ):
                raise ValueError(f"{pair} have different {name} examples")
        again = [member for member in other.manifest.members if member in owner]
        if again:
            raise ValueError(f"{owner[again[0]]} and {other.directory} share members: {again}")
        owner |= dict.fromkeys(other.manifest.members, other.directory)
    return examples


def _without(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _shared(manifest: Manifest) -> dict[str, Any]:
    """What parts have in common beside their config."""
    return {
        "protocol": manifest.protocol,
        "data": vars(manifest.data),
        "extents": manifest.extents,
        "recorded": manifest.recorded,
        "names of hyperparameters": sorted(manifest.hyperparameters),
    }


def joined_manifest(parts: Sequence[Part]) -> Manifest:
    """What the parts are together; one part is what it is.

    The members come in increasing order of their ids, the extents are those that any asked for, and
    for the rest it is the first one's, with the origin of each in `sources`.
    """
    first = parts[0].manifest
    if len(parts) == 1:
        return replace(first, parts=())
    manifests = [part.manifest for part in parts]
    stored = [member for manifest in manifests for member in manifest.members]
    order = sorted(range(len(stored)), key=stored.__getitem__)
    members = [stored[i] for i in order]
    extents = sorted({extent for manifest in manifests for extent in manifest.extents})
    of_all = {"members": members, "num_members": len(members), "extents": extents}
    hyperparameters = {}
    for name in first.hyperparameters:
        values = [value for manifest in manifests for value in manifest.hyperparameters[name]]
        hyperparameters[name] = [values[i] for i in order]
    return replace(
        first,
        config={name: of_all.get(name, value) for name, value in first.config.items()},
        members=members,
        extents=extents,
        hyperparameters=hyperparameters,
        sources=origins((str(part.directory), part.manifest) for part in parts),
        parts=(),
    )


def origins(named: Iterable[tuple[str, Manifest]]) -> list[dict[str, Any]]:
    """What `sources` says of runs, given with their folders."""
    return [
        {"directory": directory} | {name: getattr(manifest, name) for name in _ORIGIN}
        for directory, manifest in named
    ]


def joined_training_sets(parts: Sequence[Part]) -> TrainingSets | None:
    """What the members are trained on, part after part; None if all are on everything.

    Raises:
        ValueError: if a file is damaged or is not that of its manifest.
    """
    sets = [part.training_sets() for part in parts]
    if all(of_part is None for of_part in sets):
        return None
    data = parts[0].manifest.data
    own_labels = read_examples(parts[0].directory, data).labels[TRAIN]
    has_labels = any(s is not None and s.train_labels is not None for s in sets)
    train_mask, train_labels = [], []
    for part, of_part in zip(parts, sets, strict=True):
        shape = (part.manifest.num_members, data.split_sizes[TRAIN])
        known = of_part or TrainingSets(np.ones(shape, bool))
        train_mask.append(known.train_mask)
        labels = own_labels if known.train_labels is None else known.train_labels
        train_labels.append(np.broadcast_to(labels, shape))
    return TrainingSets(
        np.concatenate(train_mask), np.concatenate(train_labels) if has_labels else None
    )

"""Joining runs of different members into one, so that a collection can grow and be split up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ensemble_jax.runs.configs import config_differences
from ensemble_jax.runs.examples import TrainingSets, read_training_sets
from ensemble_jax.runs.files import sync_folder
from ensemble_jax.runs.layout import record_path
from ensemble_jax.runs.lock import locked
from ensemble_jax.runs.manifest import Manifest
from ensemble_jax.runs.reader import Run, load_run
from ensemble_jax.runs.records import SPLIT_QUANTITIES, ExtentRecord, SplitRecord, read_record
from ensemble_jax.runs.writer import RunWriter

# The fields of a config that say which members are trained.
_OF_MEMBERS = ("members", "num_members")
# What a merged run keeps of each of its sources.
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


class _Labelled(NamedTuple):
    """The examples of one split."""

    labels: np.ndarray
    ids: np.ndarray


class _Unlabelled(NamedTuple):
    """The examples of one probe."""

    ids: np.ndarray


def merge_runs(sources: Sequence[str | os.PathLike], destination: str | os.PathLike) -> Run:
    """Join runs that differ in nothing but their members into a new run directory.

    Configs may differ in `members` (the ids) and `num_members` (how many), which become those of
    the merged run. The members come in increasing order of their ids, those that diverged included.
    For the rest the merged run is described as the first source is, with the origin of each in
    `manifest.sources`. It has no checkpoints. Memory: one extent of the merged run.

    It is written beside the destination, as `.NAME.merging`, and renamed when it is complete; a
    merge that was killed can just be repeated, and one at a time makes the same destination.

    Args:
        sources: the run directories, two or more.
        destination: a path that does not exist.

    Raises:
        FileNotFoundError: if a source does not exist.
        ValueError: if the destination exists or is being made, a source is not a run, or the
            sources share a member or differ in their config, settings, data, examples or finished
            extents.
    """
    destination = Path(destination)
    if len(sources) < 2:
        raise ValueError(f"sources must be two or more runs, got {len(sources)}")
    if os.path.lexists(destination):
        raise ValueError(f"destination {destination} already exists: choose another path")
    runs = [load_run(source, include_diverged=True) for source in sources]
    for run in runs[1:]:
        _check_same(runs[0], run)
    _check_disjoint(runs)
    order = np.argsort(np.concatenate([run.members for run in runs]))
    manifest = _merged_manifest(runs, order)
    first = runs[0]
    splits = {split: _Labelled(first.labels[split], first.ids[split]) for split in first.splits}
    probes = {probe: _Unlabelled(first.ids[probe]) for probe in first.probes}
    unfinished = destination.with_name(f".{destination.name}.merging")
    destination.parent.mkdir(parents=True, exist_ok=True)
    with locked(unfinished.with_name(f"{unfinished.name}.lock"), destination):
        if unfinished.exists():
            shutil.rmtree(unfinished)
        try:
            sets = _merged_training_sets(runs, order)
            writer = RunWriter.create(unfinished, manifest, splits, sets, probes)
            for extent in first.extents:
                writer.write_extent(_merged_record(runs, order, extent))
            os.rename(unfinished, destination)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    sync_folder(destination.parent)
    return load_run(destination)


def _check_same(first: Run, other: Run) -> None:
    pair = f"{first.directory} and {other.directory}"
    different = config_differences(_without_members(first), _without_members(other))
    if different:
        raise ValueError(f"{pair} have different configs: {'; '.join(different)}")
    different = config_differences(_shared(first.manifest), _shared(other.manifest))
    if different:
        raise ValueError(f"{pair} differ: {'; '.join(different)}")
    for name, ids in first.ids.items():
        # A probe has no labels, in both.
        same_labels = np.array_equal(first.labels.get(name, ()), other.labels.get(name, ()))
        if not (same_labels and np.array_equal(ids, other.ids[name])):
            raise ValueError(f"{pair} have different {name} examples")
    for one, two in ((first, other), (other, first)):
        missing = sorted(set(two.extents) - set(one.extents))
        if missing:
            raise ValueError(f"{one.directory} lacks the extents {missing} of {two.directory}")


def _without_members(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run.config.items() if name not in _OF_MEMBERS}


def _shared(manifest: Manifest) -> dict[str, Any]:
    """What the runs to merge have in common beside their config."""
    return {
        "protocol": manifest.protocol,
        "data": vars(manifest.data),
        "extents": manifest.extents,
        "names of settings": sorted(manifest.settings),
    }


def _check_disjoint(runs: Sequence[Run]) -> None:
    owner: dict[int, Path] = {}
    for run in runs:
        shared = [m for m in run.manifest.members if m in owner]
        if shared:
            raise ValueError(f"{owner[shared[0]]} and {run.directory} share members: {shared}")
        owner |= dict.fromkeys(run.manifest.members, run.directory)


def _merged_manifest(runs: Sequence[Run], order: np.ndarray) -> Manifest:
    def joined(values: Sequence[Sequence[Any]]) -> list[Any]:
        flat = [value for part in values for value in part]
        return [flat[i] for i in order]

    first = runs[0].manifest
    members = joined([run.manifest.members for run in runs])
    of_members = {"members": members, "num_members": len(members)}
    config = {name: of_members.get(name, value) for name, value in first.config.items()}
    return replace(
        first,
        config=config,
        members=members,
        settings={
            name: joined([run.manifest.settings[name] for run in runs]) for name in first.settings
        },
        sources=[
            {"directory": str(run.directory)}
            | {name: getattr(run.manifest, name) for name in _ORIGIN}
            for run in runs
        ],
    )


def _merged_training_sets(runs: Sequence[Run], order: np.ndarray) -> TrainingSets | None:
    sets = [read_training_sets(run.directory, run.manifest) for run in runs]
    if all(part is None for part in sets):
        return None
    has_labels = any(part is not None and part.taught_labels is not None for part in sets)
    return TrainingSets(
        np.concatenate([run.trained_on for run in runs])[order],
        np.concatenate([run.taught_labels for run in runs])[order] if has_labels else None,
    )


def _merged_record(runs: Sequence[Run], order: np.ndarray, extent: int) -> ExtentRecord:
    records = [
        read_record(record_path(run.directory, extent), extent, run.manifest) for run in runs
    ]

    def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts)[order]

    splits = {
        split: SplitRecord(
            *(
                joined([getattr(r.splits[split], name) for r in records])
                for name in SPLIT_QUANTITIES
            )
        )
        for split in runs[0].splits
    }
    return ExtentRecord(
        extent,
        splits,
        joined([record.diverged_at for record in records]),
        # The sources were trained one after another or on different machines: no speed in common.
        float("nan"),
        {probe: joined([r.probes[probe] for r in records]) for probe in runs[0].probes},
    )

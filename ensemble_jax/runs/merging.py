"""Joining runs of different members into one, so that a collection can grow and be split up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ensemble_jax.runs.examples import TrainingSets
from ensemble_jax.runs.files import sync_folder
from ensemble_jax.runs.lock import check_lock, locked
from ensemble_jax.runs.manifest import new_run_id
from ensemble_jax.runs.parts import check_joinable, joined_training_sets, origins
from ensemble_jax.runs.reader import Run, join_parts, load_run
from ensemble_jax.runs.writer import RunWriter


class _Labelled(NamedTuple):
    """The examples of one split."""

    labels: np.ndarray
    ids: np.ndarray
    true_labels: np.ndarray | None


class _Unlabelled(NamedTuple):
    """The examples of one probe."""

    ids: np.ndarray


def merge_runs(sources: Sequence[Run | str | os.PathLike], destination: str | os.PathLike) -> Run:
    """Join runs that differ in nothing but their members into a new run directory.

    Runs of several parts may be among them. Configs may differ in `members` (the ids) and
    `num_members` (how many), which become those of the merged run. The members come in increasing
    order of their ids, those that diverged included. For the rest the merged run is described as
    the first source is, with the origin of each in `manifest.sources`. It has no checkpoints.
    Memory: one extent of the merged run.

    It is written beside the destination, as `.NAME.merging`, and renamed when it is complete; a
    merge that was killed can just be repeated, and one at a time makes the same destination.

    Args:
        sources: two or more runs, or their directories.
        destination: a path that does not exist.

    Raises:
        FileNotFoundError: if a source does not exist.
        ValueError: if the destination exists or is being made, a source is not a run, or the
            sources share a member or differ in their config, hyperparameters, data, examples or
            finished extents.
    """
    destination = Path(destination)
    if isinstance(sources, Run | str | os.PathLike):
        raise ValueError(f"sources must be several runs, got {sources!r} alone")
    if len(sources) < 2:
        raise ValueError(f"sources must be two or more runs, got {len(sources)}")
    if os.path.lexists(destination):
        raise ValueError(f"destination {destination} already exists: choose another path")
    directories = [of.directory if isinstance(of, Run) else of for of in sources]
    runs = [load_run(directory, include_diverged=True) for directory in directories]
    parts = [part for run in runs for part in run.parts]
    examples = check_joinable(parts)
    unknown = [str(part.directory) for part in parts if not part.manifest.inputs]
    if unknown:
        print(
            f"of an older version, so whether they have the inputs of the others is not known: "
            f"{', '.join(unknown)}"
        )
    _check_as_far(runs)
    joined = join_parts(destination, parts, examples, include_diverged=True)
    labels, ids, truth = examples
    splits = {s: _Labelled(labels[s], ids[s], truth.get(s)) for s in joined.splits}
    probes = {probe: _Unlabelled(ids[probe]) for probe in joined.probes}
    sets = _training_sets(joined)
    manifest = replace(
        joined.manifest,
        sources=origins((str(run.directory), run.manifest) for run in runs),
        run_id=new_run_id(),
    )
    unfinished = destination.with_name(f".{destination.name}.merging")
    destination.parent.mkdir(parents=True, exist_ok=True)
    lock = unfinished.with_name(f"{unfinished.name}.lock")
    with locked(lock, destination):
        if unfinished.exists():
            shutil.rmtree(unfinished)
        try:
            writer = RunWriter.create(unfinished, manifest, splits, sets, probes)
            for extent in joined.extents:
                writer.write_extent(joined.record(extent))
            check_lock(lock)
            os.rename(unfinished, destination)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    sync_folder(destination.parent)
    return load_run(destination)


def _check_as_far(runs: Sequence[Run]) -> None:
    first, *others = runs
    for other in others:
        for one, two in ((first, other), (other, first)):
            missing = sorted(set(two.extents) - set(one.extents))
            if missing:
                raise ValueError(f"{one.directory} lacks the extents {missing} of {two.directory}")


def _training_sets(joined: Run) -> TrainingSets | None:
    """What each member is trained on, in the order of the members; None if all have all."""
    sets = joined_training_sets(joined.parts)
    if sets is None:
        return None
    has_labels = sets.train_labels is not None
    return TrainingSets(joined.train_mask, joined.train_labels if has_labels else None)

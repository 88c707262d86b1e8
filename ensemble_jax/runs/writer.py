"""Writing a run, so that it is complete and readable whenever the process or the machine stops."""

from __future__ import annotations

import errno
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ensemble_jax.extent import ExtentRecord
from ensemble_jax.runs.configs import config_differences
from ensemble_jax.runs.examples import (
    LabelledExamples,
    NamedExamples,
    TrainingSets,
    example_arrays,
    training_set_arrays,
)
from ensemble_jax.runs.files import (
    append_file,
    check_own_folders,
    npz_content,
    publish_file,
    replace_file,
    stage_file,
    staged_path,
    sync_folder,
)
from ensemble_jax.runs.layout import (
    CHECKPOINTS,
    EXAMPLES,
    FIGURES,
    LOCK,
    MANIFEST,
    METRICS,
    PARTS,
    RECORDS,
    record_path,
)
from ensemble_jax.runs.lock import check_lock, is_locked, locked
from ensemble_jax.runs.manifest import (
    Manifest,
    format_manifest,
    library_versions,
    read_manifest,
    utc_now,
)
from ensemble_jax.runs.metrics import metrics_line
from ensemble_jax.runs.records import record_arrays

_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)
# What a run's bits depend on beside its config, data and plan.
_DECIDES_BITS = ("versions", "python", "environment")
# What a creation that was killed can leave behind.
_UNFINISHED = {
    staged_path(Path(MANIFEST)).name,
    EXAMPLES,
    staged_path(Path(EXAMPLES)).name,
    RECORDS,
}


class RunWriter:
    """Writes the records of a run, one extent at a time.

    Use `RunWriter.create` for a new run and `RunWriter.open` to go on with one. One process writes
    a run at a time, which `lock_run` sees to; any number may read it meanwhile.

    Attributes:
        directory: where the run lies.
        manifest: what the run is.
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self.manifest = manifest
        # The extents that metrics.jsonl holds; None where an interrupted write makes that unsure.
        self._metrics_extents: list[int] | None = []

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike,
        manifest: Manifest,
        splits: Mapping[str, LabelledExamples],
        training_sets: TrainingSets | None = None,
        probes: Mapping[str, NamedExamples] = MappingProxyType({}),
    ) -> RunWriter:
        """Make a new run directory.

        `run.json` comes last, so a folder is a run only when everything else is there. A creation
        that was killed before can be repeated on the same folder.

        Args:
            directory: a path that does not exist, or an empty folder.
            manifest: what the run is.
            splits: labels and ids of the examples, for example `dataset.splits`.
            training_sets: what each member is trained on; None for the whole split `train`.
            probes: ids of the examples that have no labels, for example `dataset.probes`.

        Raises:
            ValueError: if the folder holds a run or anything else, if it may not be written, or if
                the examples are not those of the manifest.
            OSError: if the disk is full; the folder is then left empty.
        """
        directory = Path(directory)
        text = format_manifest(manifest)
        arrays = example_arrays(splits, probes, manifest.data)
        if training_sets is not None:
            arrays |= training_set_arrays(training_sets, manifest)
        examples = npz_content(arrays)
        claim_folder(directory)
        check_lock(directory / LOCK)
        with _told_if_not_writable(directory):
            _fill_folder(directory, text.encode(), examples)
        return cls(directory, manifest)

    @classmethod
    def open(cls, directory: str | os.PathLike) -> RunWriter:
        """Go on with a run, after removing what an interrupted write has left.

        `metrics.jsonl` is made anew from the records, so a torn or missing line heals.

        Raises:
            FileNotFoundError: if there is no such folder.
            ValueError: if it is not a run, is broken, or was written in a newer format.
        """
        directory = Path(directory)
        writer = cls(directory, read_manifest(directory))
        check_lock(directory / LOCK)
        for path in (directory / MANIFEST, directory / EXAMPLES, directory / METRICS):
            staged_path(path).unlink(missing_ok=True)
        for extent in writer.manifest.extents:
            staged_path(record_path(directory, extent)).unlink(missing_ok=True)
        writer._write_all_metrics()
        writer._metrics_extents = list(writer.extents)
        return writer

    @property
    def extents(self) -> tuple[int, ...]:
        """The extents that are written, ascending."""
        return finished_extents(self.directory, self.manifest)

    def ask_for(self, extents: Sequence[int]) -> None:
        """Ask for other extents from now on, in the config, too; what is finished must stay.

        `run.json` is replaced as a whole.

        Raises:
            ValueError: if a finished extent is not among them, or they are not ascending.
            OSError: if the disk is full; the extents are then those before.
        """
        _check_kept(self.directory, self.extents, extents)
        config = {**self.manifest.config, "extents": extents}
        self._replace_manifest(replace(self.manifest, config=config, extents=extents))

    def add_parts(self, parts: Sequence[Sequence[int]]) -> None:
        """Let further parts belong to the run: from now on readers join them.

        Args:
            parts: the first member and the end of each, whose folder is `part_path`.

        Raises:
            ValueError: if a member is in the run already.
            OSError: if the disk is full; the run is then as before.
        """
        both = sorted(map(tuple, [*self.manifest.parts, *parts]))
        self._replace_manifest(replace(self.manifest, parts=both))

    def note_continuation(self, environment: Mapping[str, str]) -> list[str]:
        """Record with what the run is continued, where that is not what it was before.

        Returns the differences, a line `name: before -> now` for each.

        Args:
            environment: as in `Manifest`.

        Raises:
            OSError: if the disk is full; the run is then as before.
        """
        manifest = self.manifest
        before = {name: getattr(manifest, name) for name in _DECIDES_BITS}
        if manifest.continuations:
            before = {name: manifest.continuations[-1][name] for name in _DECIDES_BITS}
        now = {
            "versions": library_versions(),
            "python": platform.python_version(),
            "environment": environment,
        }
        # An environment of no variables has no field to differ in.
        differences = config_differences(
            *({k: v for k, v in x.items() if v} for x in (before, now))
        )
        if differences:
            entry = {"created": utc_now(), **now}
            self._replace_manifest(
                replace(manifest, continuations=[*manifest.continuations, entry])
            )
        return differences

    def _replace_manifest(self, manifest: Manifest) -> None:
        check_lock(self.directory / LOCK)
        with _told_if_not_writable(self.directory):
            replace_file(self.directory / MANIFEST, format_manifest(manifest).encode())
        self.manifest = manifest

    def write_extent(self, record: ExtentRecord) -> None:
        """Write the record of an extent, then its line of metrics.

        A record that exists is replaced as a whole: a run resumed from a checkpoint older than its
        last record computes that extent again, to the same bits on the same kind of device but at
        another speed.

        Raises:
            ValueError: if the run did not ask for the extent, or a split, probe, shape, type or
                value is not what the manifest says.
            OSError: if the disk is full; every record is then still whole, the old or the new,
                and the call can be repeated.
            LostLockError: if the folder is no longer the one that this process has locked.
        """
        arrays = record_arrays(record, self.manifest)
        path = record_path(self.directory, record.extent)
        check_lock(self.directory / LOCK)
        replace_file(path, npz_content(arrays))
        before = [extent for extent in self.extents if extent < record.extent]
        append, self._metrics_extents = self._metrics_extents == before, None
        if append:
            self._append_metrics(record.extent)
        else:
            self._write_all_metrics()
        self._metrics_extents = list(self.extents)

    def _append_metrics(self, extent: int) -> None:
        line = metrics_line(record_path(self.directory, extent), extent, self.manifest)
        append_file(self.directory / METRICS, line)

    def _write_all_metrics(self) -> None:
        lines = (
            metrics_line(record_path(self.directory, extent), extent, self.manifest)
            for extent in self.extents
        )
        replace_file(self.directory / METRICS, b"".join(lines))


def finished_extents(directory: Path, manifest: Manifest) -> tuple[int, ...]:
    """The extents asked for whose record is there, ascending."""
    return tuple(e for e in manifest.extents if record_path(directory, e).exists())


def _check_kept(directory: Path, finished: Sequence[int], extents: Sequence[int]) -> None:
    lost = sorted(set(finished) - set(extents))
    if lost:
        raise ValueError(
            f"extents must hold all that are finished in {directory}, {list(finished)}, "
            f"got {list(extents)}"
        )


@contextmanager
def lock_run(directory: Path) -> Iterator[None]:
    """Keep other processes from writing this run; see `locked` for what it takes.

    Raises:
        ValueError: if another process writes it, or it may not be written.
    """
    # What is done within has its own answers to a folder that cannot be written.
    with ExitStack() as stack:
        with _told_if_not_writable(directory):
            stack.enter_context(locked(directory / LOCK, directory))
            _sweep(directory)
        yield


def _sweep(directory: Path) -> None:
    """Remove what kills have left: half a checkpoint, or a file that was to take a place.

    The staged manifest says what a creation was to become, and is its own to remove.
    """
    check_own_folders(directory)
    for path in (directory / CHECKPOINTS).glob("*.orbax-checkpoint-tmp*"):
        shutil.rmtree(path)
    staged = [*directory.glob(".*.tmp"), *(directory / FIGURES).glob(".*.tmp")]
    for path in staged:
        if path.name != staged_path(Path(MANIFEST)).name:
            path.unlink(missing_ok=True)


def is_being_written(directory: Path) -> bool | None:
    """Whether a process holds `lock_run`; None where the file system has no locks."""
    return is_locked(directory / LOCK)


def claim_folder(directory: Path) -> None:
    """Make the folder of a new run, or see that it may be used.

    Folders of parts may be there that other processes have only locked yet.

    Raises:
        ValueError: if it holds a run or anything else, or cannot be made.
        OSError: if the disk is full.
    """
    with _told_if_not_writable(directory):
        directory.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in directory.iterdir()} - {LOCK}
        if all(p.name == LOCK or p.is_dir() for p in (directory / PARTS).rglob("*")):
            names -= {PARTS}
    if MANIFEST in names:
        raise ValueError(f"{directory} already holds a run: resume it or choose another directory")
    unfinished = staged_path(Path(MANIFEST)).name in names and names <= _UNFINISHED
    if names and not unfinished:
        raise ValueError(
            f"{directory} is not empty and not a run (it holds {min(names)}): "
            f"choose another directory"
        )
    with _told_if_not_writable(directory):
        sync_folder(directory.parent)


@contextmanager
def _told_if_not_writable(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            raise ValueError(f"cannot write a run at {directory}: {error.strerror}") from error
        raise


def _fill_folder(directory: Path, manifest: bytes, examples: bytes) -> None:
    """Write everything that a run has before its first extent, or nothing."""
    try:
        # The staged manifest marks the folder as a creation under way until it is published.
        stage_file(directory / MANIFEST, manifest)
        replace_file(directory / EXAMPLES, examples)
        (directory / RECORDS).mkdir(exist_ok=True)
        publish_file(directory / MANIFEST)
    except BaseException:
        _empty_folder(directory)
        raise


def _empty_folder(directory: Path) -> None:
    """Remove what a failed creation has written, as far as that is possible."""
    with suppress(OSError):
        (directory / MANIFEST).unlink(missing_ok=True)
        (directory / EXAMPLES).unlink(missing_ok=True)
        staged_path(directory / EXAMPLES).unlink(missing_ok=True)
        if (directory / RECORDS).exists():
            (directory / RECORDS).rmdir()
        # Last, since it is what says that the rest is nobody else's.
        staged_path(directory / MANIFEST).unlink(missing_ok=True)

"""`run.json`: what a run is, complete enough to repeat it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shlex
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ensemble_jax.options import Protocol, recorded_of_sets
from ensemble_jax.runs.configs import format_config, plain_value
from ensemble_jax.runs.files import check_own_folders, read_regular
from ensemble_jax.runs.layout import FORMAT_VERSION, KIND, MANIFEST
from ensemble_jax.version import __version__

# Names that are part of names of files, and so must not lead elsewhere.
MOST_MEMBERS = 10**6
"""The members that a run can have, those of its further parts included."""
# Of `run.json`; a million members have 30 MB.
_MOST_BYTES = 1 << 28
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# The first format in which what differs between members has this name.
_WITH_HYPERPARAMETERS = 5
_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def _make_plain(instance: Manifest | DataSummary) -> None:
    """What is written is then equal to what is read, and nobody else can change it.

    Raises:
        ValueError: if a field is not of its kind.
    """
    for name, value in vars(instance).items():
        if not isinstance(value, DataSummary):
            plain = plain_value(value, name)
            _checked(name, plain, _KINDS[name])
            object.__setattr__(instance, name, plain)


def _checked(name: str, value: Any, kind: Any) -> Any:
    """A plain value, if it is of a kind: text, an integer, lists of a kind or mappings to one.

    Args:
        name: of the field, for messages.
        value: of it.
        kind: `str` or `int`; None for whatever is plain; `[kind]` or `{"": kind}`.

    Raises:
        ValueError: if it is not.
    """
    if kind is None:
        return value
    outer = kind if isinstance(kind, type) else type(kind)
    if type(value) is not outer:
        raise ValueError(f"{name} must be of type {outer.__name__}, got {str(value)[:80]!r}")
    if kind and not isinstance(kind, type):
        (inner,) = kind.values() if isinstance(kind, dict) else kind
        for item in value.values() if isinstance(value, dict) else value:
            _checked(name, item, inner)
    return value


# What the fields of `DataSummary` and `Manifest` are; of lists and mappings also what they hold.
_KINDS: dict[str, Any] = {
    "name": str,
    "class_names": [str],
    "split_sizes": {"": int},
    "input_shape": [int],
    "probe_sizes": {"": int},
    "config": {"": None},
    "members": [int],
    "extents": [int],
    "hyperparameters": {"": [None]},
    "plan": {"": None},
    "protocol": str,
    "devices": [str],
    "versions": {"": str},
    "python": str,
    "command": str,
    "created": str,
    "sources": [{"": None}],
    "parts": [[int]],
    "plan_reason": str,
    "normalisation": {"": None},
    "recorded": {"": [str]},
    "inputs": {"": str},
    "run_id": str,
    "prng": str,
    "environment": {"": str},
    "continuations": [{"": None}],
}


@dataclass(frozen=True)
class DataSummary:
    """The data set that the members of a run learn.

    Attributes:
        name: what the user asked for.
        class_names: one name for each label, in the order of the labels; their number is K.
        split_sizes: the number of examples M of each split, in the order in which they are written.
        input_shape: the shape of one example.
        probe_sizes: the number of examples M of each probe, which has no labels.
    """

    name: str
    class_names: Sequence[str]
    split_sizes: Mapping[str, int]
    input_shape: Sequence[int]
    probe_sizes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _make_plain(self)
        if not self.class_names:
            raise ValueError(f"{self.name}: class_names must name at least one class")
        if not self.split_sizes:
            raise ValueError(f"{self.name}: split_sizes must name at least one split")
        for kind, sizes in (("split", self.split_sizes), ("probe", self.probe_sizes)):
            for name, size in sizes.items():
                if not _NAME.fullmatch(name):
                    raise ValueError(
                        f"{self.name}: the name of a {kind} must be of letters, digits, '_', '-' "
                        f"and '.', got {name!r}"
                    )
                if size < 1:
                    raise ValueError(f"{self.name}: {kind} {name} must not be empty, got {size}")
        both = self.split_sizes.keys() & self.probe_sizes.keys()
        if both:
            raise ValueError(f"{self.name}: {min(both)} must not be both a split and a probe")

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def sizes(self) -> Mapping[str, int]:
        """The number of examples M of every split and, after them, every probe."""
        return {**self.split_sizes, **self.probe_sizes}


def library_versions() -> dict[str, str]:
    """The versions of this library and of those that decide its results, where installed."""
    versions = {"ensemble_jax": __version__}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def command_line() -> str:
    """The command of this process, without the place of the code or of Python.

    A module or package that is run by `python -m` is named as it was there, a program that is no
    file of Python, such as the console script `ensemble-jax`, by its name alone.
    """
    spec = sys.modules["__main__"].__spec__
    name = Path(sys.argv[0]).name
    if spec:
        program = ["python", "-m", spec.name.removesuffix(".__main__")]
    else:
        program = ["python", name] if name.endswith(".py") else [name]
    return shlex.join([*program, *sys.argv[1:]])


def new_run_id() -> str:
    """What a run is told by from all others."""
    return uuid.uuid4().hex


def utc_now() -> str:
    """The time, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Manifest:
    """What a run is, in plain values: dicts, lists, text, finite numbers, booleans, None.

    Tuples, ranges and arrays become lists.

    Attributes:
        config: the effective config, nested.
        data: the data set.
        members: the id of each member, in the order of the axis N of every record.
        extents: the extents asked for, ascending.
        hyperparameters: what differs between members: `[N]` values by name, among them their
            seeds and, where they have one, their part of the training set.
        plan: the execution plan.
        protocol: `trajectory` (one collection measured at every extent) or `independent` (a fresh
            collection for each extent).
        devices: what the run is computed on, in words.
        versions: the libraries' versions.
        python: Python's version.
        command: the command line.
        created: the time in UTC, ISO 8601.
        sources: for a merged run, what each of its sources was, for one of several parts, what each
            of these is; else empty.
        parts: the first member and the end of each further part of the run, ascending: a range of
            members whose records lie in a folder of their own, see `part_path`.
        plan_reason: why that plan, in a few words.
        normalisation: `mean` and `std` of the training examples, by which inputs are normalised;
            absent in runs of format 3 and older.
        recorded: the quantities of every example that extents hold beside predictions, in the order
            and by the names of `options.Quantity`, for splits and probes that have any.
        inputs: a digest of everything that training and evaluation read, by its name; absent in
            runs of format 3 and older.
        run_id: of this run alone, which its records and checkpoints bear; empty in runs of format 4
            and older, whose records say nothing.
        prng: how members draw random numbers, in JAX's words.
        environment: options of JAX and its compilers that can change results and were not as they
            are by default.
        continuations: for each time that it was continued with other versions or another
            environment, `created`, `versions`, `python` and `environment` from then on.
    """

    config: Mapping[str, Any]
    data: DataSummary
    members: Sequence[int]
    extents: Sequence[int]
    hyperparameters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = "trajectory"
    devices: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=library_versions)
    python: str = field(default_factory=platform.python_version)
    command: str = field(default_factory=command_line)
    created: str = field(default_factory=utc_now)
    sources: Sequence[Mapping[str, Any]] = ()
    parts: Sequence[Sequence[int]] = ()
    plan_reason: str = ""
    normalisation: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    run_id: str = field(default_factory=new_run_id)
    prng: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    continuations: Sequence[Mapping[str, Any]] = ()
    recorded: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _make_plain(self)
        if not self.members or min(self.members) < 0 or len(set(self.members)) < self.num_members:
            raise ValueError(
                f"members must be distinct ids of at least 0, got {list(self.members)}"
            )
        if (
            not self.extents
            or min(self.extents) < 0
            or list(self.extents) != sorted(set(self.extents))
        ):
            raise ValueError(
                f"extents must be ascending epochs of at least 0, got {list(self.extents)}"
            )
        for name, values in self.hyperparameters.items():
            if len(values) != self.num_members:
                raise ValueError(
                    f"hyperparameters: {name} must have one value for each of the "
                    f"{self.num_members} members, got {len(values)}"
                )
        protocols = [known.value for known in Protocol]
        if self.protocol not in protocols:
            raise ValueError(
                f"protocol must be one of {', '.join(protocols)}, got {self.protocol!r}"
            )
        self._check_recorded()
        self._check_parts()

    def _check_recorded(self) -> None:
        texts = [f"{quantity}:{name}" for name, some in self.recorded.items() for quantity in some]
        known = recorded_of_sets(texts, self.data.split_sizes, self.data.probe_sizes)
        for name, some in self.recorded.items():
            if list(some) != [quantity.value for quantity in known.get(name, ())]:
                raise ValueError(f"recorded of {name} must be in order, got {list(some)}")

    def _check_parts(self) -> None:
        ends = [0, *(bound for part in self.parts for bound in part)]
        of_two = all(len(part) == 2 and part[0] < part[1] for part in self.parts)
        if (
            not of_two
            or ends != sorted(ends)
            or any(first <= m < end for m in self.members for first, end in self.parts)
        ):
            raise ValueError(
                f"parts must be ascending ranges [first, end] of members that are no others of the "
                f"run, got {list(self.parts)}"
            )
        count = len(self.members) + sum(end - first for first, end in self.parts)
        if count > MOST_MEMBERS:
            raise ValueError(f"a run has at most {MOST_MEMBERS} members, got {count}")

    @property
    def num_members(self) -> int:
        """N."""
        return len(self.members)

    def changed_inputs(self, digests: Mapping[str, str], where: object) -> list[str]:
        """The names of those inputs that are not what the run was trained and evaluated on.

        Where the run does not know, which is told, there are none.

        Args:
            digests: of some of what is read now, as in `inputs`.
            where: the run lies, for the message.
        """
        if not self.inputs:
            print(f"{where} is of an older version: whether its inputs have changed is not known")
            return []
        return [name for name, digest in digests.items() if self.inputs.get(name) != digest]


def format_manifest(manifest: Manifest) -> str:
    """The text of `run.json`."""
    content = vars(manifest) | {"data": vars(manifest.data)}
    return format_config({"kind": KIND, "format": FORMAT_VERSION} | content) + "\n"


def read_manifest(directory: Path) -> Manifest:
    """Read `run.json`.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it is not a run, is broken, or was written in a newer format.
    """
    path = directory / MANIFEST
    if not directory.exists():
        raise FileNotFoundError(f"no run at {directory}: the path does not exist")
    if not os.path.lexists(path):
        raise ValueError(f"{directory} is not a run: it has no {MANIFEST}")
    check_own_folders(directory)
    try:
        content = json.loads(read_regular(path, _MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is broken: {error}") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ValueError(f"{directory} is not a run: its {MANIFEST} is not of kind {KIND!r}")
    version = content.get("format")
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"{path} is broken: format must be a positive integer, got {version!r}")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{directory} was written in format {version}, this ensemble_jax {__version__} reads "
            f"formats up to {FORMAT_VERSION}: upgrade ensemble_jax to read it"
        )
    try:
        values: dict[str, Any] = {k: v for k, v in content.items() if k not in ("kind", "format")}
        values["data"] = DataSummary(**_checked("data", values["data"], {}))
        if version < _WITH_HYPERPARAMETERS:
            values["hyperparameters"] = values.pop("settings")
        values.setdefault("run_id", "")
        return Manifest(**values)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is broken: {error}") from error

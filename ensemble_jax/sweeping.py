"""Sweeps: collections of several settings, trained one after another and compared.

`sweep` is the verb. Settings that differ in no shape are trained together, as members of one
collection: `Collection` says which.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np

from ensemble_jax.data import Dataset
from ensemble_jax.describing import plain_text
from ensemble_jax.membership import MEMBER_ARGUMENTS, Members, concatenate, on_dataset, varied
from ensemble_jax.membership import members as make_members
from ensemble_jax.task import Training, make_training
from ensemble_jax.trainer import run_training, tell_diverged, train

if TYPE_CHECKING:
    from ensemble_jax.report.sweep_report import Sweep

_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(train).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("members", "workdir", "launcher")
}
# What a program or the data depend on. Members that differ in it make another collection.
_SHAPING_OPTIONS = (
    "optimizer",
    "loss",
    "batch_size",
    "augment",
    "normalise",
    "pool_images",
    "evaluation_batch_size",
    "precision",
)
# The arguments of `members` in which those of one collection may differ.
_PER_MEMBER = ("seed", "tied", "label_noise")
_COMBINATIONS: Mapping[str, Callable[..., Iterator[tuple]]] = {
    "grid": itertools.product,
    "list": functools.partial(zip, strict=True),
}


class Collection(NamedTuple):
    """What one compiled step of a sweep trains.

    Attributes:
        name: by what it differs from the other collections, such as `batch_size=50`.
        training: of the members of all its settings.
        positions: of its settings among all of the sweep.
    """

    name: str
    training: Training
    positions: Sequence[int]


def sweep(
    network: Any,
    data: Any,
    *,
    grid: Mapping[str, Sequence[Any] | Mapping[str, Any]],
    members: Members | int = 5,
    combination: str = "grid",
    workdir: str | Path | None = None,
    **options: Any,
) -> Sweep:
    """Train a collection for each of several settings and compare them.

    Settings that differ in nothing but numbers of members (learning rate, weight decay,
    `dropout_scale`, seed, ...) are trained together, as members of one collection in one compiled
    step; what changes a shape, a program or the data makes a collection of its own. Every setting
    has the same members. The same call with the same `workdir` continues.

    >>> import ensemble_jax as ej
    >>> swept = ej.sweep(
    ...     "fully_connected", "digits", grid={"learning_rate": [0.01, 0.1]}, members=2,
    ...     optimizer="sgd", extents=(0,), plan="default,num_devices=1",
    ... )  # doctest: +SKIP
    >>> swept.scores[1].accuracies["test"].shape  # doctest: +SKIP
    (1, 2)

    Args:
        network: as `train` has it; or a function of names in the grid that returns such a network,
            for example `lambda width: Net(width)`, or that of `rngs` besides, which returns a
            `flax.nnx` module. A class whose fields are in the grid will do as well.
        data: as `train` has it; or a function of names in the grid that returns a `Dataset`.
        grid: the values of everything that varies, by its name: arguments of `network` or `data`;
            `optimizer`, `loss`, `batch_size`, `augment`, `normalise`, `pool_images`,
            `precision` and `evaluation_batch_size` of `train`; `seed`, `tied`, `label_noise`,
            `partitions`, `folds` and `subset_fraction` of `members`; and hyperparameters, which are
            numbers that optimizer or loss read, and `dropout_scale`. Values that have no short name
            of their own, such as functions, are given as a dict by their names.
        members: N of each setting, or `members(N, ...)` with what is the same in all settings.
        combination: `grid` trains every combination of the values, `list` the first value of each
            name together, then the second, and so on.
        workdir: the folder of the runs, of `sweep.csv` and of the figure; None for a temporary one
            that is removed with the object returned.
        **options: everything else that `train` takes.

    Returns:
        The finished sweep, with its runs, scores and tables.

    Raises:
        ValueError: before anything is compiled, naming what was given and what is allowed; or as
            `train` does.
        OSError, Interrupted: as `train` does.
    """
    settings = _settings(grid, combination)
    collections = list(_collections(network, data, settings, members, options))
    _check_batches(collections, data)
    temporary = None
    if workdir is None:
        temporary = tempfile.TemporaryDirectory(prefix="ensemble_jax-", ignore_cleanup_errors=True)
        workdir = Path(temporary.name, "sweep")
    named = [{name: shown for name, (shown, _) in setting.items()} for setting in settings]
    swept = run_sweep(named, collections, Path(workdir))
    swept.write()
    if temporary is not None:
        weakref.finalize(swept, temporary.cleanup)
    return swept


def run_sweep(
    settings: Sequence[Mapping[str, Any]], collections: Sequence[Collection], workdir: Path
) -> Sweep:
    """Train every collection, or continue; each in a folder of its own.

    Args:
        settings: what varied, a value by name for each setting.
        collections: of which each setting is in one.
        workdir: where the folders are.

    Raises:
        ValueError, OSError, Interrupted: as `run_training` does.
    """
    from ensemble_jax.report.sweep_report import Sweep  # Matplotlib loads slowly

    print(f"{len(settings)} settings in {len(collections)} collections")
    runs, places = [], {}
    for number, (name, training, positions) in enumerate(collections):
        print(f"collection {number + 1} of {len(collections)}: {name}", flush=True)
        run = run_training(training, workdir / folder_name(name))
        tell_diverged(run)
        runs.append(run)
        places |= {position: (number, index) for index, position in enumerate(positions)}
    return Sweep(workdir, settings, runs, [places[position] for position in range(len(settings))])


def group_settings(shaping: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """The positions of the settings that one compiled step can train, by a name of the group.

    >>> group_settings([{"batch_size": 50}, {"batch_size": 50}, {"batch_size": 100}])
    {'batch_size=50': [0, 1], 'batch_size=100': [2]}

    Args:
        shaping: of each setting the values of what changes shapes, programs or data.
    """
    found: dict[str, list[int]] = {}
    for position, values in enumerate(shaping):
        name = ",".join(f"{field}={plain_text(value)}" for field, value in values.items())
        found.setdefault(name or "all", []).append(position)
    return found


def folder_name(name: str) -> str:
    """A collection's name as that of one folder, whatever it holds.

    >>> folder_name("model=st_vgg,dataset=npz:../own.npz")
    'model=st_vgg,dataset=npz%3A..%2Fown.npz'
    """
    return quote(name, safe="=,+.-_")


_Setting = Mapping[str, tuple[Any, Any]]  # by name what a value is called, and the value


def _settings(grid: Any, combination: str) -> list[_Setting]:
    """The settings that a grid makes."""
    if combination not in _COMBINATIONS:
        raise ValueError(f"combination must be {' or '.join(_COMBINATIONS)}, got {combination!r}")
    if not isinstance(grid, Mapping) or not grid:
        raise ValueError(
            f"grid must name at least one option with its values, such as "
            f"{{'learning_rate': [0.01, 0.1]}}, got {grid!r}"
        )
    columns = {name: _column(name, values) for name, values in grid.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if combination == "list" and len(set(lengths.values())) > 1:
        raise ValueError(f"grid: with combination list all need as many values, got {lengths}")
    combined = _COMBINATIONS[combination](*columns.values())
    return [dict(zip(columns, values, strict=True)) for values in combined]


def _column(name: str, values: Any) -> list[tuple[Any, Any]]:
    """The values of one option, with what each is called."""
    if isinstance(values, Mapping):
        column = list(values.items())
    elif isinstance(values, Sequence | np.ndarray) and not isinstance(values, str):
        plain = values.tolist() if isinstance(values, np.ndarray) else values
        simple = (str, bool, int, float, tuple, list, type(None))
        column = [(v if isinstance(v, simple) else plain_text(v), v) for v in plain]
    else:
        raise ValueError(f"grid: {name} must have several values, got {values!r}")
    if not column:
        raise ValueError(f"grid: {name} must have at least one value, got {values!r}")
    names = [plain_text(shown) for shown, _ in column]
    if len(set(names)) < len(names):
        raise ValueError(
            f"grid: the values of {name} must differ, got {', '.join(names)}: give those that "
            f"have no names of their own as a dict by names"
        )
    return column


def _collections(
    network: Any,
    data: Any,
    settings: Sequence[_Setting],
    members: Members | int,
    options: Mapping[str, Any],
) -> Iterator[Collection]:
    """What is trained, checked as `train` checks it."""
    of_objects = {*_arguments(network), *_arguments(data)} & settings[0].keys()
    _check_names(settings[0], of_objects, options)
    hyperparameters = [
        name
        for name in settings[0]
        if name not in {*of_objects, *_SHAPING_OPTIONS, *MEMBER_ARGUMENTS}
    ]
    shared = [name for name in settings[0] if name in {*_PER_MEMBER, *hyperparameters}]
    if not isinstance(members, Members):
        members = make_members(members, learning_rate=1e-3)
    values = _in_one_type(settings, hyperparameters)
    shaping = [
        {name: shown for name, (shown, _) in setting.items() if name not in shared}
        for setting in settings
    ]
    for name, positions in group_settings(shaping).items():
        first = values[positions[0]]
        groups = [
            varied(members, {k: values[at][k] for k in first if k in {*MEMBER_ARGUMENTS, *shared}})
            for at in positions
        ]
        training = make_training(
            _bound(network, first),
            _bound(data, first, later=True),
            members=concatenate(groups),
            **{**_DEFAULTS, **options} | {k: first[k] for k in _SHAPING_OPTIONS if k in first},
            must_read=hyperparameters,
        )
        own = [{k: plain_text(settings[at][k][0]) for k in shared} for at in positions]
        config = {**training.config, "settings": own}
        yield Collection(name, dataclasses.replace(training, config=config), positions)


def _check_names(setting: _Setting, of_objects: Iterable[str], options: Mapping[str, Any]) -> None:
    """See that what varies may vary, and that nothing is given twice."""
    fixed = {*inspect.signature(train).parameters} - {*_SHAPING_OPTIONS}
    for name in setting:
        if name in fixed and name not in of_objects:
            raise ValueError(
                f"grid must not name {name}, which is the same in all settings; of what `train` "
                f"takes it may name {', '.join(_SHAPING_OPTIONS)}"
            )
        if name in options:
            raise ValueError(f"{name} must be given in the grid or beside it, got both")
    for name in options:
        if name not in _DEFAULTS:
            raise ValueError(f"options must be of {', '.join(_DEFAULTS)}, got {name!r}")


def _in_one_type(settings: Sequence[_Setting], hyperparameters: Iterable[str]) -> list[dict]:
    """The values of each setting; whole numbers among others are floats as those are."""
    values = [{name: value for name, (_, value) in setting.items()} for setting in settings]
    for name in hyperparameters:
        if any(np.asarray(of[name]).dtype.kind == "f" for of in values):
            for of in values:
                if np.asarray(of[name]).dtype.kind in "iu":
                    of[name] = np.asarray(of[name], np.float64)
    return values


def _arguments(maker: Any) -> dict[str, inspect.Parameter]:
    """The arguments of a function or class that makes a network or data; no others have any."""
    if isinstance(maker, type):  # a class of nnx has the signature of its metaclass
        maker = functools.partial(maker.__init__, None)
    if not (inspect.isroutine(maker) or isinstance(maker, functools.partial)):
        return {}
    return dict(inspect.signature(maker).parameters)


def _bound(maker: Any, values: Mapping[str, Any], later: bool = False) -> Any:
    """What a function makes of those values that it takes; it itself where it takes none.

    Args:
        maker: perhaps a function.
        values: by name.
        later: leave it a function in any case.
    """
    arguments = _arguments(maker)
    given = {name: value for name, value in values.items() if name in arguments}
    if not given:
        return maker
    bound = functools.partial(maker, **given)
    missing = [p for p in arguments.values() if p.default is p.empty and p.name not in given]
    return bound if missing or later else bound()


def _check_batches(collections: Sequence[Collection], data: Any) -> None:
    """See that every collection can be trained on data that are there, before any of them is."""
    if isinstance(data, Dataset):
        for _, training, _ in collections:
            on_dataset(training.members, data, training.batch_size)

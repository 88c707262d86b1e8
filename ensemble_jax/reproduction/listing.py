"""What figures there are, what they need and about how long they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.machine import num_cores
from ensemble_jax.reproduction.estimate import (
    NOMINAL_SPEED,
    SWEEPS,
    describe_seconds,
    estimated_seconds,
    known_work,
    measure_speed,
    speed_of_runs,
)
from ensemble_jax.reproduction.figures import Figure
from ensemble_jax.reproduction.recipes import RECIPES, Scale
from ensemble_jax.reproduction.trainings import Sources, Training, resolve
from ensemble_jax.runs import load_run


def list_briefly(
    figures: Sequence[Figure], scale: Scale, sources: Sources, folder: Path, width: int
) -> Iterator[str]:
    """A line for each figure, and what the lines mean; nothing is measured for it.

    Args:
        figures: those to be listed.
        scale: at which they would be made.
        sources: what the user has.
        folder: where runs are looked for.
        width: characters of a line, of which a longer one is cut.
    """
    speed = NOMINAL_SPEED * num_cores()
    for figure in figures:
        time = _brief(figure, scale, sources, folder, speed)
        line = f"{figure.number:<10}  {time:<19}  {figure.shows}"
        yield line if len(line) <= width else f"{line[: width - 1]}\N{HORIZONTAL ELLIPSIS}"
    yield (
        f"Times are of the scale {scale.value} on {num_cores()} CPU cores; --list --figure=NUMBER "
        f"measures this device, and says what a figure needs and which data are absent."
    )


def _brief(figure: Figure, scale: Scale, sources: Sources, folder: Path, speed: float) -> str:
    """How long what is not yet trained of a figure takes, and whether its data are absent."""
    absent = ""
    work = known_work(SWEEPS, scale) if figure.sweeps is not None else 0.0
    for name in figure.needs(scale):
        training, reason = _resolved(name, scale, sources)
        if reason:
            absent = ", no data"
        if not _is_finished(folder / training.name):
            work += known_work(name, scale)
    return f"{describe_seconds(work / speed)}{absent}" if work else "trained"


def list_figures(
    figures: Sequence[Figure], scale: Scale, sources: Sources, folder: Path
) -> Iterator[str]:
    """Lines for people.

    Args:
        figures: those to be listed.
        scale: at which they would be made.
        sources: what the user has.
        folder: where runs are looked for.
    """
    speed = speed_of_runs(folder.parent.glob("*/*"))
    how = f"the speed of the finished runs in {folder.parent}"
    if speed is None:
        speed, how = measure_speed(), "a short measurement"
    yield (
        f"Scale {scale.value}. Times are estimates for this device, operations of the training "
        f"over {speed / 1e9:.3g} GFLOP/s ({how}). Compiling and drawing come on top."
    )
    for figure in figures:
        yield ""
        yield f"{figure.title}: {figure.shows}"
        total, absent = 0.0, []
        for name in figure.needs(scale):
            training, reason = _resolved(name, scale, sources)
            seconds = estimated_seconds(training.config, speed)
            done = _is_finished(folder / training.name)
            total += 0.0 if done else seconds
            yield f"  {training.name}: {_describe(training)}, {_time(seconds, done)}"
            if training.in_place_of:
                yield f"    in place of {training.in_place_of}: {training.reason}"
            if reason:
                absent.append(reason)
            if figure.sweeps is not None:
                sweeps = figure.sweeps(training.config, scale)
                number = sum(len(sweep.settings) for sweep in sweeps.values())
                of_sweeps = sum(_seconds_of_sweep(sweep, speed) for sweep in sweeps.values())
                total += of_sweeps
                yield (
                    f"  {number} settings of {', '.join(sweeps)}, "
                    f"about {describe_seconds(of_sweeps)}"
                )
        for reason in dict.fromkeys(absent):
            yield f"  absent: {reason}"
        yield f"  about {describe_seconds(total)} to be trained" if total else "  all is trained"


def _resolved(name: str, scale: Scale, sources: Sources) -> tuple[Training, str]:
    """What would be trained, and why it cannot be; empty if it can."""
    recipe = RECIPES[name]
    try:
        return resolve(recipe, scale, sources), ""
    except ValueError as error:
        return Training(recipe.name, recipe.config(scale)), str(error)


def _describe(training: Training) -> str:
    config = training.config
    extents = config.extents
    epochs = ", ".join(map(str, extents))
    if len(extents) > 12:
        epochs = f"{extents[0]}, {extents[1]}, ..., {extents[-1]}"
    part = f", {config.train_fraction:.3g} of its train set" if config.train_fraction < 1 else ""
    parts = f" in {config.partitions} parts" if config.partitions else ""
    return f"{training.title}{part}{parts}, N = {len(config.member_ids)}, epochs {epochs}"


def _time(seconds: float, done: bool) -> str:
    return "trained already" if done else f"about {describe_seconds(seconds)}"


def _is_finished(directory: Path) -> bool:
    return (directory / "run.json").is_file() and load_run(directory).finished


def _seconds_of_sweep(sweep, speed: float) -> float:
    settings: Sequence[TrainConfig] = [sweep.with_values(values) for values in sweep.settings]
    return sum(estimated_seconds(config, speed) for config in settings)

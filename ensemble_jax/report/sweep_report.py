"""What a sweep shows: accuracy and bimodality of every setting, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ensemble_jax.analysis import accuracy_from_bits, bimodality, consistency_from_bits
from ensemble_jax.cli.sweep_config import SweepConfig, plain_text
from ensemble_jax.figures import SettingResult, SettingsDisplay
from ensemble_jax.report.run_report import write_table
from ensemble_jax.runs import Run

SUMMARY = "sweep.csv"
_SHOWN = "test"

_COLUMNS = (
    "members",
    "diverged",
    "extent",
    "split",
    "accuracy_mean",
    "accuracy_deviation",
    "consistency_bimodality",
)


class Setting(NamedTuple):
    """What the members of one setting did.

    Attributes:
        num_members: those that were trained; the others have diverged.
        accuracies: by split, `[E, N]`.
        bimodalities: by split, `[E]`; NaN where all have diverged.
    """

    num_members: int
    accuracies: dict[str, np.ndarray]
    bimodalities: dict[str, np.ndarray]


def write_sweep_report(
    config: SweepConfig, runs: Sequence[tuple[Run, Sequence[int]]], directory: Path
) -> list[Path]:
    """Write `sweep.csv` and the figure of the test set; returns the files, the figure as PNG.

    Args:
        config: the sweep.
        runs: each finished run and the positions in `config.settings` that its members have.
        directory: where to write.
    """
    settings = measure_settings(config, runs)
    write_table(directory / SUMMARY, _table_rows(config, settings))
    display = _display(config, settings)
    if display is None:  # all members of all settings have diverged
        return [directory / SUMMARY]
    return [directory / SUMMARY, display.plot().save(directory / "sweep")[0]]


def measure_settings(
    config: SweepConfig, runs: Sequence[tuple[Run, Sequence[int]]]
) -> list[Setting]:
    """What the members of each setting did, in the order of `config.settings`.

    Args:
        config: the sweep.
        runs: each finished run and the positions that its members have.
    """
    found = {
        position: _measure(run, index, len(positions))
        for run, positions in runs
        for index, position in enumerate(positions)
    }
    return [found[position] for position in range(len(config.settings))]


def _measure(run: Run, index: int, num_settings: int) -> Setting:
    """The members of the run's setting `index`."""
    of_setting = run.hyperparameters.get("setting", np.zeros(len(run.members), int)) == index
    accuracies, bimodalities = {}, {}
    for split in run.splits:
        size = len(run.labels[split])
        bits = [run.bits(split, extents=extent)[0, of_setting] for extent in run.extents]
        accuracies[split] = np.stack([accuracy_from_bits(own, size) for own in bits])
        bimodalities[split] = np.array(
            [bimodality(consistency_from_bits(own, size)) if len(own) else np.nan for own in bits]
        )
    return Setting(run.manifest.num_members // num_settings, accuracies, bimodalities)


def _table_rows(config: SweepConfig, settings: Sequence[Setting]) -> Iterator[Sequence[Any]]:
    """One row for each setting, extent and split."""
    yield [*config.vary, *_COLUMNS]
    for values, setting in zip(config.settings, settings, strict=True):
        for row, extent in enumerate(config.extents):
            for split, accuracies in setting.accuracies.items():
                own = accuracies[row]
                moments = (own.mean(), own.std()) if len(own) else (np.nan, np.nan)
                scores = (*moments, setting.bimodalities[split][row])
                yield [
                    *map(plain_text, values.values()),
                    len(own),
                    setting.num_members - len(own),
                    extent,
                    split,
                    *(f"{score:.6g}" for score in scores),
                ]


def _display(config: SweepConfig, settings: Sequence[Setting]) -> SettingsDisplay | None:
    """Test accuracy and bimodality of every setting with a member left; None without any.

    Settings that differ in the last field alone are drawn together.
    """
    results = setting_results(config, settings)
    if not results:
        return None
    return SettingsDisplay(results, f"{config.model.value} on {config.dataset}, {_SHOWN}")


def setting_results(
    config: SweepConfig, settings: Sequence[Setting]
) -> dict[str, dict[str, SettingResult]]:
    """Test accuracy and bimodality of every setting with a member left, as a display wants them."""
    *outer, inner = config.vary
    results: dict[str, dict[str, SettingResult]] = {}
    # At initialisation all settings of one architecture are the same.
    trained = [row for row, extent in enumerate(config.extents) if extent > 0] or [0]
    for values, setting in zip(config.settings, settings, strict=True):
        accuracies = setting.accuracies[_SHOWN]
        if not accuracies.shape[1]:
            continue
        panel = ", ".join(f"{name} {plain_text(values[name])}" for name in outer)
        result = SettingResult(accuracies[-1], setting.bimodalities[_SHOWN][trained])
        group = f"{panel}, {inner}" if panel else inner
        results.setdefault(group, {})[plain_text(values[inner])] = result
    return results

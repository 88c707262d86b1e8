"""What a sweep shows: accuracy and bimodality of every setting, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ensemble_jax.analysis import accuracy_from_bits, bimodality, consistency_from_bits
from ensemble_jax.describing import plain_text
from ensemble_jax.figures import SettingResult, SettingsDisplay
from ensemble_jax.report.run_report import write_table
from ensemble_jax.runs import Run

SUMMARY = "sweep.csv"
_SHOWN = "test"


class SettingScores(NamedTuple):
    """What the members of one setting did.

    Attributes:
        num_members: those that were trained; the ones that `accuracies` lacks have diverged.
        accuracies: by split, `[E, N]`.
        bimodalities: by split, `[E]`, of the consistency scores; NaN where all have diverged.
    """

    num_members: int
    accuracies: Mapping[str, Float[np.ndarray, "E N"]]
    bimodalities: Mapping[str, Float[np.ndarray, " E"]]


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """A finished sweep: runs of several settings.

    Attributes:
        directory: where it lies.
        settings: what varied, a value by name for each setting.
        runs: the collections; the members of one may have different settings.
        places: for each setting the position of its run in `runs`, and that of the setting among
            those of the run.
    """

    directory: Path
    settings: Sequence[Mapping[str, Any]]
    runs: Sequence[Run]
    places: Sequence[tuple[int, int]]

    @property
    def extents(self) -> tuple[int, ...]:
        """The extents `[E]` of all runs, ascending."""
        return self.runs[0].extents

    def members(self, setting: int) -> tuple[Run, np.ndarray]:
        """The run of the setting at a position, and `[N]` whether each of its members has it."""
        collection, index = self.places[setting]
        run = self.runs[collection]
        recorded = run.hyperparameters.get("setting", np.zeros(len(run.members), int))
        return run, recorded == index

    @cached_property
    def scores(self) -> tuple[SettingScores, ...]:
        """What the members of each setting did, in the order of `settings`."""
        return tuple(map(self._measure, range(len(self.settings))))

    def _measure(self, setting: int) -> SettingScores:
        run, own = self.members(setting)
        collection, _ = self.places[setting]
        sharing = sum(of == collection for of, _ in self.places)
        accuracies, bimodalities = {}, {}
        for split in run.splits:
            size = len(run.labels[split])
            bits = [run.bits(split, extents=extent)[0, own] for extent in run.extents]
            accuracies[split] = np.stack([accuracy_from_bits(of, size) for of in bits])
            bimodalities[split] = np.array(
                [bimodality(consistency_from_bits(of, size)) if len(of) else np.nan for of in bits]
            )
        return SettingScores(run.manifest.num_members // sharing, accuracies, bimodalities)

    def table(self) -> list[dict[str, Any]]:
        """A row for each setting, extent and split; accuracies in [0, 1].

        Beside what varied: `members` that did not diverge, those that `diverged`, `extent`,
        `split`, `accuracy_mean` and `accuracy_std` over members, `consistency_bimodality`.
        """
        rows = []
        for values, scores in zip(self.settings, self.scores, strict=True):
            for row, extent in enumerate(self.extents):
                for split, accuracies in scores.accuracies.items():
                    own = accuracies[row]
                    mean, std = (own.mean(), own.std()) if len(own) else (np.nan, np.nan)
                    rows.append(
                        {
                            **values,
                            "members": len(own),
                            "diverged": scores.num_members - len(own),
                            "extent": extent,
                            "split": split,
                            "accuracy_mean": float(mean),
                            "accuracy_std": float(std),
                            "consistency_bimodality": float(scores.bimodalities[split][row]),
                        }
                    )
        return rows

    def results(self) -> dict[str, dict[str, SettingResult]]:
        """Test accuracy and bimodality of every setting with a member left, as a display has them.

        Settings that differ in the last field alone are drawn together.
        """
        *outer, inner = self.settings[0]
        results: dict[str, dict[str, SettingResult]] = {}
        # At initialisation all settings of one architecture are the same.
        trained = [row for row, extent in enumerate(self.extents) if extent > 0] or [0]
        for values, scores in zip(self.settings, self.scores, strict=True):
            accuracies = scores.accuracies[_SHOWN]
            if not accuracies.shape[1]:
                continue
            panel = ", ".join(f"{name} {plain_text(values[name])}" for name in outer)
            result = SettingResult(accuracies[-1], scores.bimodalities[_SHOWN][trained])
            group = f"{panel}, {inner}" if panel else inner
            results.setdefault(group, {})[plain_text(values[inner])] = result
        return results

    def display(self) -> SettingsDisplay:
        """Test accuracy and bimodality of every setting with a member left.

        Raises:
            ValueError: if all members of all settings have diverged.
        """
        models = ", ".join(dict.fromkeys(run.model for run in self.runs))
        datasets = ", ".join(dict.fromkeys(run.manifest.data.name for run in self.runs))
        return SettingsDisplay(self.results(), f"{models} on {datasets}, {_SHOWN}")

    def write(self) -> list[Path]:
        """Write `sweep.csv` and `sweep.png` into the folder; the figure only if there is one."""
        rows = self.table()
        cells = (list(map(_cell, row.values())) for row in rows)
        write_table(self.directory / SUMMARY, [[*rows[0]], *cells])
        if not self.results():  # all members of all settings have diverged
            return [self.directory / SUMMARY]
        return [self.directory / SUMMARY, self.display().plot().save(self.directory / "sweep")[0]]

    def __repr__(self) -> str:
        varied = ", ".join(self.settings[0])
        return (
            f"Sweep({str(self.directory)!r}: {len(self.settings)} settings of {varied} in "
            f"{len(self.runs)} collections, extents {list(self.extents)})"
        )


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else plain_text(value)

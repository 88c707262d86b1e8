"""All collections of a sweep, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ensemble_jax.cli.sweep_config import SweepConfig, folder_name, groups, plain_text
from ensemble_jax.cli.train_config import PER_MEMBER
from ensemble_jax.cli.translate import training_of
from ensemble_jax.runs import Run
from ensemble_jax.task import Training
from ensemble_jax.trainer import run_training, tell_diverged


def run_sweep(config: SweepConfig, workdir: Path) -> list[tuple[Run, Sequence[int]]]:
    """Train every group of settings, or continue; each in a folder of its own.

    Args:
        config: checked already.
        workdir: where the folders are.

    Returns:
        The finished runs and the positions in `config.settings` that their members have.

    Raises:
        ValueError, OSError, Interrupted: as `run_training` does.
    """
    found = groups(config)
    print(f"{len(config.settings)} settings in {len(found)} collections")
    runs = []
    for number, (name, positions) in enumerate(found.items(), start=1):
        print(f"collection {number} of {len(found)}: {name}", flush=True)
        folder = workdir / folder_name(name)
        run = run_training(_training_of(config, positions), folder)
        tell_diverged(run)
        runs.append((run, positions))
    return runs


def _training_of(config: SweepConfig, positions: Sequence[int]) -> Training:
    """The collection of the settings at these positions."""
    settings = [config.settings[position] for position in positions]
    configs = [config.with_values(values) for values in settings]
    own = [
        {name: plain_text(value) for name, value in values.items() if name in PER_MEMBER}
        for values in settings
    ]
    shared = configs[0].effective()
    for name in own[0]:
        del shared[name]
    return training_of(configs, shared | {"settings": own})

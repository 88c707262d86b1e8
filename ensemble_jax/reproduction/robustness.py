"""Robustness, section 3 and appendix E: a sweep for each option of st-VGG on small_mammals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ensemble_jax.cli.sweep_config import SweepConfig
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Activation, Initialiser, Optimizer
from ensemble_jax.reproduction.material import Drawing, Material
from ensemble_jax.reproduction.recipes import Scale

_SEED = 0
_UNCHANGED = "unchanged"

_RATE_OF = {Optimizer.MOMENTUM: 0.005, Optimizer.ADAM: 0.0005, Optimizer.ADADELTA: 0.5}


def sweeps(base: TrainConfig, scale: Scale) -> dict[str, SweepConfig]:
    """The sweeps, by the option that varies; the setting of `base` itself is in none of them.

    Options that members of one collection may differ in come first, with equally many values, so
    that one program trains each of them. Optimizers have a learning rate that suits them.
    """
    whole = scale is Scale.PAPER
    per_member = {
        "learning_rate": _some([0.005, 0.01, 0.02, 0.1, 0.2], [0.02, 0.1], whole),
        "decay_factor": _some([1.0, 1.2, 1.5, 2.5, 4.0], [1.0, 4.0], whole),
        "l2": _some([0.0001, 0.0003, 0.001, 0.003, 0.01], [0.0003, 0.003], whole),
        "dropout_scale": _some([0.0, 0.25, 0.5, 0.75, 1.25], [0.0, 0.5], whole),
    }
    width, batch_size = base.width or 32, base.batch_size
    shaping: dict[str, Sequence[Any]] = {
        "batch_size": _some([10, 50, 200, 500], [batch_size // 2, batch_size * 2], whole),
        "width": _some([8, 16, 64], [width // 2], whole),
        "depth": _some([1, 2, 3], [2], whole),
        "kernel_size": _some([2, 3, 5], [5], whole),
        "activation": _some(
            [Activation.RELU, Activation.TANH, Activation.GELU], [Activation.RELU], whole
        ),
        "initialiser": _some(
            [Initialiser.HE_NORMAL, Initialiser.LECUN_NORMAL, Initialiser.TRUNCATED_NORMAL],
            [Initialiser.HE_NORMAL],
            whole,
        ),
    }
    found = {
        name: _sweep(base, {name: list(values)})
        for name, values in {**per_member, **shaping}.items()
    }
    for optimizer, rate in _RATE_OF.items():
        with_rate = dataclasses.replace(base, learning_rate=rate)
        found[f"optimizer {optimizer.value}"] = _sweep(with_rate, {"optimizer": [optimizer]})
    return found


def robustness(material: Material) -> Drawing:
    """Accuracy in the end and bimodality of every setting, with that of the paper on top."""
    from ensemble_jax.figures import SettingResult, SettingsDisplay
    from ensemble_jax.report.sweep_report import Sweep

    (collection,) = material.collections.values()
    run = collection.run
    alone = Sweep(run.directory, [{_UNCHANGED: ""}], [run], [(0, 0)])
    results: dict[str, dict[str, SettingResult]] = alone.results()
    diverged = []
    for option, sweep in material.sweeps.items():
        for name, of_values in sweep.results().items():
            # Optimizers come one by one, since each has its own learning rate.
            results.setdefault(name, {}).update(of_values)
        diverged += [
            f"{option}: {scores.num_members - len(scores.accuracies['test'][0])} of "
            f"{scores.num_members} members diverged at a setting and are left out."
            for scores in sweep.scores
            if len(scores.accuracies["test"][0]) < scores.num_members
        ]
    display = SettingsDisplay(results, f"{collection.title}, test", _independent(run))
    numbers = {}
    for row in display.table():
        setting = f"{row['option']} {row['value']}".strip()
        numbers[f"test accuracy in the end, {setting}"] = row["accuracy_mean"]
        numbers[f"bimodality in the end, {setting}"] = row["bimodality_last"]
    return Drawing({"robustness": display}, numbers, diverged)


def _independent(run) -> float:
    """The bimodality in the end of independent classifiers with the accuracies of the members."""
    from ensemble_jax.analysis import bimodality, consistency_score, independent_baseline

    labels = run.labels["test"]
    accuracies = run.metrics["test_accuracy"][-1].astype(np.float64).clip(0, 1)
    baseline = independent_baseline(accuracies, labels, run.num_classes, _SEED)
    return float(bimodality(consistency_score(baseline == labels)))


def _sweep(base: TrainConfig, vary: Mapping[str, Sequence[Any]]) -> SweepConfig:
    return SweepConfig(**vars(base), vary=dict(vary))


def _some(of_paper: Sequence[Any], small: Sequence[Any], whole: bool) -> Sequence[Any]:
    """The large range of the paper's scale, or a few values."""
    return of_paper if whole else small

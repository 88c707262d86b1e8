"""Classifiers that are no networks, beside the networks of a run; says what it does as it does it.

Figures 30 and 31 of Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019), on the
test examples.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ensemble_jax.analysis import (
    consistency_from_bits,
    member_accessibility_from_bits,
)
from ensemble_jax.classifiers import Classifier, boost_linear_classifiers, train_classifiers
from ensemble_jax.data import Dataset, as_array
from ensemble_jax.figures import BoostingDisplay, ClassifierDisplay
from ensemble_jax.report.run_report import save_result, write_table
from ensemble_jax.runs import Run

CLASSIFIERS = "classifiers"
BOOSTING = "boosting"
DIFFICULTY = "boosting_difficulty.csv"

_SPLIT = "test"


def compare_classifiers(
    run: Run, dataset: Dataset, kinds: Sequence[Classifier], directory: Path
) -> list[Path]:
    """Train each kind of classifier once; write what each gets right by what the networks do.

    Args:
        run: networks on this data set.
        dataset: images.
        kinds: at least one.
        directory: an existing folder.

    Returns:
        The files, figures as PNG.
    """
    display = make_classifier_display(run, dataset, kinds, _title(run))
    print("accuracy, then where the networks are right and where they are wrong:")
    for name, accuracy in display.accuracies.items():
        of_extents = "; ".join(
            f"epoch {extent} {of[name].where_right:.3f} and {of[name].where_wrong:.3f}"
            for extent, of in display.accordances.items()
        )
        print(f"  {name} {accuracy:.3f}; {of_extents}")
    return save_result(display, directory / CLASSIFIERS)


def make_classifier_display(
    run: Run, dataset: Dataset, kinds: Sequence[Classifier], title: str
) -> ClassifierDisplay:
    """Train each kind of classifier once, and put it beside the networks; says what it does."""
    inputs, asked = (as_array(dataset.splits[split].inputs) for split in ("train", _SPLIT))
    labels = run.labels[_SPLIT]
    correct = {}
    for kind in kinds:
        print(f"training {kind.value}", end="", flush=True)
        start = time.perf_counter()
        predictions = train_classifiers(kind, inputs, run.labels["train"], {_SPLIT: asked})
        correct[kind.value] = predictions[_SPLIT][0] == labels
        print(f": {time.perf_counter() - start:.1f} s", flush=True)
    scores = {extent: _consistency(run, extent) for extent in _choose_extents(run)}
    return ClassifierDisplay.from_correct(correct, scores, title)


def compare_boosting(run: Run, dataset: Dataset, num_learners: int, directory: Path) -> list[Path]:
    """Boost linear classifiers; write their accuracy by number and what is difficult for them.

    Args:
        run: networks on this data set.
        dataset: images.
        num_learners: at least 1.
        directory: an existing folder.

    Returns:
        The files, figures as PNG.
    """
    display = make_boosting_display(run, dataset, num_learners, _title(run))
    last = display.table()[-1]
    groups = ", ".join(
        f"{group.value} {last[group.value]:.3f} ({size} examples)"
        for group, size in display.group_sizes.items()
    )
    print(f"boosting: accuracy {last['all']:.3f}; by difficulty for the networks: {groups}")
    print(f"difficulty for boosting and for the networks: r = {display.pearson:.3f}")
    difficulties = zip(
        run.ids[_SPLIT],
        display.boosting_difficulty,
        display.network_difficulty,
        strict=True,
    )
    rows = [(example, f"{one:.6g}", f"{other:.6g}") for example, one, other in difficulties]
    header = ("id", "boosting_difficulty", "network_difficulty")
    write_table(directory / DIFFICULTY, [header, *rows])
    return [*save_result(display, directory / BOOSTING), directory / DIFFICULTY]


def make_boosting_display(
    run: Run, dataset: Dataset, num_learners: int, title: str
) -> BoostingDisplay:
    """Boost linear classifiers, and put them beside the networks; says what it does."""
    inputs, asked = (as_array(dataset.splits[split].inputs) for split in ("train", _SPLIT))
    labels = run.labels[_SPLIT]
    print(f"boosting {num_learners} linear classifiers", end="", flush=True)
    start = time.perf_counter()
    predictions = boost_linear_classifiers(
        inputs, run.labels["train"], {_SPLIT: asked}, num_learners
    )
    print(f": {time.perf_counter() - start:.1f} s", flush=True)
    return BoostingDisplay.from_correct(
        predictions[_SPLIT] == labels,
        _consistency(run, run.extents[-1]),
        member_accessibility_from_bits(run.bits(_SPLIT), len(labels)).mean(axis=0),
        title,
    )


def _choose_extents(run: Run) -> list[int]:
    """The first after some training, and the last: what the paper shows."""
    trained = [extent for extent in run.extents if extent > 0]
    return list(dict.fromkeys([*trained[:1], run.extents[-1]]))


def _consistency(run: Run, extent: int):
    return consistency_from_bits(run.bits(_SPLIT, extents=extent)[0], len(run.labels[_SPLIT]))


def _title(run: Run) -> str:
    return f"{run.manifest.data.name}, {_SPLIT}; networks: {run.model}"

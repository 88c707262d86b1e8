"""Figures of single examples and of classes, and of what other classifiers make of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_jax.classifiers import Classifier
from ensemble_jax.cli.dataset import load_data_of_run
from ensemble_jax.data import as_array
from ensemble_jax.figures import ClassHistogramDisplay, ExampleCurvesDisplay
from ensemble_jax.report.paradigms import make_boosting_display, make_classifier_display
from ensemble_jax.report.run_report import consistency_history
from ensemble_jax.reproduction.material import Drawing, Material, nearest_extents
from ensemble_jax.reproduction.recipes import Scale

_LEARNERS = {Scale.QUICK: 10, Scale.HOUR: 100, Scale.PAPER: 100}


def classes(material: Material, extents: Sequence[int]) -> Drawing:
    """Figure 27: consistency, coloured by the class that most members give to an example."""
    collection = material.first
    run = collection.run
    shown = nearest_extents(run.extents, extents)
    displays, numbers = {}, {}
    for split in ("train", "test"):
        display = ClassHistogramDisplay.from_predictions(
            run.predictions(split, extents=shown),
            run.labels[split],
            run.class_names,
            shown,
            f"{collection.title}, {split}",
            at_most=len(extents),
        )
        displays[f"classes_{split}"] = display
        for when, row in (("at first", 0), ("in the end", -1)):
            name = f"share of two classes among the examples all members know, {split}, {when}"
            numbers[name] = _share_of_two(display, row)
    return Drawing(displays, numbers)


def typical_examples(material: Material) -> Drawing:
    """Figures 28 and 29: how the consistency of five typical train images moves."""
    collection = material.first
    run = collection.run
    images = as_array(load_data_of_run(run, material.data_dir).train.inputs)
    scores = consistency_history(run, "train")
    display = ExampleCurvesDisplay.of_typical_examples(
        scores, run.extents, images, f"{collection.title}, train, N = {len(run.members)}"
    )
    numbers = {
        f"consistency in the end, {name}": float(curve[-1])
        for name, curve in display.curves.items()
    }
    return Drawing({"examples": display}, numbers)


def boosting(material: Material) -> Drawing:
    """Figure 30: boosted linear classifiers, by what is difficult for networks."""
    collection = material.first
    run = collection.run
    display = make_boosting_display(
        run,
        load_data_of_run(run, material.data_dir),
        _LEARNERS[material.scale],
        f"{collection.title}, test",
    )
    numbers = {"r of the difficulties for boosting and for networks": display.pearson}
    rows = display.table()
    for when, row in (("one learner", rows[0]), ("all learners", rows[-1])):
        numbers |= {
            f"accuracy of {when}, {group} examples": row[group]
            for group in row
            if group != "learners"
        }
    return Drawing({"boosting": display}, numbers)


def classifiers(material: Material) -> Drawing:
    """Figure 31: what other classifiers get right among what networks do and do not."""
    collection = material.first
    run = collection.run
    display = make_classifier_display(
        run,
        load_data_of_run(run, material.data_dir),
        list(Classifier),
        f"{collection.title}, test",
    )
    numbers = {f"accuracy, {name}": value for name, value in display.accuracies.items()}
    accuracy = run.metrics["test_accuracy"][-1].mean()
    numbers[f"test accuracy in the end, {collection.model_name}"] = float(accuracy)
    for extent, accordances in display.accordances.items():
        when = "in the end" if extent == run.extents[-1] else "at first"
        for name, found in accordances.items():
            numbers[f"right where networks are right {when}, {name}"] = found.where_right
            numbers[f"right where networks are wrong {when}, {name}"] = found.where_wrong
    return Drawing({"classifiers": display}, numbers)


def _share_of_two(display: ClassHistogramDisplay, row: int) -> float:
    """Of the examples with the score 1, the share of the two classes that have most of them."""
    known = np.asarray(display.scores)[row] == 1
    counts = np.bincount(np.asarray(display.classes)[row][known])
    return float(np.sort(counts)[-2:].sum() / counts.sum()) if len(counts) else float("nan")

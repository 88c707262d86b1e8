"""Figures of how scores are distributed over the examples, while members learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_jax.analysis import (
    bimodality,
    consistency_from_bits,
    consistency_score,
    independent_baseline,
    member_accuracy,
)
from ensemble_jax.figures import ConsensusDisplay, ConsistencyDisplay, ProbeDisplay
from ensemble_jax.report.run_report import consistency_history
from ensemble_jax.reproduction.material import Collection, Drawing, Material, extents_to_show
from ensemble_jax.reproduction.recipes import RECIPES

_SEED = 0
_INDEPENDENT = "independent"


def consistency(material: Material, extents: Sequence[int]) -> Drawing:
    """Consistency of collections, each with independent classifiers of its accuracies.

    Args:
        material: the collections.
        extents: those of the published figure.
    """
    shown = material.collections
    models = {collection.model_name for collection in shown.values()}
    drawing = Drawing({}, {})
    for name, collection in shown.items():
        tag = collection.model_name
        if len(models) < len(shown):  # the same model on several sets, by the paper's names
            tag += f", {RECIPES[name].paper.dataset}"
        drawing |= draw_consistency(collection, extents, tag)
    return drawing


def draw_consistency(collection: Collection, published: Sequence[int], tag: str = "") -> Drawing:
    """The histograms of one collection: train, test, and independent classifiers.

    Args:
        collection: the run.
        published: the extents that the paper shows.
        tag: ends the names of the numbers; by default the model.
    """
    run = collection.run
    shown = extents_to_show(run.extents, published)
    at = [run.extents.index(extent) for extent in shown]
    scores = {split: consistency_history(run, split) for split in run.splits}
    baseline = _baseline(collection, shown)
    labels = run.labels["test"]
    independent = consistency_score(baseline == labels)
    display = ConsistencyDisplay(
        {split: of[at] for split, of in scores.items()} | {_INDEPENDENT: independent},
        shown,
        len(run.members),
        collection.title,
    )
    end = tag or collection.model_name
    numbers = measure_bimodality(scores, run.extents, end)
    trained = [row for row, extent in enumerate(shown) if extent > 0]
    numbers[f"least bimodality, independent classifiers like {end}"] = _least(
        bimodality(independent[trained])
    )
    name = f"consistency_{collection.training.name}"
    return Drawing({name: display}, numbers)


def measure_bimodality(scores, extents: Sequence[int], end: str) -> dict[str, float]:
    """Accuracy in the end, and the range of bimodality after the initialisation, by set.

    Args:
        scores: consistency scores `[E, M]` by set.
        extents: `[E]`.
        end: of the names of the numbers.
    """
    trained = [row for row, extent in enumerate(extents) if extent > 0] or [0]
    numbers = {}
    for split, of_split in scores.items():
        shapes = bimodality(of_split[trained])
        numbers[f"{split} accuracy in the end, {end}"] = float(of_split[-1].mean())
        numbers[f"least bimodality, {split}, {end}"] = _least(shapes)
        numbers[f"largest bimodality, {split}, {end}"] = -_least(-shapes)
    return numbers


def consensus(material: Material, extents: Sequence[int]) -> Drawing:
    """Figure 3: consensus on the test set, and of independent classifiers as accurate."""
    collection = material.first
    run = collection.run
    shown = extents_to_show(run.extents, extents)
    display = ConsensusDisplay.from_predictions(
        {
            "test": run.predictions("test", extents=shown),
            _INDEPENDENT: _baseline(collection, shown),
        },
        run.num_classes,
        shown,
        collection.title,
    )
    end = collection.model_name
    numbers = {
        f"mean consensus in the end, test, {end}": float(display.scores["test"][-1].mean()),
        f"mean consensus in the end, independent classifiers like {end}": float(
            display.scores[_INDEPENDENT][-1].mean()
        ),
    }
    return Drawing({f"consensus_{collection.training.name}": display}, numbers)


def probes(material: Material) -> Drawing:
    """Figure 5: consensus on probes and on the test set, in the end, against chance."""
    collection = material.first
    run = collection.run
    last = run.extents[-1]
    display = ProbeDisplay.from_predictions(
        {name: run.predictions(name, extents=last)[0] for name in (*run.probes, "test")},
        run.num_classes,
        _SEED,
        f"{collection.title}, epoch {last}",
    )
    rows = display.table()
    numbers = {"mean consensus, random classes": rows[0]["random"]}
    numbers |= {f"mean consensus, {row['probe']}": row["consensus"] for row in rows}
    # Far from the data members use few classes, and agree without knowing anything.
    numbers |= {
        f"mean consensus above that of independent members, {row['probe']}": row["consensus"]
        - row["independent"]
        for row in rows
    }
    missing = [] if run.probes else ["The run has no probes: only the test set is shown."]
    return Drawing({"probes": display}, numbers, missing)


def parts(material: Material, extents: Sequence[int]) -> Drawing:
    """Figure 22: collections that learn parts of a set, each on its own part and on the test set.

    The last row is the mean of the histograms of all collections on the test set.
    """
    collection = material.first
    run = collection.run
    shown = extents_to_show(run.extents, extents)
    part_of = run.hyperparameters["part"]
    members = {part: np.flatnonzero(part_of == part) for part in np.unique(part_of)}
    sizes = {len(of_part) for of_part in members.values()}
    num_members = min(sizes)
    train_mask = run.train_mask
    own, test = {}, {}
    for part, of_part in members.items():
        chosen = of_part[:num_members]
        learned = train_mask[chosen[0]]
        own[part] = _scores_of(run, "train", shown, chosen)[:, learned]
        test[part] = _scores_of(run, "test", shown, chosen)
    first = list(members)[:2]
    rows = {}
    for part in first:
        rows[f"part {part + 1}, own"] = own[part]
        rows[f"part {part + 1}, test"] = test[part]
    rows[f"mean of {len(members)},\ntest"] = np.concatenate(list(test.values()), axis=1)
    display = ConsistencyDisplay(rows, shown, num_members, collection.title)
    trained = [row for row, extent in enumerate(shown) if extent > 0]
    both = _scores_of(run, "test", shown, np.arange(len(run.members)))
    numbers = {
        "mean accuracy in the end, own part": _mean_of_last(own),
        "mean accuracy in the end, test": _mean_of_last(test),
        "largest bimodality, own part": _largest(own, trained),
        "largest bimodality, test": _largest(test, trained),
        "largest bimodality, test, all members of all parts together": _largest(
            {"all": both}, trained
        ),
    }
    remarks = []
    if len(sizes) > 1:
        remarks = [f"Members diverged; of each part {num_members} are shown."]
    return Drawing({"consistency_parts": display}, numbers, remarks)


def _baseline(collection: Collection, extents: Sequence[int]):
    """Predictions of independent classifiers with the members' accuracies on the test set."""
    run = collection.run
    labels = run.labels["test"]
    accuracies = member_accuracy(run.predictions("test", extents=extents) == labels)
    return independent_baseline(accuracies, labels, run.num_classes, _SEED)


def _scores_of(run, split, extents, members):
    """Consistency `[E, M]` of some members."""
    size = len(run.labels[split])
    return np.stack(
        [consistency_from_bits(run.bits(split, extents=e)[0, members], size) for e in extents]
    )


def _mean_of_last(scores) -> float:
    return float(np.mean([of[-1].mean() for of in scores.values()]))


def _largest(scores, rows) -> float:
    return -_least(-np.concatenate([bimodality(of[rows]) for of in scores.values()]))


def _least(values) -> float:
    """NaN only where there is nothing else."""
    defined = values[~np.isnan(values)]
    return float(defined.min()) if len(defined) else float("nan")

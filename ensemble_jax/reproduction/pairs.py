"""Figures of two collections on the same examples."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble_jax.analysis import member_accessibility_from_bits
from ensemble_jax.figures import AccessibilityDisplay, ConsistencyDisplay
from ensemble_jax.report.comparison import (
    Pair,
    accessibility_display,
    check_comparable,
    find_cross_consistency,
    find_easy_sets,
)
from ensemble_jax.report.run_report import consistency_history
from ensemble_jax.reproduction.histograms import draw_consistency, measure_bimodality
from ensemble_jax.reproduction.material import Collection, Drawing, Material, extents_to_show

Names = Sequence[str]

_SEED = 0


def cross_consistency(material: Material, pairs: Sequence[Names]) -> Drawing:
    """Figures 6a, 6b and 23: the consistency of two collections merged where equally accurate."""
    displays, numbers, remarks = {}, {}, []
    for pair_of_recipes in pairs:
        for split in ("train", "test"):
            pair = _pair(material, pair_of_recipes, split)
            finding = find_cross_consistency(pair, pair.scores())
            both = " and ".join(pair.names)
            number = finding.numbers["cross_consistency_bimodality"]
            numbers[f"mean bimodality of cross-consistency, {split}, {both}"] = number
            if finding.display is None:
                remarks.append(f"{both}, {split}: {finding.text}.")
                continue
            displays[f"cross_consistency_{_file_name(pair.names)}_{split}"] = finding.display
    return Drawing(displays, numbers, remarks)


def accessibility(material: Material, pairs: Sequence[Names]) -> Drawing:
    """Figures 6c-e, 24 and 25: accessibility in two collections, or in two halves of one.

    Args:
        material: the collections.
        pairs: names of recipes; the same name twice for halves.
    """
    displays, numbers = {}, {}
    for split in ("train", "test"):
        found = []
        for first, second in pairs:
            if first == second:
                display, what = _halves(material.collections[first], split)
            else:
                pair = _pair(material, (first, second), split)
                display = accessibility_display(pair)
                what = " and ".join(pair.names)
            (of_pair,) = display.pairs
            numbers[f"r of accessibility, {split}, {what}"] = of_pair.correlation.pearson
            found.append(of_pair)
        title = _title(material.collections[pairs[0][0]], split)
        displays[f"accessibility_{split}"] = AccessibilityDisplay(found, title)
    return Drawing(displays, numbers)


def linear_and_not(material: Material, extents: Sequence[int]) -> Drawing:
    """Figure 7: consistency of two collections below each other, and what is easy for which."""
    recipes = list(material.collections)
    first, second = material.collections.values()
    drawing = _draw_below_each_other(first, second, extents)
    displays, numbers = {}, {}
    for split in ("train", "test"):
        pair = _pair(material, recipes, split)
        finding = find_easy_sets(pair, pair.scores())
        columns = {
            "easy_shared": "both",
            "easy_only_first": f"{pair.names[0]} alone",
            "easy_only_second": f"{pair.names[1]} alone",
        }
        total = len(first.run.labels[split])
        for column, name in columns.items():
            size = finding.numbers[column]
            share = size / total if size != "" else float("nan")
            numbers[f"share of examples easy in the end for {name}, {split}"] = share
        if finding.display is not None:
            displays[f"easy_sets_{split}"] = finding.display
    return drawing | Drawing(displays, numbers)


def _draw_below_each_other(first: Collection, second: Collection, published) -> Drawing:
    """In one figure where both have as many members, so that their scores share an axis."""
    extents = [extent for extent in first.run.extents if extent in second.run.extents]
    if len(first.run.members) != len(second.run.members) or not extents:
        return draw_consistency(first, published) | draw_consistency(second, published)
    shown = extents_to_show(extents, published)
    rows, numbers = {}, {}
    for collection in (first, second):
        run = collection.run
        scores = {split: consistency_history(run, split) for split in run.splits}
        at = [run.extents.index(extent) for extent in shown]
        for split, of_split in scores.items():
            rows[f"{collection.model_name},\n{split}"] = of_split[at]
        numbers |= measure_bimodality(scores, run.extents, collection.model_name)
    title = f"{first.model_name} and {second.title}"
    return Drawing(
        {"consistency": ConsistencyDisplay(rows, shown, len(first.run.members), title)}, numbers
    )


def _pair(material: Material, recipes: Names, split: str) -> Pair:
    first, second = (material.collections[name] for name in recipes)
    check_comparable(first.run, second.run)
    names = first.model_name, second.model_name
    return Pair(first.run, second.run, names, split, _title(first, split))


def _halves(collection: Collection, split: str) -> tuple[AccessibilityDisplay, str]:
    """One half of the members against the other, of an odd number without the last."""
    run, name = collection.run, collection.model_name
    members = member_accessibility_from_bits(run.bits(split), len(run.labels[split]))
    half = len(members) // 2
    if half == 0:
        raise ValueError(f"{run.directory} must have at least two members to be halved, has one")
    halves = {f"{name}, one half": members[:half], f"{name}, other half": members[half : 2 * half]}
    display = AccessibilityDisplay.from_members(halves, _SEED)
    # The halves of halves say nothing here, and would be long in the title.
    (pair,) = display.pairs
    nan = float("nan")
    return AccessibilityDisplay([pair._replace(ceilings=(nan, nan))]), f"halves of {name}"


def _title(collection: Collection, split: str) -> str:
    """The examples alone: the models are on the axes; a line of its own for what they stand for."""
    training = collection.training
    return "\n".join(filter(None, (f"{training.set_name}, {split}", training.stand_in_note)))


def _file_name(names: Names) -> str:
    return "_".join(name.replace(" ", "_") for name in names)

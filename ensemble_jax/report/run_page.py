"""What the page of a run shows: `report.html`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ensemble_jax.analysis import (
    accuracy_by_class,
    bimodality,
    choose_extents,
    most_frequent_class,
)
from ensemble_jax.options import Source
from ensemble_jax.report.exhibits import Material, show_examples
from ensemble_jax.report.explorer import Explorer
from ensemble_jax.report.page import (
    Bar,
    Block,
    Card,
    Curve,
    Facts,
    Figure,
    Gallery,
    Highlight,
    Page,
    Paragraph,
    Section,
    Table,
    data_uri,
    file_uri,
)
from ensemble_jax.runs import Run
from ensemble_jax.runs.configs import fields

# Examples shown at either end of each split.
_SHOWN_EXAMPLES = 10
# Rows of the table of extents, columns of that of probes.
_MOST_EXTENTS, _MOST_PROBE_EXTENTS = 25, 7
# Rows of the tables of classes; of more, the hardest and the easiest.
_MOST_CLASSES = 200
# The most values of a hyperparameter, and characters of a value, that are spelled out.
_MOST_VALUES, _MOST_CHARACTERS = 8, 300
_NOTHING = "none"
# Right in nearly all members, and in nearly none.
_NEARLY_ALL, _NEARLY_NONE = 0.9, 0.1

_FIGURES = {
    "dynamics": (
        "Accuracy and bimodality by epoch",
        "The band spans the least and the most accurate member. Bimodality is that of the "
        "consistency scores: 0 where every example is right in all members or in none.",
    ),
    "consistency": (
        "Histograms of consistency scores by epoch",
        "The consistency of an example is the share of members that classify it correctly. The row "
        "'independent' has as many simulated classifiers of the same accuracies that err "
        "independently of each other.",
    ),
    "consensus": (
        "Histograms of consensus scores by epoch",
        "The consensus on an example is the share of members that agree on its most frequent "
        "class, right or wrong.",
    ),
    "classes": (
        "Histograms of consistency scores, coloured by the most frequent predicted class",
        "Which class most members take the test examples for, by their consistency.",
    ),
    "examples": (
        "Consistency by epoch of typical test examples",
        "Test examples that show a pattern most clearly.",
    ),
    "size": (
        "Bimodality by the number of members",
        "How bimodality depends on the number of members that are looked at.",
    ),
    "probes": (
        "Consensus on sets without labels",
        "Consensus on every set at the last epoch, beside that of random classification.",
    ),
}


class SplitScores(NamedTuple):
    """Scores of the examples of one split.

    Attributes:
        consistency: `[E, M]`.
        accuracies: `[E, N]`.
    """

    consistency: Float[np.ndarray, "E M"]
    accuracies: Float[np.ndarray, "E N"]


def make_page(
    run: Run,
    scores: Mapping[str, SplitScores],
    consensus: Mapping[str, Float[np.ndarray, " E"]],
    figures: Mapping[str, Path],
    material: Material,
    explorer: Explorer | None = None,
) -> Page:
    """All that is to be told of a run, on one page.

    Args:
        run: with at least one extent and one member.
        scores: by split.
        consensus: the mean consensus by split and probe, `[E]`.
        figures: a PNG or SVG file by the figure's name.
        material: the data set, if there is one.
        explorer: of the same run; None for a page without one.
    """
    return Page(
        title=f"{run.model} on {run.manifest.data.name}",
        subtitle=_subtitle(run),
        warnings=_warnings(run),
        highlights=_highlights(run, scores),
        sections=[
            Section(
                "learning",
                "Accuracy and bimodality",
                [_extents(run, scores), *_drawn(figures, "dynamics")],
            ),
            Section(
                "agreement",
                "How far the members agree",
                _drawn(figures, "consistency", "consensus", "size"),
            ),
            Section(
                "examples",
                "The hardest and the easiest examples",
                [*_examples(run, scores, material), *_drawn(figures, "examples")],
            ),
            Section(
                "classes",
                "Classes",
                [
                    *(_classes(run, split, scores[split]) for split in reversed(run.splits)),
                    *_drawn(figures, "classes"),
                ],
            ),
            *_probes(run, consensus, figures),
            Section("configuration", "Configuration", _configuration(run)),
        ],
        explorer=explorer,
    )


def _drawn(figures: Mapping[str, Path], *names: str) -> list[Block]:
    """Those of the figures that there are."""
    return [Figure(file_uri(figures[name]), *_FIGURES[name]) for name in names if name in figures]


def _subtitle(run: Run) -> str:
    data = run.manifest.data
    sizes = " and ".join(f"{size:,} {split}" for split, size in data.split_sizes.items())
    return f"{sizes} examples of {run.num_classes} classes; begun {_moment(run.manifest.created)}"


def _warnings(run: Run) -> list[str]:
    warnings = []
    if run.diverged:
        members = ", ".join(f"{member} (epoch {epoch})" for member, epoch in run.diverged.items())
        warnings.append(
            f"{len(run.diverged)} of {run.manifest.num_members} members diverged and are left out "
            f"of everything below: {members}"
        )
    if not run.finished:
        warnings.append(
            f"The run is not finished: {len(run.extents)} of {len(run.manifest.extents)} extents "
            f"are there, to epoch {run.extents[-1]} of {run.manifest.extents[-1]}."
        )
    return warnings


def _highlights(run: Run, scores: Mapping[str, SplitScores]) -> list[Highlight]:
    last = run.extents[-1]
    highlights = [Highlight("members", f"{len(run.members)}", f"to epoch {last}")]
    for split in reversed(run.splits):
        accuracies = scores[split].accuracies[-1]
        detail = f"{_percent(accuracies.min())} to {_percent(accuracies.max())}"
        highlights.append(Highlight(f"{split} accuracy", _percent(accuracies.mean()), detail))
    split = run.splits[-1]
    consistency = scores[split].consistency[-1]
    extreme = _right_in_most(consistency).mean() + _right_in_few(consistency).mean()
    return [
        *highlights,
        Highlight(
            f"bimodality, {split}", _number(float(bimodality(consistency))), "0: two values only"
        ),
        Highlight(
            f"learned alike, {split}",
            _percent(extreme),
            "right in at least 90 % of the members or in at most 10 %",
        ),
    ]


def _extents(run: Run, scores: Mapping[str, SplitScores]) -> Table:
    shown = choose_extents(run.extents, _MOST_EXTENTS)
    columns = ["epoch"]
    for split in run.splits:
        columns += [f"{split} accuracy", "least", "most", f"{split} bimodality"]
    rows = []
    for extent in shown:
        position = run.extents.index(extent)
        row: list[str | Bar] = [str(extent)]
        for split in run.splits:
            accuracies = scores[split].accuracies[position]
            mean = float(accuracies.mean())
            row += [
                Bar(_percent(mean), mean),
                _percent(accuracies.min()),
                _percent(accuracies.max()),
                _number(float(bimodality(scores[split].consistency[position]))),
            ]
        rows.append(row)
    left_out = len(run.extents) - len(shown)
    return Table(
        "Accuracy (mean, least and most of the members) and bimodality of consistency",
        columns,
        rows,
        f"{left_out} more extents are in dynamics.csv." if left_out else "",
    )


def _examples(run: Run, scores: Mapping[str, SplitScores], material: Material) -> list[Block]:
    ends = {split: _ends(of.consistency.mean(axis=0)) for split, of in scores.items()}
    chosen = {split: np.concatenate(of) for split, of in ends.items()}
    exhibits = show_examples(material, {split: of.tolist() for split, of in chosen.items()})
    blocks: list[Block] = [
        Paragraph(
            "Hard and easy by accessibility, the mean consistency over all extents. The curves are "
            f"the consistency of an example from epoch {run.extents[0]} to {run.extents[-1]}, "
            "dotted that of all examples of the split."
        )
    ]
    if exhibits.remark:
        blocks.append(Paragraph(exhibits.remark))
    for split in reversed(run.splits):
        cards = _cards(run, split, scores[split].consistency, chosen[split])
        pictures, texts = exhibits.pictures.get(split), exhibits.texts.get(split)
        shown = [
            Card(
                title,
                lines,
                curve,
                picture=data_uri(pictures[row], "image/png") if pictures else "",
                text=texts[row] if texts else "",
            )
            for row, (title, lines, curve) in enumerate(cards)
        ]
        count = len(ends[split][0])
        blocks.append(Gallery(f"Hardest {split} examples", shown[:count]))
        blocks.append(Gallery(f"Easiest {split} examples", shown[count:]))
    return blocks


def _ends(accessibility: Float[np.ndarray, " M"]) -> tuple[np.ndarray, np.ndarray]:
    """The hardest examples and the easiest, the most extreme first; of equal ones the first."""
    count = min(_SHOWN_EXAMPLES, len(accessibility) // 2)
    hardest = np.argsort(accessibility, kind="stable")[:count]
    easiest = np.argsort(-accessibility, kind="stable")
    return hardest, easiest[~np.isin(easiest, hardest)][:count]


def _cards(run, split, consistency, chosen):
    """Title, lines and curve of each chosen example."""
    last = run.extents[-1]
    predictions = run.predictions(split, extents=last)[0][:, chosen]
    frequent = most_frequent_class(predictions, run.num_classes)
    accessibility = consistency.mean(axis=0)
    reference = consistency.mean(axis=1).tolist()
    for row, example in enumerate(chosen):
        label = run.class_names[run.labels[split][example]]
        taken_for = run.class_names[frequent.classes[row]]
        yield (
            label,
            (
                f"id {run.ids[split][example]}",
                f"{frequent.votes[row]} of {len(run.members)} say {taken_for}",
                f"accessibility {accessibility[example]:.2f}",
            ),
            Curve(run.extents, consistency[:, example].tolist(), reference),
        )


def _classes(run: Run, split: str, scores: SplitScores) -> Table:
    labels, last = run.labels[split], run.extents[-1]
    accuracies = accuracy_by_class(run.correct(split, last)[0], labels, run.num_classes)
    accessibility = scores.consistency.mean(axis=0)
    most, few = (right(scores.consistency[-1]) for right in (_right_in_most, _right_in_few))
    present = np.flatnonzero(np.bincount(labels, minlength=run.num_classes))
    order = present[np.argsort(-accuracies[:, present].mean(axis=0), kind="stable")]
    left_out = max(0, len(order) - _MOST_CLASSES)
    if left_out:
        half = _MOST_CLASSES // 2
        order = np.concatenate([order[:half], order[-half:]])
    rows = []
    for label in order:
        own, of_class = accuracies[:, label], labels == label
        rows.append(
            (
                run.class_names[label],
                f"{of_class.sum():,}",
                Bar(_percent(own.mean()), float(own.mean())),
                _percent(own.std()),
                _percent(own.min()),
                _percent(own.max()),
                _number(accessibility[of_class].mean()),
                _percent(most[of_class].mean()),
                _percent(few[of_class].mean()),
            )
        )
    absent = run.num_classes - len(present)
    notes = [
        f"Without {left_out} classes in the middle." if left_out else "",
        f"{absent} classes have no {split} example." if absent else "",
    ]
    return Table(
        f"Classes of the {split} examples at epoch {last}, the easiest first",
        (
            "class",
            "examples",
            "accuracy",
            "std",
            "least",
            "most",
            "accessibility",
            "right in \N{GREATER-THAN OR EQUAL TO} 90 % of members",
            "right in \N{LESS-THAN OR EQUAL TO} 10 %",
        ),
        rows,
        " ".join(filter(None, notes)),
    )


def _right_in_most(consistency):
    return consistency >= _NEARLY_ALL


def _right_in_few(consistency):
    return consistency <= _NEARLY_NONE


def _probes(run: Run, consensus: Mapping[str, np.ndarray], figures: Mapping[str, Path]):
    if not run.probes:
        return []
    shown = choose_extents(run.extents, _MOST_PROBE_EXTENTS)
    rows = [
        (
            name,
            f"{run.manifest.data.sizes[name]:,}",
            *(f"{consensus[name][run.extents.index(extent)]:.3f}" for extent in shown),
        )
        for name in (*run.probes, *run.splits)
    ]
    columns = ("set", "examples", *(f"epoch {extent}" for extent in shown))
    table = Table("Mean consensus on sets without labels, and on those with", columns, rows)
    return [Section("probes", "Probes", [table, *_drawn(figures, "probes")])]


def _configuration(run: Run) -> list[Block]:
    manifest = run.manifest
    plan = [(name, _value(value)) for name, value in fields(manifest.plan).items()]
    if manifest.plan_reason:
        plan.append(("reason", manifest.plan_reason))
    blocks: list[Block] = [
        Facts("Config", [(name, _value(value)) for name, value in fields(run.config).items()]),
        *_differences(run),
        *([Facts("Plan", plan)] if plan else []),
        Facts(
            "Made with",
            [
                ("command", manifest.command),
                ("begun", _moment(manifest.created)),
                ("protocol", manifest.protocol),
                ("devices", ", ".join(manifest.devices) or "not recorded"),
                ("speed", _speed(run)),
                ("python", manifest.python),
                *manifest.versions.items(),
            ],
        ),
    ]
    if manifest.sources:
        blocks.append(_sources(manifest.sources))
    return blocks


def _differences(run: Run) -> list[Block]:
    """What members share and what not."""
    blocks: list[Block] = []
    if "tied" in run.config:
        differing = ", ".join(_random_sources(run.config)) or _NOTHING
        blocks.append(Facts("Members", [("differ in", differing), *_members(run)]))
    else:
        blocks.append(Facts("Members", _members(run)))
    rows = []
    for name, values in run.hyperparameters.items():
        counts = Counter(values.tolist())
        if len(counts) > _MOST_VALUES:
            rows.append((name, f"{len(counts)} values, {min(counts)} to {max(counts)}"))
        elif len(counts) > 1:
            each = (f"{_value(value)} ({count} members)" for value, count in counts.items())
            rows.append((name, ", ".join(each)))
    if rows:
        caption = "Hyperparameters that differ between members"
        blocks.append(Table(caption, ("hyperparameter", "values"), rows, numeric=False))
    return blocks


def _members(run: Run) -> list[tuple[str, str]]:
    ids = run.manifest.members
    consecutive = list(ids) == list(range(ids[0], ids[0] + len(ids)))
    named = f"{ids[0]} to {ids[-1]}" if consecutive and len(ids) > 1 else _value(ids)
    return [("members", named), ("diverged", _value(list(run.diverged)))]


def _random_sources(config: Mapping[str, Any]) -> list[str]:
    """The sources of randomness that members have of their own."""
    used = {
        Source.SUBSET: config.get("partitions")
        or config.get("folds")
        or config.get("subset_fraction", 1) != 1,
        Source.LABELS: config.get("member_label_noise"),
        Source.DROPOUT: config.get("dropout_scale", 1),
        Source.AUGMENTATION: config.get("augmentation"),
    }
    return [
        source.value
        for source in Source
        if used.get(source, True) and source.value not in config["tied"]
    ]


def _speed(run: Run) -> str:
    speeds = run.train_images_per_second
    speeds = speeds[np.isfinite(speeds)]
    if not len(speeds):
        return "nothing was trained"
    return f"{np.median(speeds):,.0f} examples/s, all members together (median over extents)"


def _sources(sources: Sequence[Mapping[str, Any]]) -> Table:
    names = ("directory", "members", "devices", "created", "command")
    rows = [[_value(source.get(name, "")) for name in names] for source in sources]
    return Table("Joined from", names, rows, numeric=False)


def _moment(text: str) -> str:
    """A time in ISO 8601, shorter."""
    return text.replace("T", " ").replace("+00:00", " UTC")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.3f}"


def _value(value: Any) -> str:
    """A plain value as people write it; a long one is cut off."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{name}: {_value(part)}" for name, part in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(map(_value, value)) or _NOTHING
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = _NOTHING if value in (None, "") else str(value)
    if len(text) > _MOST_CHARACTERS:
        return f"{text[:_MOST_CHARACTERS]}\N{HORIZONTAL ELLIPSIS}"
    return text

"""The page of an audit: the most suspect examples, how rankings agree, and how they are right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ensemble_jax.analysis import Detection, Issue, LabelIssues
from ensemble_jax.report.example_scores import Details, ExampleProperty, ExampleScore
from ensemble_jax.report.exhibits import Material, show_examples
from ensemble_jax.report.explorer import Explorer, make_explorer
from ensemble_jax.report.history import read_histories
from ensemble_jax.report.page import (
    Block,
    Card,
    Curve,
    Gallery,
    Highlight,
    Page,
    Paragraph,
    Section,
    Table,
    data_uri,
)

if TYPE_CHECKING:
    from ensemble_jax.data import Dataset
    from ensemble_jax.runs import Run

_TRAIN = "train"
_MOST_CARDS = 24
_NO_DATA = "The examples are not shown, as the audit was made without the data."


def make_audit_page(
    run: Run,
    found: LabelIssues,
    agreement: Mapping[str, float],
    detection: Mapping[str, Detection],
    summary: str,
    data: Dataset | None,
) -> Page:
    """The page.

    Args:
        run: that was audited.
        found: what its members say of each label.
        agreement: the rank correlation of other scores with the audit's, by name.
        detection: how well each score finds what is known to be wrong; empty if nothing is known.
        summary: the counts in a line.
        data: what the run is on, for pictures.
    """
    sections = [Section("suspects", "Most suspect examples", _galleries(run, found, data))]
    if detection:
        sections.append(Section("truth", "Found against the truth", [_detection_table(detection)]))
    sections.append(Section("agreement", "Rankings that agree", [_agreement_table(agreement)]))
    counts = [
        Highlight(issue.value, str(found.issues.count(issue)))
        for issue in Issue
        if issue is not Issue.NONE
    ]
    title = f"Audit of {run.manifest.data.name}"
    return Page(title, summary, [], counts, sections, _make_explorer(run, found, data))


def _make_explorer(run: Run, found: LabelIssues, data: Dataset | None) -> Explorer:
    """The examples of the run, the most suspect first."""
    score = ExampleScore(
        "label_score",
        "label score",
        "How likely the given label is right beside the most probable other class, by all members: "
        "below 0.5 they say it is another one.",
        found.score,
        found.standard_error,
    )
    issues = list(Issue)
    suspects = [issues.index(issue) for issue in found.issues]
    properties = [
        ExampleProperty("suggested_label", "suggested label", run.class_names, found.suggested),
        ExampleProperty("issue", "issue", [issue.value for issue in issues], np.asarray(suspects)),
    ]
    material = Material(data) if data is not None else Material(None, _NO_DATA)
    details = {_TRAIN: Details([score], properties)}
    return make_explorer(run, read_histories(run), material, details, begin=score.name)


def _galleries(run: Run, found: LabelIssues, data: Dataset | None) -> list[Block]:
    order = np.argsort(found.score, kind="stable")
    issues = np.array(found.issues, object)
    chosen = {
        issue: of[:_MOST_CARDS]
        for issue in (Issue.MISLABELLED, Issue.DUPLICATE, Issue.AMBIGUOUS, Issue.OUTLIER)
        if len(of := order[issues[order] == issue])
    }
    blocks: list[Block] = [
        Paragraph(
            "The score is the mean probability of the given label beside that of the most probable "
            "other class, over all members: below 0.5 they say it is another one. The curve is the "
            "mean probability of the given label at each extent, dotted that of all examples."
        )
    ]
    if not chosen:
        return [*blocks, Paragraph("No label is suspect.")]
    positions = np.concatenate(list(chosen.values()))
    material = Material(data) if data is not None else Material(None, "")
    exhibits = show_examples(material, {_TRAIN: positions.tolist()})
    if exhibits.remark:
        blocks.append(Paragraph(exhibits.remark))
    curves = np.stack(
        [
            run.recorded("label_probability", _TRAIN, extents=e)[0].mean(axis=0, dtype=float)
            for e in run.extents
        ]
    )
    reference = curves.mean(axis=1).tolist()
    pictures, texts = exhibits.pictures.get(_TRAIN), exhibits.texts.get(_TRAIN)
    row_of = {position: row for row, position in enumerate(positions.tolist())}

    def card(position):
        row = row_of[position]
        return Card(
            str(run.ids[_TRAIN][position]),
            [
                f"given: {run.class_names[run.labels[_TRAIN][position]]}",
                f"suggested: {run.class_names[found.suggested[position]]}",
                f"score {found.score[position]:.2f} ± {found.standard_error[position]:.2f}",
            ],
            Curve(run.extents, curves[:, position].tolist(), reference),
            picture=data_uri(pictures[row], "image/png") if pictures else "",
            text=texts[row] if texts else "",
        )

    for issue, of in chosen.items():
        count = found.issues.count(issue)
        shown = f"the first {len(of)} of {count}" if count > len(of) else f"{count}"
        caption = f"{issue.value.capitalize()} ({shown})"
        blocks.append(Gallery(caption, [card(position) for position in of.tolist()]))
    return blocks


def _detection_table(detection: Mapping[str, Detection]) -> Table:
    ordered = sorted(detection.items(), key=lambda item: -item[1].average_precision)
    rows = [
        [
            name,
            f"{of.auroc:.3f}",
            f"{of.average_precision:.3f}",
            f"{of.precision[100]:.2f}" if 100 in of.precision else "",
            f"{of.precision_at_true_number:.3f}",
        ]
        for name, of in ordered
    ]
    return Table(
        "How well each score finds the labels that are known to be wrong",
        ["score", "AUROC", "average precision", "precision at 100", "at the true number"],
        rows,
    )


def _agreement_table(agreement: Mapping[str, float]) -> Table:
    rows = [
        [name, f"{value:.2f}"] for name, value in sorted(agreement.items(), key=lambda of: -of[1])
    ]
    return Table(
        "Rank correlation of other scores with the audit's, both by suspicion",
        ["score", "Spearman"],
        rows,
    )

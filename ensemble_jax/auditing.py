"""Which training examples are mislabelled: members that hold each example out judge its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from ensemble_jax.analysis import (
    SCORES,
    Detection,
    Issue,
    LabelIssues,
    check_held_out,
    detection,
    example_scores,
    find_label_issues,
    spearman,
)
from ensemble_jax.data import Dataset, load_dataset
from ensemble_jax.data.meaning import relabelled_duplicates
from ensemble_jax.membership import Members, on_dataset
from ensemble_jax.membership import members as make_members
from ensemble_jax.report.audit_page import make_audit_page
from ensemble_jax.report.page import render_page
from ensemble_jax.runs import Run
from ensemble_jax.runs.files import make_folder, replace_file
from ensemble_jax.runs.tables import write_frame
from ensemble_jax.trainer import train

if TYPE_CHECKING:
    import pandas

_TRAIN = "train"
_REMOVED = (Issue.MISLABELLED, Issue.DUPLICATE)
SCORE = "audit"
"""The name of the audit's own score beside those of `analysis.SCORES`."""
RECORD = ("label_probability", "probabilities:train")
"""What a run must record to be audited."""


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """What the members of a run say of the labels of its training examples.

    Attributes:
        run: the members.
        found: the score of each label, its error, and what may be wrong; in the order of the set.
        epochs: those at which members were asked, of which all is a mean.
        agreement: the rank correlation of the audit's score with each other score of the examples,
            in the direction of suspicion: rankings that agree.
        detection: how well each score finds the labels that are wrong, where the truth is known.
        paths: the files written.
    """

    run: Run
    found: LabelIssues
    epochs: tuple[int, ...]
    agreement: Mapping[str, float]
    detection: Mapping[str, Detection] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()

    def table(self, everything: bool = False) -> pandas.DataFrame:
        """The examples with an issue, the most suspect first; or all of them.

        Columns: `id` (of an image in a folder: its file), `given_label`, `suggested_label`, `score`
        (how likely the given label is right, in [0, 1]), `standard_error`, `issue`.
        """
        import pandas as pd

        names = np.asarray(self.run.class_names)
        frame = pd.DataFrame(
            {
                "id": self.run.ids[_TRAIN],
                "given_label": names[self.run.labels[_TRAIN]],
                "suggested_label": names[self.found.suggested],
                "score": self.found.score,
                "standard_error": self.found.standard_error,
                "issue": [issue.value for issue in self.found.issues],
            }
        )
        ordered = frame.iloc[np.argsort(self.found.score, kind="stable")]
        if not everything:
            ordered = ordered.loc[ordered["issue"] != Issue.NONE.value]
        return ordered.reset_index(drop=True)

    def kept_labels(self) -> pandas.DataFrame:
        """`id` and `label` of the examples that are neither likely mislabelled nor contradicted."""
        import pandas as pd

        keep = np.array([issue not in _REMOVED for issue in self.found.issues])
        names = np.asarray(self.run.class_names)[self.run.labels[_TRAIN]]
        return pd.DataFrame({"id": self.run.ids[_TRAIN][keep], "label": names[keep]})

    def __str__(self) -> str:
        """The counts in a line."""
        counts = {issue: self.found.issues.count(issue) for issue in Issue if issue != Issue.NONE}
        told = ", ".join(f"{count} {issue.value}" for issue, count in counts.items())
        return f"of {len(self.found.score)} training examples: {told}"

    __repr__ = __str__


def audit(
    data: Dataset | str,
    network: Any = "st_vgg",
    *,
    members: Members | int = 10,
    folds: int = 5,
    workdir: str | Path | None = None,
    apply: bool = False,
    **options: Any,
) -> Audit:
    """Find the training examples whose labels are probably wrong.

    Trains members in a repeated cross-validation, so that each example is held out of as many, and
    writes what they say (`audit_run`). The same call with the same `workdir` continues.

    Args:
        data: as `train` has it.
        network: as `train` has it.
        members: N, a multiple of `folds`; or `members(N, folds=..., ...)`, or one of whose
            `subset_fraction` each example is left out by some member.
        folds: of the cross-validation, where N is a number.
        workdir: the run directory, into which the audit is written, too; None for a temporary one.
        apply: whether to write `labels.csv`, too: the set without what is likely mislabelled.
        **options: everything else that `train` takes, for example `optimizer`, `extents` and
            `augment`. Extents should be many: the audit chooses among them.

    Raises:
        ValueError: before anything is compiled, naming what was given and what is allowed.
        OSError, Interrupted: as `train` does.
    """
    if not isinstance(members, Members):
        if folds < 2 or members % folds:
            raise ValueError(
                f"members must be a multiple of folds, of at least 2, so that each example is held "
                f"out equally often, got {members} and {folds}"
            )
        members = make_members(members, folds=folds, learning_rate=1e-3)
    if isinstance(data, str):
        data = load_dataset(data)
    check_holds_out(members, data)
    record = tuple(dict.fromkeys((*options.pop("record", ()), *RECORD)))
    run = train(network, data, members=members, workdir=workdir, record=record, **options)
    return audit_run(run, data, apply=apply)


def check_holds_out(members: Members, data: Dataset) -> None:
    """See, before they are trained, that each example can be judged by a member without it.

    Raises:
        ValueError: if an example is held out of none, or fewer members than there are folds.
    """
    if members.folds and len(members) % members.folds:
        raise ValueError(
            f"num_members must be a multiple of folds, {members.folds}, got {len(members)}"
        )
    if not (members.folds or members.partitions) and members.subset_fraction == 1:
        raise ValueError("folds must be at least 2 for an audit, got 0: no example is held out")
    sets = on_dataset(members, data, batch_size=1).training_sets
    assert sets is not None  # members without all examples have sets of their own
    check_held_out(sets.train_mask)


def audit_run(
    run: Run,
    data: Dataset | None = None,
    directory: str | Path | None = None,
    *,
    apply: bool = False,
) -> Audit:
    """Judge the labels on which the members of a run were trained.

    Writes `issues.csv` (of `Audit.table`), `audit.html` with the pictures of the most suspect
    examples, and with `apply` also `labels.csv`.

    Args:
        run: whose extents hold `RECORD`, and whose members each left out some examples (`folds`,
            `subset_fraction`), so that every example was left out by at least one.
        data: what the run is on, for pictures and duplicates; without it there are none.
        directory: where to write; by default the run directory.
        apply: whether to write `labels.csv`, too; the data stay as they are.

    Raises:
        ValueError: if the run has not recorded that, or an example was never held out.
        OSError: if the files cannot be written.
    """
    duplicates = None if data is None else relabelled_duplicates(data.train)
    found = find_label_issues(
        _Extents(run), run.labels[_TRAIN], run.train_mask, run.extents, duplicates
    )
    epochs = tuple(run.extents[e] for e in found.extents)
    scores = example_scores(run, _TRAIN)
    suspicion = {name: SCORES[name].suspicion(of.value) for name, of in scores.items()}
    suspicion = {SCORE: 1 - found.score} | suspicion
    agreement = {
        name: float(spearman(suspicion[SCORE], of))
        for name, of in suspicion.items()
        if name != SCORE and np.isfinite(of).all() and np.ptp(of) > 0
    }
    wrong = _known_to_be_wrong(run)
    told = {} if wrong is None else {n: detection(of, wrong) for n, of in suspicion.items()}
    result = Audit(run, found, epochs, agreement, told)
    target = make_folder("directory", Path(run.directory if directory is None else directory))
    paths = [write_frame(result.table(), target / "issues.csv")]
    if apply:
        paths.append(write_frame(result.kept_labels(), target / "labels.csv"))
    page = make_audit_page(run, found, agreement, told, str(result), data)
    replace_file(target / "audit.html", render_page(page).encode())
    return Audit(run, found, epochs, agreement, told, (*paths, target / "audit.html"))


class _Extents(Sequence[Any]):
    """The probabilities `[N, M, K]` of each extent of a run, read when they are asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __len__(self) -> int:
        return len(self._run.extents)

    def __getitem__(self, position: Any) -> Any:
        if not 0 <= position < len(self):
            raise IndexError(position)
        extent = self._run.extents[position]
        return self._run.recorded("probabilities", _TRAIN, extents=extent)[0]


def _known_to_be_wrong(run: Run) -> Bool[np.ndarray, " M"] | None:
    """Whether each label is another than the true one; None if none is, or that is not known."""
    truth = run.true_labels(_TRAIN)
    if truth is None or (truth < 0).any():
        return None
    wrong = truth != run.labels[_TRAIN]
    return wrong if wrong.any() else None

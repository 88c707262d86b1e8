"""Every score of the examples of a run, from what it recorded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped
from scipy.special import softmax

from ensemble_jax.analysis.memorization import Estimate
from ensemble_jax.analysis.outputs import label_margin, label_probability
from ensemble_jax.analysis.score_table import score_examples

if TYPE_CHECKING:
    from ensemble_jax.runs.arrays import RunArrays

_TRAIN = "train"


def example_scores(
    run: RunArrays,
    split: str = _TRAIN,
    names: Collection[str] | None = None,
    extents: Sequence[int] | None = None,
    where: Shaped[Any, "N M"] | None = None,
) -> dict[str, Estimate]:
    """Scores of the examples of a run by name, averaged over its members.

    All of `SCORES` that follow from what the run recorded of the split (`arrays_of_run`), but for
    those that are known of no example, as memorization where all members have one training set.

    Args:
        run: of `load_run` or `train`, or anything that has its arrays.
        split: whose examples.
        names: of `SCORES`; all by default.
        extents: the epochs to read; all by default. What is of one extent is of the last of them.
        where: `[N, M]`, the members that count where each member has a score of its own, for
            example `~run.train_mask`; all by default.

    Raises:
        ValueError: no such split or extent, a score of unknown name, or one that takes more than
            was recorded (`record=` of `train`).

    >>> from types import SimpleNamespace
    >>> right = np.array([[[1, 0], [0, 0]], [[1, 0], [1, 0]]])
    >>> run = SimpleNamespace(  # or load_run("runs/mine")
    ...     extents=(0, 1), labels={"train": np.zeros(2, int)}, train_mask=np.ones((2, 2)),
    ...     recorded_quantities={"train": ()}, correct=lambda split, extents: right,
    ...     predictions=lambda split, extents: 1 - right)
    >>> example_scores(run)["accessibility"].value
    array([0.75, 0.  ])
    """
    found = score_examples(arrays_of_run(run, split, extents), names, where)
    return {name: of for name, of in found.items() if not np.isnan(of.value).all()}


def arrays_of_run(
    run: RunArrays, split: str = _TRAIN, extents: Sequence[int] | None = None
) -> dict[str, Shaped[np.ndarray, "*axes"]]:
    """What a run recorded of the examples of a split, by names of `AXES`.

    Label probabilities and margins follow from recorded probabilities and logits where they are not
    recorded themselves; probabilities are those of the last extent.

    Args:
        run: of `load_run` or `train`.
        split: whose examples.
        extents: the epochs to read; all by default.

    Raises:
        ValueError: no such split or extent, or a record is damaged.

    >>> from types import SimpleNamespace
    >>> right = np.array([[[1, 0], [0, 0]], [[1, 0], [1, 0]]])
    >>> run = SimpleNamespace(  # or load_run("runs/mine")
    ...     extents=(0, 1), labels={"train": np.zeros(2, int)}, train_mask=np.ones((2, 2)),
    ...     recorded_quantities={"train": ()}, correct=lambda split, extents: right,
    ...     predictions=lambda split, extents: 1 - right)
    >>> list(arrays_of_run(run))
    ['correct', 'predictions', 'labels', 'train_mask']
    """
    chosen = list(run.extents if extents is None else extents)
    arrays = {
        "correct": run.correct(split, chosen),
        "predictions": run.predictions(split, chosen),
        "labels": run.labels[split],
    }
    num_members, num_examples = arrays["correct"].shape[1:]
    if split == _TRAIN:
        arrays["train_mask"] = run.train_mask
    else:
        arrays["train_mask"] = np.zeros((num_members, num_examples), np.bool_)
    recorded, labels = run.recorded_quantities[split], arrays["labels"]
    for name in {"label_probability", "margin"} & {*recorded}:
        arrays[name] = run.recorded(name, split, chosen)
    has_outputs = not {"probabilities", "logits"}.isdisjoint(recorded)
    if has_outputs and "label_probability" not in arrays:
        arrays["label_probability"] = np.stack(
            [label_probability(_probabilities(run, split, extent), labels) for extent in chosen]
        )
    if "logits" in recorded and "margin" not in arrays:
        arrays["margin"] = np.stack(
            [label_margin(run.recorded("logits", split, extent)[0], labels) for extent in chosen]
        )
    if has_outputs:
        arrays["probabilities"] = _probabilities(run, split, chosen[-1])
    return arrays


def _probabilities(run: RunArrays, split: str, extent: int) -> Shaped[np.ndarray, "N M K"]:
    """Those of one extent, in float16."""
    if "probabilities" in run.recorded_quantities[split]:
        return run.recorded("probabilities", split, extent)[0]
    logits = run.recorded("logits", split, extent)[0]
    for of_member in logits:
        of_member[...] = softmax(of_member.astype(np.float32), axis=-1)
    return logits

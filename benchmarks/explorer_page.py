"""The page of a run of any size with an explorer, made up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from ensemble_jax.analysis import SCORES
from ensemble_jax.data import Dataset, Split
from ensemble_jax.report import explorer
from ensemble_jax.report.example_scores import TITLES, ExampleScore
from ensemble_jax.report.exhibits import Material
from ensemble_jax.report.history import MOST_CLASSES, History, LastVotes, OfLabels
from ensemble_jax.report.page import Page, render_page

_CLASSES = 10


def write_page(path: Path, sizes: Mapping[str, int], num_members: int, num_extents: int) -> None:
    """Write the page of a run of these sizes, of which no prediction was ever made."""
    rng = np.random.default_rng(0)
    labels = {name: rng.integers(0, _CLASSES, size) for name, size in sizes.items()}
    run: Any = mock.Mock(
        extents=tuple(range(num_extents)),
        members=np.arange(num_members),
        labels=labels,
        ids={name: np.arange(size) for name, size in sizes.items()},
        splits=tuple(sizes),
        num_classes=_CLASSES,
        class_names=tuple(f"class {k}" for k in range(_CLASSES)),
        recorded_quantities=dict.fromkeys(sizes, ()),
        true_labels=lambda split: None,
    )
    histories = {name: _draw(rng, of, num_members, num_extents) for name, of in labels.items()}
    splits = {}
    for name, size in sizes.items():
        # Coarse, as photographs are smooth.
        small = rng.integers(0, 256, (size, 8, 8, 3), dtype=np.uint8)
        pictures = small.repeat(4, axis=1).repeat(4, axis=2)
        splits[name] = Split(pictures, labels[name].astype(np.int32), run.ids[name])
    material = Material(Dataset("large", splits["train"], splits["test"], run.class_names))

    def scores(run: Any, name: str, history: History) -> list[ExampleScore]:
        size = sizes[name]
        return [
            ExampleScore(of, *TITLES[of], rng.random(size), rng.random(size))
            for of in SCORES
            if of in TITLES
        ]

    with mock.patch.object(explorer, "example_scores", scores):
        made = explorer.make_explorer(run, histories, material)
    path.write_text(render_page(Page("large", "", [], [], [], made)), encoding="utf-8")


def _draw(rng, labels, num_members, num_extents) -> History:
    """What members may have done with examples of these labels."""
    size = len(labels)
    learned = rng.beta(0.5, 0.4, size) ** (20 / (1 + np.arange(num_extents)))[:, np.newaxis]
    correct = rng.binomial(num_members, learned)
    others = (labels + rng.integers(1, _CLASSES, correct.shape)) % _CLASSES
    of_other = (num_members - correct) * rng.integers(2, 5, correct.shape) // 4
    right = correct >= of_other
    top = np.argsort(rng.random((size, _CLASSES)), axis=1)[:, :MOST_CLASSES]
    counts = np.sort(rng.integers(0, num_members // 4 + 1, top.shape))[:, ::-1]
    return History(
        num_members,
        np.where(right, labels, others),
        np.where(right, correct, of_other),
        LastVotes(top, counts, rng.random(size)),
        OfLabels(correct, np.zeros((num_extents, num_members)), rng.random(size)),
    )

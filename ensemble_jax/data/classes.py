"""Some classes of a data set as a set of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.wording import first_few, meant

_NAMES_SHOWN = 20


def select_classes(dataset: Dataset, class_names: Sequence[str]) -> Dataset:
    """The examples of the named classes, from both splits, in the order of the data set.

    Label k is `class_names[k]`, whatever its number was; ids stay, and a true label of another
    class becomes -1. Inputs are copied, so that the rest of the set needs no memory. The result has
    the data set's own name.

    Raises:
        ValueError: if fewer than two classes are named, or one twice, or one that is not there.

    >>> split = Split(np.eye(3, 2), np.arange(3, dtype=np.int32), np.arange(3))
    >>> pets = select_classes(Dataset("all", split, split, ("cat", "cow", "dog")), ["dog", "cat"])
    >>> pets.class_names, pets.train.ids.tolist(), pets.train.labels.tolist()
    (('dog', 'cat'), [0, 2], [1, 0])
    """
    if len(class_names) < 2:
        raise ValueError(
            f"classes of {dataset.name} must be at least two, got {', '.join(class_names) or None}"
        )
    new_label = np.full(dataset.num_classes, -1, np.int32)
    for number, class_name in enumerate(class_names):
        label = _label(dataset, class_name)
        if new_label[label] >= 0:
            raise ValueError(f"classes of {dataset.name} must all differ, got {class_name} twice")
        new_label[label] = number

    def selected(split: Split) -> Split:
        chosen = split.select(np.flatnonzero(new_label[split.labels] >= 0))
        true_labels = chosen.true_labels
        if true_labels is not None:
            true_labels = np.where(true_labels < 0, -1, new_label[true_labels])
        return replace(chosen, labels=new_label[chosen.labels], true_labels=true_labels)

    return replace(
        dataset,
        train=selected(dataset.train),
        test=selected(dataset.test),
        class_names=tuple(class_names),
    )


def _label(dataset: Dataset, class_name: str) -> int:
    """The label of the one class of that name."""
    known = dataset.class_names
    if known.count(class_name) == 1:
        return known.index(class_name)
    if class_name in known:
        raise ValueError(f"{dataset.name} has several classes of the name {class_name}")
    raise ValueError(
        f"classes of {dataset.name} must be among {first_few(known, _NAMES_SHOWN)}; got "
        f"{class_name!r}{meant(class_name, known)}"
    )

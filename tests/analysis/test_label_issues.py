"""Labels that members which hold an example out disagree with: by hand, naively, and in general."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_jax.analysis import Issue, class_thresholds, find_label_issues

# Two members, five examples, two classes; the first member leaves out 0 to 2, the second the rest.
MASK = np.array([[0, 0, 0, 1, 1], [1, 1, 1, 0, 0]])
LABELS = np.array([0, 0, 1, 1, 0])
SURE, HALF = 0.9, 0.5


def of_label(own):
    """Probabilities of two classes, by those of the labels."""
    own = np.asarray(own, float)
    p = np.stack([own, 1 - own], axis=-1)
    return np.where(LABELS[:, np.newaxis] == 0, p, p[..., ::-1])


def test_by_hand():
    own = [[0.9, 0.2, 0.9, 0.7, 0.6], [0.7, 0.4, 0.7, 0.9, 0.8]]
    found = find_label_issues([of_label(own)], LABELS, MASK)
    np.testing.assert_allclose(found.score, [0.8, 0.3, 0.8, 0.8, 0.7])
    np.testing.assert_allclose(found.standard_error, [0.1] * 5)
    assert found.suggested.tolist() == [0, 1, 1, 1, 0]
    np.testing.assert_allclose(found.held_out, of_label([0.9, 0.2, 0.9, 0.9, 0.8]))
    assert [issue.name for issue in found.issues] == ["NONE", "MISLABELLED", "NONE", "NONE", "NONE"]


def test_issues_of_three_classes():
    labels = np.array([0, 0, 1, 1, 2, 0])
    held_out = np.array(
        [
            [0.8, 0.1, 0.1],
            [0.1, 0.8, 0.1],  # class 1, and nothing of class 0
            [0.0, 0.9, 0.1],
            [0.0, 0.5, 0.5],  # class 2 by its threshold, but not class 1
            [0.0, 0.6, 0.4],  # class 2 and, more so, ...
            [0.3, 0.35, 0.35],  # nothing
        ]
    )
    np.testing.assert_allclose(class_thresholds(held_out, labels), [0.4, 0.7, 0.4])
    found = find_label_issues([held_out[np.newaxis]], labels, np.zeros((1, 6)))
    assert [issue.name for issue in found.issues] == [
        "NONE",
        "MISLABELLED",
        "NONE",
        "MISLABELLED",
        "AMBIGUOUS",
        "OUTLIER",
    ]
    assert np.isnan(found.standard_error).all()  # of one member
    again = find_label_issues(
        [held_out[np.newaxis]], labels, np.zeros((1, 6)), duplicates=[1, 0, 0, 0, 0, 0]
    )
    assert again.issues[0] is Issue.DUPLICATE
    assert again.issues[1:] == found.issues[1:]


def test_extents_until_the_held_out_know_most():
    low, high = (np.full((2, 5), value) for value in (0.4, 0.7))
    p = [of_label(own) for own in (low, low, high, high, low)]
    found = find_label_issues(p, LABELS, MASK, epochs=(1, 4, 6, 9, 20))
    assert found.extents == [1, 2]  # the first best is epoch 6; more than 3 epochs and no later
    np.testing.assert_allclose(found.score, (0.4 + 0.7) / 2, rtol=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(2, 5))
def test_neither_the_order_of_members_nor_of_examples_matters(seed, num_members, num_classes):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(num_classes), size=(2, num_members, 7))
    labels = rng.integers(0, num_classes, 7)
    mask = np.arange(num_members)[:, np.newaxis] != rng.integers(0, num_members, 7)
    found = find_label_issues(p, labels, mask)
    assert ((found.score >= 0) & (found.score <= 1)).all()
    rows, columns = rng.permutation(num_members), rng.permutation(7)
    other = find_label_issues(p[:, rows][:, :, columns], labels[columns], mask[rows][:, columns])
    np.testing.assert_allclose(other.score, found.score[columns], rtol=1e-5)
    assert other.issues == [found.issues[m] for m in columns]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"probabilities": []}, "one extent or more, with an epoch for each, got 0 and 0"),
        ({"epochs": (1, 2)}, "got 1 and 2"),
        ({"probabilities": [np.ones((2, 5))]}, r"must be \[N, M, K\], got \[2, 5\]"),
        ({"labels": [0, 0, 1]}, r"train_mask and labels must be \[2, 5\] and \[5\], got \[2, 5\]"),
        ({"labels": [0, 0, 1, 1, 2]}, r"labels must be integers in 0\.\.1"),
        (
            {"train_mask": np.ones((2, 5))},
            "held out of a member, got 5 of 5 that all were trained on",
        ),
    ],
)
def test_mistakes(changes, words):
    arguments = {"probabilities": [of_label(np.ones((2, 5)))], "labels": LABELS, "train_mask": MASK}
    with pytest.raises(ValueError, match=words):
        find_label_issues(**(arguments | changes))

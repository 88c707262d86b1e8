import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import (
    brier_score,
    el2n,
    el2n_bounds,
    label_margin,
    label_probability,
    outputs,
)

# Two members, two examples, three classes.
PROBABILITIES = np.array([[[0.5, 0.25, 0.25], [0, 1, 0]], [[0.25, 0.5, 0.25], [0, 0.5, 0.5]]])
LABELS = [0, 1]


@st.composite
def softmax(draw, min_classes=2):
    *leading, classes = draw(hnp.array_shapes(min_dims=2, max_dims=4, max_side=4))
    shape = (*leading, max(classes, min_classes))
    logits = draw(hnp.arrays("f8", shape, elements=st.floats(-8, 8, width=32)))
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    labels = draw(hnp.arrays("i4", shape[-2:-1], elements=st.integers(0, shape[-1] - 1)))
    return odds / odds.sum(-1, keepdims=True), labels


def test_are_the_hand_computed_tables():
    np.testing.assert_array_equal(label_probability(PROBABILITIES, LABELS), [[0.5, 1], [0.25, 0.5]])
    np.testing.assert_array_equal(label_margin(PROBABILITIES, LABELS), [[0.25, 1], [-0.25, 0]])
    np.testing.assert_allclose(
        el2n(PROBABILITIES, LABELS) ** 2, [[0.375, 0], [0.875, 0.5]], rtol=1e-6
    )
    np.testing.assert_allclose(brier_score(PROBABILITIES, LABELS), [0.1875, 0.6875], rtol=1e-6)


def test_members_may_have_been_taught_different_labels():
    labels = [[0, 1], [1, 2]]
    np.testing.assert_array_equal(label_probability(PROBABILITIES, labels), [[0.5, 1], [0.5, 0.5]])
    np.testing.assert_array_equal(label_margin(PROBABILITIES, labels), [[0.25, 1], [0.25, 0]])
    np.testing.assert_allclose(
        el2n(PROBABILITIES, labels) ** 2, [[0.375, 0], [0.375, 0.5]], rtol=1e-6
    )


@settings(deadline=None)
@given(softmax())
def test_are_what_a_loop_finds(given_):
    probabilities, labels = given_
    margin, norm = label_margin(probabilities, labels), el2n(probabilities, labels)
    own = label_probability(probabilities, labels)
    for place in np.ndindex(probabilities.shape[:-1]):
        row, label = probabilities[place], labels[place[-1]]
        others = [p for k, p in enumerate(row) if k != label]
        assert own[place] == row[label]
        assert margin[place] == pytest.approx(row[label] - max(others), abs=1e-6)
        error = row - np.eye(len(row))[label]
        assert norm[place] == pytest.approx(np.linalg.norm(error), abs=1e-6)


@settings(deadline=None)
@given(softmax())
def test_lie_in_their_ranges(given_):
    probabilities, labels = given_
    norm, margin = el2n(probabilities, labels), label_margin(probabilities, labels)
    assert (norm >= 0).all()
    assert (norm <= 2**0.5 + 1e-6).all()
    assert (np.abs(margin) <= 1 + 1e-6).all()
    low, high = el2n_bounds(label_probability(probabilities, labels), probabilities.shape[-1])
    assert (low <= norm + 1e-6).all()
    assert (norm <= high + 1e-6).all()
    if probabilities.shape[-1] == 2:
        np.testing.assert_allclose(low, high)


@settings(deadline=None)
@given(softmax(), st.randoms())
def test_do_not_depend_on_the_order_of_examples_and_of_other_classes(given_, random):
    probabilities, labels = given_
    num_examples, num_classes = probabilities.shape[-2:]
    examples = random.sample(range(num_examples), num_examples)
    order = np.array(random.sample(range(num_classes), num_classes))
    moved = probabilities[..., examples, :][..., order]
    renamed = np.argsort(order)[labels][examples]
    for score in (el2n, label_margin, label_probability):
        expected = score(probabilities, labels)[..., examples]
        np.testing.assert_allclose(score(moved, renamed), expected, atol=1e-6)


def test_blocks_are_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    given_ = rng.dirichlet(np.ones(3), (2, 11))
    labels = rng.integers(0, 3, 11)
    whole = el2n(given_, labels), label_margin(given_, labels)
    monkeypatch.setattr(outputs, "_BLOCK_SIZE", 12)
    np.testing.assert_array_equal(el2n(given_, labels), whole[0])
    np.testing.assert_array_equal(label_margin(given_, labels), whole[1])


def test_given_arrays_stay_as_they_are():
    given_ = PROBABILITIES.astype(np.float32)
    el2n(given_, LABELS)
    label_margin(given_, LABELS)
    np.testing.assert_array_equal(given_, PROBABILITIES.astype(np.float32))


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (PROBABILITIES * 3, LABELS, r"lie in \[0, 1\], got 1.5"),
        (PROBABILITIES / 2, LABELS, "sum to 1 over the classes, got 0.5"),
        (PROBABILITIES[0, 0], LABELS, r"\[..., M, K\]"),
        (PROBABILITIES, [0, 3], r"labels must lie in 0..2, got 3"),
        (PROBABILITIES, [0], r"labels must be \[2\] or \[2, 2\], got the shape \(1,\)"),
        (PROBABILITIES, [0.0, 1.0], "labels must be integers"),
    ],
)
def test_refuses(probabilities, labels, message):
    for score in (el2n, label_probability):
        with pytest.raises(ValueError, match=message):
            score(probabilities, labels)


def test_a_margin_takes_two_classes():
    with pytest.raises(ValueError, match="at least 2 classes"):
        label_margin([[1.0]], [0])
    with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
        el2n_bounds([0.5], 1)

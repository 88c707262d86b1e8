import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import (
    count_votes,
    entropy,
    mutual_information,
    predictive_entropy,
    uncertainty,
    vote_entropy,
)

LN2 = np.log(2)
# Sure and agreed, unsure and agreed, sure and opposed.
PROBABILITIES = np.array([[[1, 0], [0.5, 0.5], [1, 0]], [[1, 0], [0.5, 0.5], [0, 1]]])


@st.composite
def softmax(draw):
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=4))
    logits = draw(hnp.arrays("f8", shape, elements=st.floats(-30, 30, width=32)))
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def test_are_the_hand_computed_tables():
    np.testing.assert_allclose(entropy(PROBABILITIES), [[0, LN2, 0], [0, LN2, 0]], rtol=1e-6)
    np.testing.assert_allclose(predictive_entropy(PROBABILITIES), [0, LN2, LN2], rtol=1e-6)
    np.testing.assert_allclose(mutual_information(PROBABILITIES), [0, 0, LN2], rtol=1e-6)


@settings(deadline=None)
@given(softmax())
def test_are_what_a_loop_finds(given_):
    def naive(row):
        return -sum(p * np.log(p) for p in row if p > 0)

    of_members, of_mean = entropy(given_), predictive_entropy(given_)
    disagreement = mutual_information(given_)
    for example in range(given_.shape[1]):
        own = [naive(row) for row in given_[:, example]]
        np.testing.assert_allclose(of_members[:, example], own, atol=1e-5)
        expected = naive(given_[:, example].mean(axis=0))
        assert of_mean[example] == pytest.approx(expected, abs=1e-5)
        assert disagreement[example] == pytest.approx(expected - np.mean(own), abs=1e-5)


@settings(deadline=None)
@given(softmax())
def test_disagreement_is_part_of_the_whole(given_):
    information, whole = mutual_information(given_), predictive_entropy(given_)
    num_members, _, num_classes = given_.shape
    assert (information >= 0).all()
    assert (information <= np.log(min(num_members, num_classes)) + 1e-5).all()
    assert (information <= whole + 1e-5).all()
    assert (whole <= np.log(num_classes) + 1e-5).all()


@settings(deadline=None)
@given(softmax(), st.randoms())
def test_do_not_depend_on_the_order_or_doubling_of_members(given_, random):
    order = random.sample(range(len(given_)), len(given_))
    for score in (predictive_entropy, mutual_information):
        expected = score(given_)
        np.testing.assert_allclose(score(given_[order]), expected, atol=1e-5)
        np.testing.assert_allclose(score(np.concatenate([given_, given_])), expected, atol=1e-5)


def test_equal_members_do_not_disagree():
    one = np.random.default_rng(0).dirichlet(np.ones(5), (1, 20))
    np.testing.assert_allclose(mutual_information(np.repeat(one, 7, axis=0)), 0, atol=1e-6)


def test_votes_are_the_probabilities_of_sure_members():
    predictions = np.random.default_rng(0).integers(0, 4, (9, 30))
    np.testing.assert_allclose(
        vote_entropy(count_votes(predictions, 4)), mutual_information(np.eye(4)[predictions]), 1e-5
    )


def test_blocks_are_the_whole(monkeypatch):
    given_ = np.random.default_rng(0).dirichlet(np.ones(3), (4, 25))
    whole = [score(given_) for score in (entropy, predictive_entropy, mutual_information)]
    monkeypatch.setattr(uncertainty, "_BLOCK_SIZE", 30)
    for score, expected in zip(
        (entropy, predictive_entropy, mutual_information), whole, strict=True
    ):
        np.testing.assert_array_equal(score(given_), expected)


def test_float16_is_close():
    given_ = np.random.default_rng(0).dirichlet(np.ones(10), (20, 30))
    np.testing.assert_allclose(
        mutual_information(given_.astype(np.float16)), mutual_information(given_), atol=1e-3
    )


@pytest.mark.parametrize("score", [predictive_entropy, mutual_information])
@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (PROBABILITIES[0], r"\[N, M, K\], got the shape \(3, 2\)"),
        (PROBABILITIES[:0], "at least one member"),
        (PROBABILITIES * 2, "got 2"),
        (np.log(PROBABILITIES + 0.1), r"lie in \[0, 1\]"),
    ],
)
def test_refuses(score, probabilities, message):
    with pytest.raises(ValueError, match=message):
        score(probabilities)


def test_refuses_an_example_without_votes():
    with pytest.raises(ValueError, match="at least one vote"):
        vote_entropy([[0, 0]])

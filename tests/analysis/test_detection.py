import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from ensemble_jax.analysis import auroc, average_precision, detection, precision_at

# Few values, so that ties are common.
scores = st.integers(-2, 2).map(float) | st.sampled_from([np.inf, -np.inf])
known = st.lists(st.tuples(scores, st.booleans()), min_size=1, max_size=12).map(
    lambda pairs: tuple(map(np.array, zip(*pairs, strict=True)))
)
mixed = known.filter(lambda pair: 0 < pair[1].sum() < len(pair[1]))


def test_is_the_hand_computed_table():
    suspicion, wrong = [4, 3, 2, 1], [1, 0, 1, 0]
    assert auroc(suspicion, wrong) == 0.75
    assert average_precision(suspicion, wrong) == pytest.approx((1 + 2 / 3) / 2)
    assert [precision_at(suspicion, wrong, k) for k in (1, 2, 3, 4)] == [1, 0.5, 2 / 3, 0.5]
    result = detection(suspicion, wrong, at=[1, 3, 100])
    assert result.precision == {1: 1, 3: 2 / 3}
    assert result.precision_at_true_number == 0.5


@settings(deadline=None)
@given(mixed)
def test_is_what_scikit_learn_finds(pair):
    suspicion, wrong = pair
    finite = np.nan_to_num(suspicion, posinf=9, neginf=-9)
    assert auroc(suspicion, wrong) == pytest.approx(metrics.roc_auc_score(wrong, finite))
    expected = metrics.average_precision_score(wrong, finite)
    assert average_precision(suspicion, wrong) == pytest.approx(expected)


@settings(deadline=None)
@given(mixed)
def test_auroc_is_the_share_of_pairs_in_order(pair):
    suspicion, wrong = pair
    pairs = list(itertools.product(suspicion[wrong], suspicion[~wrong]))
    in_order = sum((a > b) + 0.5 * (a == b) for a, b in pairs)
    assert auroc(suspicion, wrong) == pytest.approx(in_order / len(pairs))


@settings(deadline=None, max_examples=30)
@given(known.filter(lambda pair: len(pair[0]) <= 5), st.data())
def test_precision_is_the_mean_over_orders_of_ties(pair, data):
    suspicion, wrong = pair
    k = data.draw(st.integers(1, len(wrong)))
    orders = [
        order
        for order in itertools.permutations(range(len(wrong)))
        if all(suspicion[a] >= suspicion[b] for a, b in itertools.pairwise(order))
    ]
    expected = np.mean([wrong[list(order[:k])].mean() for order in orders])
    assert precision_at(suspicion, wrong, k) == pytest.approx(expected)


@settings(deadline=None)
@given(mixed, st.randoms())
def test_only_the_order_of_scores_counts(pair, random):
    suspicion, wrong = pair
    order = random.sample(range(len(wrong)), len(wrong))
    moved = np.arctan(suspicion[order])
    assert auroc(moved, wrong[order]) == auroc(suspicion, wrong)
    assert average_precision(moved, wrong[order]) == average_precision(suspicion, wrong)
    assert auroc(-suspicion, wrong) == pytest.approx(1 - auroc(suspicion, wrong))


def test_an_unknown_score_is_found_last():
    wrong = [0, 1, 1, 0]
    result = detection([np.nan, 1.0, -np.inf, np.nan], wrong, at=[2])
    assert result == detection([-9.0, 1.0, -5.0, -9.0], wrong, at=[2])
    assert result.auroc == 1


def test_of_nothing_or_everything_wrong():
    assert np.isnan(auroc([1, 2], [0, 0]))
    assert np.isnan(auroc([1, 2], [1, 1]))
    assert np.isnan(average_precision([1, 2], [0, 0]))
    assert average_precision([1, 2], [1, 1]) == 1
    assert np.isnan(detection([1, 2], [0, 0]).precision_at_true_number)


def test_by_chance():
    rng = np.random.default_rng(0)
    wrong = rng.random(20000) < 0.1
    result = detection(rng.random(20000), wrong)
    assert result.auroc == pytest.approx(0.5, abs=0.02)
    assert result.average_precision == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("function", [auroc, average_precision, detection])
@pytest.mark.parametrize(
    ("suspicion", "wrong", "message"),
    [
        ([], [], "at least one example"),
        ([[1.0]], [[1]], r"scores must be \[M\]"),
        (["a"], [1], "the type <U1"),
        ([1.0], [1, 0], "each of 1 examples"),
        ([1.0], [2], "0 or 1"),
    ],
)
def test_refuses(function, suspicion, wrong, message):
    with pytest.raises(ValueError, match=message):
        function(suspicion, wrong)


@pytest.mark.parametrize("k", [0, 3])
def test_refuses_more_than_there_are(k):
    with pytest.raises(ValueError, match=rf"k must lie in 1..2, got {k}"):
        precision_at([1, 2], [0, 1], k)

"""What is recorded of every example: a table by hand, a naive reference and laws."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.collection import Placement
from ensemble_jax.data.pools import Pools
from ensemble_jax.evaluation import (
    CollectionEvaluation,
    join_evaluations,
    make_evaluator,
    make_predictor,
)
from ensemble_jax.evaluation.quantities import Answers, record_quantities
from ensemble_jax.losses import cross_entropy, squared_error
from ensemble_jax.networks import Network, Variables
from ensemble_jax.options import Quantity
from ensemble_jax.pool_feed import PoolFeed
from ensemble_jax.training import place_examples

ALL = tuple(Quantity)
UNLABELLED = tuple(quantity for quantity in Quantity if not quantity.needs_labels)
# Half the relative spacing of float16, and what float32 adds to it.
RTOL, ATOL = 2**-11 + 1e-5, 1e-6


def unused(*_):
    raise AssertionError("evaluation must only evaluate")


def linear_network() -> Network:
    return Network(unused, lambda variables, inputs, *, key, train: (inputs @ variables.params, {}))


def naive(logits, labels, losses):
    """Example by example, in Python's own numbers."""
    recorded = {quantity.value: [] for quantity in Quantity}
    for z, y, loss in zip(np.asarray(logits, float).tolist(), labels, losses, strict=True):
        largest = max(z)
        total = sum(math.exp(x - largest) for x in z)
        p = [math.exp(x - largest) / total for x in z]
        recorded["label_probability"].append(p[y])
        recorded["margin"].append(z[y] - max(x for k, x in enumerate(z) if k != y))
        recorded["loss"].append(loss)
        recorded["entropy"].append(-sum(q * math.log(q) for q in p if q > 0))
        recorded["probabilities"].append(p)
        recorded["logits"].append(z)
    return {name: np.array(values) for name, values in recorded.items()}


def assert_like_naive(recorded, logits, labels, losses):
    expected = naive(logits, labels, losses)
    for name, values in recorded.items():
        assert values.dtype == np.float16
        np.testing.assert_allclose(values, expected[name], RTOL, ATOL, err_msg=name)


@jax.jit
def record_all(logits, labels):
    return record_quantities(ALL, Answers(logits, labels, cross_entropy(logits, labels)))


def recorded_of(logits, labels):
    recorded = record_all(np.asarray(logits, np.float32), np.asarray(labels, np.int32))
    return {name: np.asarray(x) for name, x in recorded.items()}


def test_a_table_by_hand():
    """Odds of 1 : 1, 3 : 1 and 1 : 7 for the label."""
    logits = np.log([[1, 1], [3, 1], [1, 7]])
    recorded = recorded_of(logits, [0, 0, 0])
    f16 = np.float16
    assert recorded["label_probability"].tolist() == [0.5, 0.75, 0.125]
    assert recorded["margin"].tolist() == [0, f16(math.log(3)), -f16(math.log(7))]
    assert recorded["loss"].tolist() == [f16(math.log(x)) for x in (2, 4 / 3, 8)]
    two_thirds = 0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    one_eighth = 0.125 * math.log(8) + 0.875 * math.log(8 / 7)
    assert recorded["entropy"].tolist() == [f16(x) for x in (math.log(2), two_thirds, one_eighth)]
    assert recorded["probabilities"].tolist() == [[0.5, 0.5], [0.75, 0.25], [0.125, 0.875]]
    assert recorded["logits"].tolist() == logits.astype(f16).tolist()


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "num_classes"), [(13, 5, 3), (16, 8, 5), (1, 3, 2)]
)
def test_like_naive_through_the_evaluator(num_examples, batch_size, num_classes):
    rng = np.random.default_rng(num_examples)
    inputs = rng.normal(size=(num_examples, 4)).astype(np.float32)
    weights = 3 * rng.normal(size=(4, num_classes)).astype(np.float32)
    labels = rng.integers(num_classes, size=num_examples, dtype=np.int32)
    variables, logits = Variables(weights, {}), inputs @ weights
    for loss in (cross_entropy, squared_error):
        evaluate = make_evaluator(linear_network(), num_classes, batch_size, loss, ALL)
        record = jax.jit(evaluate)(variables, inputs, labels)
        assert set(record.recorded) == {quantity.value for quantity in Quantity}
        losses = np.asarray(loss(jnp.asarray(logits), labels))
        assert_like_naive(record.recorded, logits, labels, losses)
        # The mean that is recorded in any case is that of these.
        np.testing.assert_allclose(record.recorded["loss"].mean(), record.loss, rtol=2e-3)
    predict = make_predictor(linear_network(), num_classes, batch_size, UNLABELLED)
    of_probe = jax.jit(predict)(variables, inputs)
    assert set(of_probe.recorded) == {"entropy", "probabilities", "logits"}
    assert_like_naive(of_probe.recorded, logits, labels, losses)


LOGITS = hnp.arrays(np.float32, (6, 4), elements=st.floats(-100, 100, width=32))
LABELS = hnp.arrays(np.int32, 6, elements=st.integers(0, 3))


@settings(deadline=None, max_examples=100)
@given(LOGITS, LABELS)
def test_laws(logits, labels):
    size, num_classes = logits.shape
    recorded = recorded_of(logits, labels)
    p, loss = recorded["label_probability"].astype(float), recorded["loss"].astype(float)
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(np.exp(-loss), p, rtol=0.06, atol=1e-3)
    alone = (logits == logits.max(1, keepdims=True)).sum(1) == 1
    right = logits.argmax(1) == labels
    np.testing.assert_array_equal(recorded["margin"] > 0, right & alone)
    np.testing.assert_array_equal(
        recorded["margin"] < 0, logits[np.arange(size), labels] < logits.max(1)
    )
    entropy = recorded["entropy"].astype(float)
    assert ((entropy >= 0) & (entropy <= math.log(num_classes) * (1 + 2**-10))).all()
    np.testing.assert_allclose(recorded["probabilities"].astype(float).sum(1), 1, atol=5e-3)
    # Another number for the classes changes nothing but the order of these.
    order = np.roll(np.arange(num_classes), 1)
    of_rolled = recorded_of(logits[:, order], (labels + 1) % num_classes)
    np.testing.assert_allclose(of_rolled["label_probability"], p, rtol=2e-3, atol=1e-6)
    np.testing.assert_array_equal(of_rolled["margin"], recorded["margin"])


def test_what_float16_has_not_becomes_its_largest_and_nan_stays():
    recorded = recorded_of([[1e6, -1e6], [-1e6, 1e6], [np.nan, 0], [1e-9, 0], [0, 1e-9]], [0] * 5)
    largest, least = 65504, 2.0**-24
    np.testing.assert_array_equal(recorded["margin"], [largest, -largest, np.nan, least, -least])
    np.testing.assert_array_equal(recorded["loss"][:2], [0, largest])
    np.testing.assert_array_equal(recorded["label_probability"][:2], [1, 0])
    np.testing.assert_array_equal(
        recorded["logits"][:2], [[largest, -largest], [-largest, largest]]
    )
    for values in recorded.values():
        assert np.isnan(values[2]).any()


def test_a_class_that_cannot_be_has_no_part_in_the_entropy():
    recorded = recorded_of([[0, 0, -np.inf]], [0])
    assert recorded["entropy"].tolist() == [np.float16(math.log(2))]
    assert recorded["label_probability"].tolist() == [0.5]


def collection(quantities, num_members, sets, weights, devices=2, make=make_evaluator):
    placement = Placement(num_members, 1, tuple(jax.devices()[:devices]))
    variables = placement.spread(Variables(weights[:num_members], {}))
    evaluate = {name: make(linear_network(), 3, 4, quantities=some) for name, some in quantities}
    placed = {name: place_examples(placement, *sets[name]) for name, _ in quantities}
    evaluation = CollectionEvaluation(evaluate, placement, variables, placed, join_evaluations)
    return placement, variables, placement.gather(evaluation(variables))


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 4, 3)).astype(np.float32)
    inputs = rng.normal(size=(21, 4)).astype(np.float32)
    labels = rng.integers(3, size=21, dtype=np.int32)
    return weights, {"train": (inputs, labels), "test": (inputs[:8], labels[:8])}


def test_every_set_has_its_own_and_a_member_alone_the_same_bits(made):
    weights, sets = made
    quantities = [("train", (Quantity.MARGIN,)), ("test", ALL)]
    _, _, of_five = collection(quantities, 5, sets, weights)
    _, _, alone = collection(quantities, 1, sets, weights, devices=1)
    assert list(of_five["train"].recorded) == ["margin"]
    assert of_five["test"].recorded["logits"].shape == (5, 8, 3)
    for name, (inputs, labels) in sets.items():
        for member in range(5):
            own = {q: values[member] for q, values in of_five[name].recorded.items()}
            logits = inputs @ weights[member]
            losses = np.asarray(cross_entropy(jnp.asarray(logits), labels))
            assert_like_naive(own, logits, labels, losses)
        for quantity, values in alone[name].recorded.items():
            assert values[0].tobytes() == of_five[name].recorded[quantity][0].tobytes()


@pytest.mark.parametrize("size", [8, 16, 21])
def test_a_set_in_pools_is_recorded_as_in_memory(made, size):
    weights, sets = made
    inputs, labels = sets["train"]
    placement, variables, expected = collection([("train", ALL)], 3, sets, weights)
    feed = PoolFeed(inputs, labels, Pools(21, size), placement, max_threads=1)
    evaluate = make_evaluator(linear_network(), 3, 4, quantities=ALL)
    in_pools = CollectionEvaluation(
        evaluate, placement, variables, {"train": feed}, join_evaluations
    )
    recorded = placement.gather(in_pools(variables))["train"].recorded
    for name, values in expected["train"].recorded.items():
        assert (recorded[name].dtype, recorded[name].shape) == (values.dtype, values.shape)
        np.testing.assert_allclose(recorded[name], values, rtol=2e-3, atol=1e-6)

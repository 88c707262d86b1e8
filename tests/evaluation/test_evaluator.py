from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_jax.collection import Placement
from ensemble_jax.data.pools import Pools
from ensemble_jax.evaluation import (
    CollectionEvaluation,
    join_evaluations,
    make_evaluator,
    make_predictor,
)
from ensemble_jax.evaluation.evaluator import smallest_unsigned
from ensemble_jax.losses import squared_error
from ensemble_jax.networks import Network, Variables
from ensemble_jax.pool_feed import PoolFeed
from ensemble_jax.training import Examples, place_examples

NUM_INPUTS = 4


def unused(*_):
    raise AssertionError("evaluation must only evaluate")


def network_of(evaluate) -> Network:
    """A network that can only be evaluated, without a key."""

    def apply(variables, inputs, *, key, train):
        assert (key, train) == (None, False)
        return evaluate(variables, inputs), variables.state

    return Network(unused, apply)


def linear_network() -> Network:
    return network_of(lambda variables, inputs: inputs @ variables.params)


def lookup_network(logits: np.ndarray) -> Network:
    """The logits of an example are the row that its input names."""
    return network_of(lambda _, inputs: jnp.asarray(logits)[inputs[:, 0]])


def naive_evaluation(logits, labels):
    logits = np.asarray(logits, np.float64)
    predictions, losses = [], []
    for row, label in zip(logits, labels, strict=True):
        best = 0
        for k in range(len(row)):
            if row[k] > row[best]:
                best = k
        predictions.append(best)
        losses.append(np.log(np.exp(row - row.max()).sum()) + row.max() - row[label])
    correct = [int(p == label) for p, label in zip(predictions, labels, strict=True)]
    num_bytes = -(-len(labels) // 8)
    bits = [0] * num_bytes
    for m, right in enumerate(correct):
        bits[m // 8] |= right << (7 - m % 8)
    return bits, predictions, sum(losses) / len(losses), sum(correct) / len(correct)


def make_examples(num_examples, num_classes, num_members=1):
    rng = np.random.default_rng(num_examples)
    inputs = rng.normal(size=(num_examples, NUM_INPUTS)).astype(np.float32)
    weights = rng.normal(size=(num_members, NUM_INPUTS, num_classes)).astype(np.float32)
    return inputs, weights, rng.integers(0, num_classes, num_examples, np.int32)


def assert_like_naive(evaluation, logits, labels):
    bits, predictions, loss, accuracy = naive_evaluation(logits, labels)
    np.testing.assert_array_equal(evaluation.bits, bits)
    assert evaluation.bits.dtype == np.uint8
    np.testing.assert_array_equal(evaluation.predictions, predictions)
    np.testing.assert_allclose(evaluation.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(evaluation.accuracy, accuracy, rtol=1e-6)
    assert evaluation.loss.dtype == evaluation.accuracy.dtype == np.float32


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 30), st.integers(1, 35), st.integers(1, 5))
def test_like_naive_for_every_number_of_examples(num_examples, batch_size, num_classes):
    inputs, [weights], labels = make_examples(num_examples, num_classes)
    evaluate = make_evaluator(linear_network(), num_classes, batch_size)
    evaluation = jax.jit(evaluate)(Variables(weights, {}), inputs, labels)
    assert_like_naive(evaluation, inputs @ weights, labels)


@pytest.mark.parametrize(
    ("num_examples", "batch_size"), [(16, 5), (13, 5), (13, 13), (13, 100), (16, 8), (9, 1), (1, 1)]
)
def test_like_naive_for_every_kind_of_batch_size(num_examples, batch_size):
    inputs, [weights], labels = make_examples(num_examples, 3)
    seen = []

    def evaluate(variables, inputs):
        seen.append(len(inputs))
        return inputs @ variables.params

    evaluator = make_evaluator(network_of(evaluate), 3, batch_size)
    evaluation = jax.jit(evaluator)(Variables(weights, {}), inputs, labels)
    assert_like_naive(evaluation, inputs @ weights, labels)
    assert max(seen) <= batch_size


def test_the_bits_are_those_of_numpy_and_end_in_zeros():
    """All 11 are right: 8 bits, 3 bits, and 5 that belong to no example."""
    logits = np.eye(3, dtype=np.float32)
    labels = np.arange(11, dtype=np.int32) % 3
    evaluate = make_evaluator(lookup_network(logits), 3, batch_size=4)
    evaluation = jax.jit(evaluate)(Variables({}, {}), labels[:, None], labels)
    np.testing.assert_array_equal(evaluation.bits, [0b11111111, 0b11100000])
    np.testing.assert_array_equal(evaluation.bits, np.packbits(np.ones(11, bool)))
    assert evaluation.accuracy == 1


def test_golden_bits():
    logits = np.eye(2, dtype=np.float32)
    labels = np.array([0, 1, 1, 0, 1, 0, 0, 1, 1], np.int32)
    right = np.array([1, 0, 0, 0, 1, 1, 0, 1, 1], bool)
    inputs = np.where(right, labels, 1 - labels)[:, None]
    evaluate = make_evaluator(lookup_network(logits), 2, batch_size=2)
    evaluation = jax.jit(evaluate)(Variables({}, {}), inputs, labels)
    np.testing.assert_array_equal(evaluation.bits, [0b10001101, 0b10000000])
    assert float(evaluation.accuracy) == pytest.approx(5 / 9)


def test_of_equal_logits_the_first_class_wins():
    logits = np.float32([[1, 1, 0], [0, 2, 2], [3, 3, 3], [0, 1, 0]])
    evaluate = make_evaluator(lookup_network(logits), 3, batch_size=3)
    inputs, labels = np.arange(4)[:, None], np.array([1, 1, 0, 1], np.int32)
    evaluation = jax.jit(evaluate)(Variables({}, {}), inputs, labels)
    np.testing.assert_array_equal(evaluation.predictions, [0, 1, 0, 1])
    np.testing.assert_array_equal(evaluation.bits, [0b01110000])


@pytest.mark.parametrize(
    ("num_classes", "dtype"),
    [
        (1, np.uint8),
        (2, np.uint8),
        (256, np.uint8),
        (257, np.uint16),
        (65536, np.uint16),
        (65537, np.uint32),
    ],
)
def test_the_smallest_type_that_holds_the_classes(num_classes, dtype):
    assert smallest_unsigned(num_classes) == dtype


@pytest.mark.parametrize("num_classes", [256, 257])
def test_the_last_class_is_predicted_and_right(num_classes):
    logits = np.eye(num_classes, dtype=np.float32)
    labels = np.array([num_classes - 1, 0], np.int32)
    evaluate = make_evaluator(lookup_network(logits), num_classes, batch_size=2)
    evaluation = jax.jit(evaluate)(Variables({}, {}), labels[:, None], labels)
    np.testing.assert_array_equal(evaluation.predictions, labels)
    assert evaluation.predictions.dtype == smallest_unsigned(num_classes)
    np.testing.assert_array_equal(evaluation.bits, [0b11000000])


@pytest.mark.parametrize(("members_per_call", "devices"), [(0, 1), (1, 2), (2, 1)])
def test_a_collection_is_evaluated_member_by_member(members_per_call, devices):
    num_members = 3
    placement = Placement(num_members, members_per_call, tuple(jax.devices()[:devices]))
    inputs, weights, labels = make_examples(11, 4, num_members)
    splits = {"train": Examples(inputs, labels), "test": Examples(inputs[:5], labels[:5])}
    variables = placement.spread(Variables(weights, {}))
    evaluation = CollectionEvaluation(
        make_evaluator(linear_network(), 4, batch_size=4),
        placement,
        variables,
        {name: place_examples(placement, *split) for name, split in splits.items()},
    )
    assert evaluation.compile_seconds > 0
    results = placement.gather(evaluation(variables))
    assert results.keys() == splits.keys()
    for name, result in results.items():
        for member in range(num_members):
            own = jax.tree.map(lambda x, member=member: x[member], result)
            assert_like_naive(own, splits[name].inputs @ weights[member], splits[name].labels)


@pytest.mark.parametrize(("num_examples", "batch_size"), [(13, 5), (13, 100), (16, 8), (1, 1)])
def test_a_predictor_gives_the_predictions_of_the_evaluator(num_examples, batch_size):
    inputs, [weights], labels = make_examples(num_examples, 300)
    variables = Variables(weights, {})
    predict = make_predictor(linear_network(), 300, batch_size)
    predictions = jax.jit(predict)(variables, inputs).predictions
    evaluation = jax.jit(make_evaluator(linear_network(), 300, batch_size))(
        variables, inputs, labels
    )
    np.testing.assert_array_equal(predictions, evaluation.predictions)
    np.testing.assert_array_equal(predictions, np.argmax(inputs @ weights, -1))
    assert predictions.dtype == evaluation.predictions.dtype == np.uint16


def test_a_predictor_gives_the_first_of_equal_classes_and_takes_no_labels():
    logits = np.float32([[1, 1, 0], [0, 2, 2], [3, 3, 3], [0, 1, 0]])
    predict = make_predictor(lookup_network(logits), 3, batch_size=3)
    shapes = jax.eval_shape(predict, Variables({}, {}), np.arange(4)[:, None])
    assert (shapes.predictions.shape, shapes.predictions.dtype) == ((4,), np.uint8)
    predictions = jax.jit(predict)(Variables({}, {}), np.arange(4)[:, None]).predictions
    np.testing.assert_array_equal(predictions, [0, 1, 0, 1])


def test_probes_are_predicted_member_by_member():
    placement = Placement(3, 1, tuple(jax.devices()[:2]))
    inputs, weights, _ = make_examples(11, 4, num_members=3)
    probes = {"noise": (placement.share(inputs),), "other": (placement.share(inputs[:2]),)}
    variables = placement.spread(Variables(weights, {}))
    evaluation = CollectionEvaluation(
        make_predictor(linear_network(), 4, batch_size=4), placement, variables, probes
    )
    results = placement.gather(evaluation(variables))
    assert results.keys() == probes.keys()
    expected = np.argmax(inputs @ weights, -1)
    np.testing.assert_array_equal(results["noise"].predictions, expected)
    np.testing.assert_array_equal(results["other"].predictions, expected[:, :2])


def test_sets_of_one_size_are_compiled_once():
    placement = Placement(1, 1, tuple(jax.devices()[:1]))
    inputs, weights, _ = make_examples(6, 4)
    traced = []

    def evaluate(variables, inputs):
        traced.append(inputs.shape)
        return inputs @ variables.params

    predict = make_predictor(network_of(evaluate), 4, batch_size=10)
    probes = {"a": inputs, "b": -inputs, "c": inputs[:2]}
    placed = {name: (placement.share(array),) for name, array in probes.items()}
    variables = placement.spread(Variables(weights, {}))
    evaluation = CollectionEvaluation(predict, placement, variables, placed)
    before = len(traced)
    results = placement.gather(evaluation(variables))
    assert len(traced) == before
    assert traced.count((6, NUM_INPUTS)) == traced.count((2, NUM_INPUTS))
    for name, array in probes.items():
        np.testing.assert_array_equal(
            results[name].predictions[0], np.argmax(array @ weights[0], -1)
        )


def test_a_collection_without_probes_predicts_nothing():
    placement = Placement(1, 1, tuple(jax.devices()[:1]))
    predict = make_predictor(linear_network(), 4, batch_size=4)
    evaluation = CollectionEvaluation(predict, placement, Variables({}, {}), {})
    assert evaluation(Variables({}, {})) == {}


@pytest.mark.parametrize("size", [8, 16, 21])
def test_a_set_in_pools_is_evaluated_as_in_memory(size):
    placement = Placement(3, 1, tuple(jax.devices()[:2]))
    inputs, weights, labels = make_examples(21, 4, num_members=3)
    variables = placement.spread(Variables(weights, {}))
    evaluate = make_evaluator(linear_network(), 4, batch_size=4)
    in_memory = CollectionEvaluation(
        evaluate, placement, variables, {"test": place_examples(placement, inputs, labels)}
    )
    expected = placement.gather(in_memory(variables))["test"]
    feed = PoolFeed(inputs, labels, Pools(21, size), placement, max_threads=1)
    in_pools = CollectionEvaluation(
        evaluate, placement, variables, {"test": feed}, join_evaluations
    )
    result = placement.gather(in_pools(variables))["test"]
    np.testing.assert_array_equal(result.bits, expected.bits)
    np.testing.assert_array_equal(result.predictions, expected.predictions)
    for one, two in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        # All examples at once are the same program on the same data.
        np.testing.assert_allclose(one, two, rtol=0 if size == 21 else 1e-6)


def test_the_loss_is_the_one_that_is_given():
    inputs, [weights], labels = make_examples(7, 3)
    evaluate = make_evaluator(linear_network(), 3, 4, loss=squared_error)
    evaluation = jax.jit(evaluate)(Variables(weights, {}), inputs, labels)
    expected = ((inputs @ weights - np.eye(3)[labels]) ** 2).sum(-1).mean()
    np.testing.assert_allclose(evaluation.loss, expected, rtol=1e-5)


def test_pools_whose_bits_do_not_fit_together_are_refused():
    placement = Placement(1, 1, tuple(jax.devices()[:1]))
    inputs, weights, labels = make_examples(11, 4)
    feed = PoolFeed(inputs, labels, Pools(11, 6), placement, max_threads=1)
    evaluate = make_evaluator(linear_network(), 4, batch_size=4)
    with pytest.raises(ValueError, match=r"pools of test .* a multiple of 8 .*size=6"):
        CollectionEvaluation(
            evaluate, placement, Variables(weights, {}), {"test": feed}, join_evaluations
        )

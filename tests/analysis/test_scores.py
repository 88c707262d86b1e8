import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from ensemble_jax.analysis import (
    accessibility_score,
    bimodality,
    consensus_from_votes,
    consensus_score,
    consistency_score,
    count_votes,
    member_accuracy,
)

# Two extents, three members, four examples; the scores below are counted by hand.
CORRECT = np.array(
    [
        [[1, 0, 0, 1], [1, 0, 1, 0], [1, 0, 0, 0]],
        [[1, 0, 1, 1], [1, 1, 1, 1], [1, 0, 1, 0]],
    ],
    bool,
)
CONSISTENCY = np.array([[3, 0, 1, 1], [3, 1, 3, 2]]) / 3
# Of three classes.
PREDICTIONS = np.array(
    [
        [[0, 2, 1, 0], [0, 1, 1, 2], [0, 0, 2, 2]],
        [[1, 2, 2, 0], [2, 2, 2, 0], [1, 2, 0, 0]],
    ],
    np.uint8,
)
VOTES = np.array(
    [
        [[3, 0, 0], [1, 1, 1], [0, 2, 1], [1, 0, 2]],
        [[0, 2, 1], [0, 0, 3], [1, 0, 2], [3, 0, 0]],
    ]
)
CONSENSUS = np.array([[3, 1, 2, 2], [2, 3, 2, 3]]) / 3

bitmaps = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=3, max_side=7))


@st.composite
def collections(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Predictions [E, N, M], labels [M] and K."""
    num_classes = draw(st.integers(1, 6))
    classes = st.integers(0, num_classes - 1)
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=7))
    predictions = draw(
        hnp.arrays(draw(st.sampled_from(["u1", "i4", "u8"])), shape, elements=classes)
    )
    return predictions, draw(hnp.arrays("i4", shape[-1], elements=classes)), num_classes


class TestConsistency:
    def test_is_the_hand_computed_table(self):
        scores = consistency_score(CORRECT)
        assert scores.dtype == np.float64
        np.testing.assert_array_equal(scores, CONSISTENCY)
        np.testing.assert_array_equal(consistency_score(CORRECT[0]), CONSISTENCY[0])

    @settings(deadline=None)
    @given(bitmaps)
    def test_is_the_mean_over_members(self, correct):
        expected = np.zeros((*correct.shape[:-2], correct.shape[-1]))
        for *extent, member, example in np.ndindex(correct.shape):
            expected[(*extent, example)] += correct[(*extent, member, example)]
        np.testing.assert_array_equal(consistency_score(correct), expected / correct.shape[-2])

    @settings(deadline=None)
    @given(bitmaps, st.randoms())
    def test_does_not_depend_on_the_order_of_members(self, correct, random):
        order = random.sample(range(correct.shape[-2]), correct.shape[-2])
        scores = consistency_score(correct[..., order, :])
        np.testing.assert_array_equal(scores, consistency_score(correct))

    @settings(deadline=None)
    @given(bitmaps)
    def test_does_not_change_when_all_members_are_doubled(self, correct):
        doubled = np.concatenate([correct, correct], axis=-2)
        np.testing.assert_array_equal(consistency_score(doubled), consistency_score(correct))

    @settings(deadline=None)
    @given(bitmaps)
    def test_of_the_errors_is_the_rest(self, correct):
        total = consistency_score(correct) + consistency_score(~correct)
        np.testing.assert_allclose(total, 1, rtol=1e-15)

    @pytest.mark.parametrize("value", [0, 1])
    def test_of_members_that_agree_everywhere(self, value):
        np.testing.assert_array_equal(consistency_score(np.full((3, 5, 2), value, bool)), value)

    @pytest.mark.parametrize("dtype", ["u1", "i8", "f4", "f8"])
    def test_takes_zeros_and_ones_of_any_type(self, dtype):
        np.testing.assert_array_equal(consistency_score(CORRECT.astype(dtype)), CONSISTENCY)

    def test_takes_what_converts_to_an_array(self):
        class Convertible:
            def __array__(self, dtype=None, copy=None):
                return CORRECT

        np.testing.assert_array_equal(consistency_score(Convertible()), CONSISTENCY)
        np.testing.assert_array_equal(consistency_score(CORRECT.tolist()), CONSISTENCY)

    def test_of_no_examples_is_empty(self):
        assert consistency_score(np.zeros((2, 3, 0), bool)).shape == (2, 0)

    def test_holds_no_copy_of_the_bitmap(self):
        correct = np.zeros((4, 200, 5000), bool)
        tracemalloc.start()
        consistency_score(correct)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < correct.nbytes / 4

    @pytest.mark.parametrize("score", [consistency_score, accessibility_score, member_accuracy])
    @pytest.mark.parametrize(
        ("correct", "message"),
        [
            (np.full((2, 2, 2), 0.5), "hold 0 and 1, got 0.5"),
            (np.full((2, 2, 2), np.nan), "hold 0 and 1, got nan"),
            (np.full((2, 2, 2), 255, np.uint8), "hold 0 and 1, got 255"),
            (np.full((2, 2, 2), "1"), "got the type <U1"),
            (np.ones(3, bool), r"axes \[..., N, M\], got the shape \(3,\)"),
        ],
    )
    def test_refuses_what_is_no_bitmap(self, score, correct, message):
        with pytest.raises(ValueError, match=message):
            score(correct)

    def test_refuses_an_empty_collection(self):
        with pytest.raises(ValueError, match="at least one member"):
            consistency_score(np.zeros((2, 0, 3), bool))


class TestAccessibility:
    def test_is_the_hand_computed_table(self):
        np.testing.assert_allclose(
            accessibility_score(CORRECT), np.array([6, 1, 4, 3]) / 6, rtol=1e-15
        )

    def test_refuses_a_single_extent_without_its_axis(self):
        with pytest.raises(ValueError, match=r"\[E, N, M\]"):
            accessibility_score(CORRECT[0])

    def test_refuses_a_history_without_extents(self):
        with pytest.raises(ValueError, match="at least one extent"):
            accessibility_score(CORRECT[:0])


class TestMemberAccuracy:
    def test_is_the_hand_computed_table(self):
        np.testing.assert_array_equal(
            member_accuracy(CORRECT), [[0.5, 0.5, 0.25], [0.75, 1.0, 0.5]]
        )

    @settings(deadline=None)
    @given(bitmaps)
    def test_has_the_same_mean_as_the_consistency(self, correct):
        np.testing.assert_allclose(
            member_accuracy(correct).mean(-1), consistency_score(correct).mean(-1), atol=1e-15
        )

    def test_refuses_no_examples(self):
        with pytest.raises(ValueError, match="at least one example"):
            member_accuracy(np.zeros((2, 3, 0), bool))


class TestConsensus:
    def test_is_the_hand_computed_table(self):
        np.testing.assert_array_equal(count_votes(PREDICTIONS, 3), VOTES)
        np.testing.assert_array_equal(consensus_score(PREDICTIONS, 3), CONSENSUS)
        np.testing.assert_array_equal(consensus_score(PREDICTIONS[1], 3), CONSENSUS[1])
        np.testing.assert_array_equal(consensus_from_votes(VOTES), CONSENSUS)

    @settings(deadline=None)
    @given(collections())
    def test_is_the_share_of_the_most_frequent_class(self, collection):
        predictions, _, num_classes = collection
        scores = consensus_score(predictions, num_classes)
        votes = count_votes(predictions, num_classes)
        assert votes.dtype == np.int32
        assert votes.shape == (*scores.shape, num_classes)
        for extent, example in np.ndindex(scores.shape):
            counted = Counter(predictions[extent, :, example].tolist())
            most = counted.most_common(1)[0][1]
            assert scores[extent, example] == most / predictions.shape[1]
            expected = [counted[k] for k in range(num_classes)]
            assert votes[extent, example].tolist() == expected

    @settings(deadline=None)
    @given(collections())
    def test_lies_between_one_class_in_k_and_one(self, collection):
        predictions, _, num_classes = collection
        scores = consensus_score(predictions, num_classes)
        assert (scores >= 1 / num_classes - 1e-15).all()
        assert (scores <= 1).all()

    @settings(deadline=None)
    @given(collections())
    def test_is_never_below_the_consistency(self, collection):
        predictions, labels, num_classes = collection
        consistency = consistency_score(predictions == labels)
        assert (consensus_score(predictions, num_classes) >= consistency).all()

    @settings(deadline=None)
    @given(collections(), st.randoms())
    def test_depends_on_no_order_of_members_or_names_of_classes(self, collection, random):
        predictions, _, num_classes = collection
        order = random.sample(range(predictions.shape[1]), predictions.shape[1])
        names = np.array(random.sample(range(num_classes), num_classes))
        scores = consensus_score(names[predictions[:, order]], num_classes)
        np.testing.assert_array_equal(scores, consensus_score(predictions, num_classes))

    @settings(deadline=None)
    @given(collections())
    def test_does_not_change_when_all_members_are_doubled(self, collection):
        predictions, _, num_classes = collection
        doubled = np.concatenate([predictions, predictions], axis=1)
        np.testing.assert_array_equal(
            consensus_score(doubled, num_classes), consensus_score(predictions, num_classes)
        )

    @pytest.mark.parametrize(("num_members", "num_classes"), [(3, 700), (300, 3), (1, 1)])
    def test_is_the_same_over_many_blocks(self, num_members, num_classes):
        rng = np.random.default_rng(0)
        predictions = rng.integers(0, num_classes, (num_members, 997))
        votes = (predictions[..., np.newaxis] == np.arange(num_classes)).sum(axis=0)
        np.testing.assert_array_equal(count_votes(predictions, num_classes), votes)
        np.testing.assert_array_equal(
            consensus_score(predictions, num_classes), votes.max(-1) / num_members
        )

    def test_never_holds_the_votes_of_all_examples(self):
        predictions = np.zeros((2, 50, 4000), np.uint8)
        tracemalloc.start()
        consensus_score(predictions, 200)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * 4000 * 200

    def test_of_no_examples_is_empty(self):
        assert consensus_score(np.zeros((3, 0), int), 2).shape == (0,)

    @pytest.mark.parametrize("score", [consensus_score, count_votes])
    @pytest.mark.parametrize(
        ("predictions", "num_classes", "message"),
        [
            (PREDICTIONS, 2, r"predictions must lie in 0\.\.1, got 2"),
            (PREDICTIONS.astype(int) - 1, 3, r"predictions must lie in 0\.\.2, got -1"),
            (PREDICTIONS.astype(float), 3, "predictions must be integers, got the type float64"),
            (PREDICTIONS == 1, 3, "predictions must be integers, got the type bool"),
            (PREDICTIONS[:, :0], 3, "at least one member"),
            (PREDICTIONS[0, 0], 3, r"\[..., N, M\]"),
            (PREDICTIONS, 0, "num_classes must be at least 1, got 0"),
        ],
    )
    def test_refuses_what_it_cannot_count(self, score, predictions, num_classes, message):
        with pytest.raises(ValueError, match=message):
            score(predictions, num_classes)

    @pytest.mark.parametrize(
        ("votes", "message"),
        [
            (VOTES / 3, "votes must be integers, got the type float64"),
            (-VOTES, "votes must be at least 0, got -3"),
            (VOTES * 0, "at least one vote for each example"),
            (VOTES[..., :0], r"\[..., M, K\]"),
        ],
    )
    def test_from_votes_refuses_what_are_no_votes(self, votes, message):
        with pytest.raises(ValueError, match=message):
            consensus_from_votes(votes)


# Far from the smallest differences that survive an affine map.
scores_of_examples = hnp.arrays(
    np.float64, st.integers(2, 30), elements=st.integers(0, 20).map(lambda count: count / 20)
)


class TestBimodality:
    @pytest.mark.parametrize(
        ("scores", "expected"),
        [
            ([0, 0.5, 1], 0.5),  # kurtosis 3/2, skewness 0
            ([0, 1 / 3, 2 / 3, 1], 0.64),  # kurtosis 41/25
            ([0, 0, 0.5, 1, 1], 0.25),  # kurtosis 5/4
            # Mean 3/4; central moments 11/16, 9/32 and 197/256.
            ([0, 0, 1, 2], 512 / 1331),
        ],
    )
    def test_is_the_hand_computed_value(self, scores, expected):
        assert bimodality(scores) == pytest.approx(expected, abs=1e-14)

    @settings(deadline=None)
    @given(scores_of_examples)
    def test_is_kurtosis_less_squared_skewness_less_one(self, scores):
        if len(set(scores)) > 1:
            expected = stats.kurtosis(scores, fisher=False) - stats.skew(scores) ** 2 - 1
            assert bimodality(scores) == pytest.approx(expected, abs=1e-9)

    @settings(deadline=None)
    @given(
        st.floats(-1e6, 1e6),
        st.floats(-1e6, 1e6),
        st.integers(1, 1000),
        st.integers(1, 1000),
    )
    def test_of_two_values_is_zero(self, low, high, num_low, num_high):
        if low != high:
            value = bimodality(np.repeat([low, high], [num_low, num_high]))
            assert 0 <= value < 1e-12

    def test_of_one_example_in_a_million_is_zero(self):
        scores = np.zeros(1_000_000)
        scores[0] = 1
        assert 0 <= bimodality(scores) < 1e-12

    @settings(deadline=None)
    @given(scores_of_examples)
    def test_is_never_negative(self, scores):
        assert not bimodality(scores) < 0

    @settings(deadline=None)
    @given(scores_of_examples, st.floats(-10, 10), st.floats(0.01, 100), st.booleans())
    def test_does_not_change_under_affine_maps(self, scores, shift, scale, mirrored):
        mapped = shift + (-scale if mirrored else scale) * scores
        if len(set(scores)) > 1:
            assert bimodality(mapped) == pytest.approx(bimodality(scores), rel=1e-6, abs=1e-9)

    @settings(deadline=None)
    @given(scores_of_examples, st.randoms())
    def test_does_not_depend_on_order_or_copies_of_examples(self, scores, random):
        order = random.sample(range(len(scores)), len(scores))
        again = bimodality(np.tile(scores[order], 3))
        np.testing.assert_allclose(again, bimodality(scores), atol=1e-12)

    def test_of_uniform_scores_is_four_fifths(self):
        assert bimodality(np.linspace(0, 1, 100_001)) == pytest.approx(0.8, abs=1e-4)

    def test_of_normal_scores_is_two(self):
        quantiles = (np.arange(1_000_000) + 0.5) / 1_000_000
        assert bimodality(stats.norm.ppf(quantiles)) == pytest.approx(2, abs=1e-3)

    @pytest.mark.parametrize("scores", [[0.1], [0.1] * 10, [1 / 3] * 7, [0] * 3, [1e300] * 3])
    def test_of_equal_scores_is_undefined(self, scores):
        assert np.isnan(bimodality(scores))

    @pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e150])
    def test_does_not_lose_the_smallest_and_largest_differences(self, scale):
        assert bimodality([0, scale, scale]) == pytest.approx(0, abs=1e-12)

    def test_takes_each_row_for_itself(self):
        scores = np.array([[[0, 0.5, 1], [0, 0, 1]], [[0.3, 0.3, 0.3], [0, 1, 2]]])
        values = bimodality(scores)
        assert values.shape == (2, 2)
        np.testing.assert_allclose(values, [[0.5, 0], [np.nan, 0.5]], atol=1e-12)

    def test_leaves_its_input_alone(self):
        scores = np.array([0.0, 0.5, 1.0])
        bimodality(scores)
        np.testing.assert_array_equal(scores, [0, 0.5, 1])

    @pytest.mark.parametrize(
        ("scores", "message"),
        [
            ([], "at least one example"),
            (0.5, "at least one example"),
            ([0.0, np.nan], "scores must be finite, got nan"),
            ([0.0, np.inf], "scores must be finite, got inf"),
            (["0.5"], "scores must be numbers"),
        ],
    )
    def test_refuses_what_are_no_scores(self, scores, message):
        with pytest.raises(ValueError, match=message):
            bimodality(scores)

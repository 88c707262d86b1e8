import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import easier_since, learned_at_least_as_fast, ordered_share

histories = hnp.arrays(
    float,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6),
    elements=st.integers(0, 3).map(lambda count: count / 3),
)
CURVES = np.array([[0.2, 0.6, 1.0], [0.4, 0.5, 0.9], [0.0, 0.0, 1.0]]).T


class TestEasierSince:
    def test_is_the_hand_computed_table(self):
        everyone = np.arange(3)
        since = easier_since(CURVES, everyone[:, None], everyone)
        assert since.tolist() == [[0, 1, 0], [3, 0, 3], [2, 2, 0]]

    @settings(deadline=None)
    @given(histories)
    def test_is_the_naive_search(self, scores):
        num_extents, num_examples = scores.shape
        everyone = np.arange(num_examples)
        since = easier_since(scores, everyone[:, None], everyone)
        for a, b in np.ndindex(since.shape):
            starts = [
                s
                for s in range(num_extents)
                if all(scores[e, a] >= scores[e, b] for e in range(s, num_extents))
            ]
            assert since[a, b] == min(starts, default=num_extents)

    def test_is_the_same_over_many_blocks(self):
        rng = np.random.default_rng(0)
        scores = rng.integers(0, 5, (4, 30)) / 4
        first, second = rng.integers(0, 30, (2, 150_000))
        everyone = np.arange(30)
        table = easier_since(scores, everyone[:, None], everyone)
        np.testing.assert_array_equal(easier_since(scores, first, second), table[first, second])

    def test_one_pair_gives_one_number(self):
        assert easier_since(CURVES, 0, 1) == 1

    @pytest.mark.parametrize(
        ("first", "message"),
        [([3], r"first must lie in 0\.\.2, got 3"), ([-1], "got -1"), ([0.0], "integers")],
    )
    def test_refuses_examples_that_are_none(self, first, message):
        with pytest.raises(ValueError, match=message):
            easier_since(CURVES, first, [0])


class TestOrder:
    @settings(deadline=None)
    @given(histories, st.integers(0, 5))
    def test_is_reflexive_and_transitive(self, scores, since):
        since = min(since, len(scores) - 1)
        everyone = np.arange(scores.shape[1])
        order = learned_at_least_as_fast(scores, everyone[:, None], everyone, since)
        assert order.diagonal().all()
        two_steps = (order.astype(int) @ order) > 0
        assert (order | ~two_steps).all()
        # Both ways only for examples of equal scores.
        for a, b in zip(*np.nonzero(order & order.T), strict=True):
            np.testing.assert_array_equal(scores[since:, a], scores[since:, b])

    def test_from_a_later_extent_on_orders_more(self):
        scores = np.random.default_rng(0).random((6, 40))
        shares = [ordered_share(scores, since, seed=0).unordered for since in range(6)]
        assert shares == sorted(shares, reverse=True)
        assert shares[-1] == 0

    def test_the_last_extent_alone_is_the_papers_definition(self):
        everyone = np.arange(3)
        order = learned_at_least_as_fast(CURVES, everyone[:, None], everyone, since=2)
        np.testing.assert_array_equal(order, CURVES[2][:, None] >= CURVES[2])

    def test_refuses_an_extent_that_is_none(self):
        with pytest.raises(ValueError, match=r"since must lie in 0\.\.2, got 3"):
            learned_at_least_as_fast(CURVES, [0], [1], since=3)


class TestOrderedShare:
    def test_is_near_the_share_of_all_pairs(self):
        scores = np.random.default_rng(0).integers(0, 3, (3, 50)) / 2
        a, b = np.nonzero(~np.eye(50, dtype=bool))
        forth = learned_at_least_as_fast(scores, a, b, since=0)
        back = learned_at_least_as_fast(scores, b, a, since=0)
        share = ordered_share(scores, since=0, seed=0, num_pairs=40_000)
        expected = [(forth != back).mean(), (forth & back).mean(), (~forth & ~back).mean()]
        np.testing.assert_allclose(share, expected, atol=0.01)
        assert sum(share) == pytest.approx(1)

    def test_of_examples_learned_one_after_another(self):
        scores = np.tril(np.ones((6, 6)))
        assert ordered_share(scores, since=0, seed=0) == (1, 0, 0)
        assert ordered_share(np.zeros((2, 5)), since=0, seed=0) == (0, 1, 0)

    def test_refuses_a_single_example_and_no_pair(self):
        with pytest.raises(ValueError, match="at least 2 examples, got 1"):
            ordered_share(np.zeros((2, 1)), since=0, seed=0)
        with pytest.raises(ValueError, match="num_pairs must be at least 1"):
            ordered_share(CURVES, since=0, seed=0, num_pairs=0)

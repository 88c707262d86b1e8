import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from ensemble_jax.analysis import (
    SCORES,
    Reliability,
    bootstrap_error,
    member_mean,
    members_needed,
    reliability,
    spearman,
    spearman_brown,
)

few = st.integers(-3, 3).map(float)
pairs = st.integers(2, 12).flatmap(
    lambda size: st.tuples(*[hnp.arrays("f8", size, elements=few) for _ in "ab"])
)


def make_arrays(num_members=24, num_examples=60, num_extents=4, seed=0):
    """Members that learn the same examples first, up to noise of their own."""
    rng = np.random.default_rng(seed)
    difficulty = rng.random(num_examples)
    ease = np.linspace(0.3, 1, num_extents)[:, np.newaxis, np.newaxis] - difficulty
    margin = ease + rng.normal(0, 0.7, (num_extents, num_members, num_examples))
    odds = np.exp(np.stack([margin[-1], np.zeros(margin.shape[1:])], axis=-1))
    return {
        "correct": margin > 0,
        "margin": margin,
        "probabilities": odds / odds.sum(-1, keepdims=True),
        "labels": np.zeros(num_examples, int),
        "train_mask": rng.random((num_members, num_examples)) < 0.5,
    }


class TestSpearman:
    def test_is_the_hand_computed_table(self):
        assert spearman([1, 2, 3, 4], [10, 20, 40, 30]) == pytest.approx(0.8)
        assert spearman([1, 2, 3], [3, 2, 1]) == -1

    @settings(deadline=None)
    @given(pairs.filter(lambda pair: all(np.ptp(of) for of in pair)))
    def test_is_what_scipy_finds(self, pair):
        assert spearman(*pair) == pytest.approx(stats.spearmanr(*pair).statistic)

    @settings(deadline=None)
    @given(pairs.filter(lambda pair: np.ptp(pair[0])))
    def test_only_the_order_counts(self, pair):
        first, _ = pair
        assert spearman(first, np.exp(first)) == 1
        assert spearman(first, -(first**3)) == -1

    def test_leaves_out_what_is_unknown(self):
        assert spearman([1, 2, np.nan, 3], [1, 2, 0, np.inf]) == 1
        assert np.isnan(spearman([1, np.nan], [1, 2]))
        assert np.isnan(spearman([1, 1], [1, 2]))

    def test_refuses_other_examples(self):
        with pytest.raises(ValueError, match="of the same examples"):
            spearman([1, 2], [1, 2, 3])


class TestReliability:
    def test_rises_with_members_and_extents(self):
        result = reliability(SCORES["accessibility"], make_arrays(), [1, 4, 12], 0, [1, 4])
        assert result.correlations.shape == (3, 2, 20)
        medians = np.median(result.correlations, axis=-1)
        assert (np.diff(medians, axis=0) > 0).all()
        assert (np.diff(medians, axis=1) > 0).all()

    def test_of_equal_members_is_perfect(self):
        arrays = {"correct": np.repeat(make_arrays()["correct"][:, :1], 8, axis=1)}
        np.testing.assert_array_equal(
            reliability(SCORES["accessibility"], arrays, [1, 4], 0).correlations, 1
        )

    def test_of_noise_is_none(self):
        noise = {"margin": np.random.default_rng(0).normal(size=(2, 40, 2000))}
        result = reliability(SCORES["area_under_margin"], noise, [20], 0)
        assert np.abs(result.correlations).max() < 0.1

    @pytest.mark.parametrize("name", ["accessibility", "area_under_margin", "el2n"])
    def test_members_scored_once_are_members_scored_anew(self, name):
        score, arrays = SCORES[name], make_arrays()
        assert score.each_member_alone
        once = reliability(score, arrays, [3, 8], seed=1, num_splits=4)
        anew = reliability(score.__call__, arrays, [3, 8], seed=1, num_splits=4)
        np.testing.assert_allclose(once.correlations, anew.correlations, atol=1e-3)

    @pytest.mark.parametrize(
        "name", [name for name, score in SCORES.items() if {*score.needs} <= {*make_arrays()}]
    )
    def test_of_every_score(self, name):
        result = reliability(SCORES[name], make_arrays(), [12], seed=0, num_splits=5)
        assert np.isfinite(result.correlations).all()
        # Examples differ by their difficulty alone: not by what members disagree about or memorise.
        if name not in {"forgotten_share", "unforgettable", "mutual_information", "memorization"}:
            assert np.median(result.correlations) > 0.1

    def test_of_one_extent_is_known_for_all_of_them(self):
        result = reliability(SCORES["entropy"], make_arrays(), [2, 12], 0, [1, 4])
        assert np.isnan(result.correlations[:, 0]).all()
        assert np.isfinite(result.correlations[:, 1]).all()

    def test_halves_have_no_member_in_common(self):
        seen = []

        def score(arrays):
            seen.append(arrays["train_mask"][:, 0])
            return np.arange(3.0)

        reliability(score, {"train_mask": np.arange(10)[:, np.newaxis] * np.ones(3)}, [5, 2], 0)
        for first, second in zip(seen[::2], seen[1::2], strict=True):
            assert len({*first, *second}) == len(first) + len(second)

    def test_the_seed_decides(self):
        score, arrays = SCORES["accessibility"], make_arrays()
        one, two, other = (reliability(score, arrays, [4], seed).correlations for seed in (0, 0, 1))
        np.testing.assert_array_equal(one, two)
        assert (one != other).any()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"counts": [13]}, r"counts must lie in 1..12, half of the members"),
            ({"counts": []}, "at least one of them"),
            ({"extents": [0]}, r"extents must lie in 1..4"),
            ({"num_splits": 0}, "num_splits must be at least 1, got 0"),
            ({"arrays": {"other": np.ones(3)}}, "arrays must be of correct, .* got other"),
            ({"arrays": {"correct": np.ones((2, 3))}}, r"correct must be \[E, N, M\]"),
            ({"arrays": {"labels": np.ones(3)}}, "at least one member"),
            (
                {"arrays": {"correct": np.ones((1, 2, 3)), "train_mask": np.ones((3, 3))}},
                "N = 3 beside 2",
            ),
        ],
    )
    def test_refuses(self, options, message):
        options = {"arrays": make_arrays(), "counts": [2], "seed": 0} | options
        with pytest.raises(ValueError, match=message):
            reliability(SCORES["accessibility"], **options)


class TestSpearmanBrown:
    def test_tells_of_more_members(self):
        # Variances 1 of the examples and 4 of the noise: r = n / (n + 4).
        assert spearman_brown(1 / 5, factor=4) == pytest.approx(4 / 8)
        result = Reliability(np.array([1, 4]), np.array([3]), np.array([[[0.2]], [[0.5]]]))
        assert members_needed(result, 36 / 40) == pytest.approx(36)
        assert members_needed(result, 0.5) == pytest.approx(4)

    @settings(deadline=None)
    @given(st.floats(0.01, 0.99), st.floats(0.1, 10), st.floats(0.1, 10))
    def test_twice_is_once_by_the_product(self, r, one, two):
        both = spearman_brown(spearman_brown(r, one), two)
        assert both == pytest.approx(spearman_brown(r, one * two))

    def test_predicts_what_is_measured(self):
        arrays = make_arrays(num_members=64, num_examples=800)
        medians = np.median(
            reliability(SCORES["area_under_margin"], arrays, [4, 32], 0).correlations, axis=(1, 2)
        )
        assert spearman_brown(medians[0], 8) == pytest.approx(medians[1], abs=0.03)

    def test_of_nothing_to_go_by(self):
        def of(value):
            return Reliability(np.array([2]), np.array([1]), np.array([[[value]]]))

        assert members_needed(of(-0.1)) == np.inf
        assert np.isnan(members_needed(of(np.nan)))
        with pytest.raises(ValueError, match=r"target must lie in \(0, 1\), got 1"):
            members_needed(of(0.5), 1)
        with pytest.raises(ValueError, match="factor must be above 0, got 0"):
            spearman_brown(0.5, 0)


class TestBootstrap:
    def test_of_a_mean_is_its_standard_error(self):
        arrays = make_arrays()
        error = bootstrap_error(SCORES["area_under_margin"], arrays, 0, num_resamples=2000)
        of_each = SCORES["area_under_margin"](arrays)
        expected = member_mean(of_each).standard_error * np.sqrt(23 / 24)
        np.testing.assert_allclose(error, expected, rtol=0.1)

    def test_of_what_members_only_say_together(self):
        error = bootstrap_error(SCORES["mutual_information"], make_arrays(), 0)
        assert error.shape == (60,)
        assert (error > 0).all()

    def test_refuses_too_few(self):
        with pytest.raises(ValueError, match="num_resamples must be at least 2, got 1"):
            bootstrap_error(SCORES["accessibility"], make_arrays(), 0, 1)

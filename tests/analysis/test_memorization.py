import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_jax.analysis import (
    auroc,
    c_score,
    influence,
    influence_blocks,
    linear_datamodel,
    memorization,
    top_influences,
)

# Four members, three examples: known anyhow, known by heart, seen by all.
MASK = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1]], bool)
CORRECT = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 1]], bool)


@st.composite
def halves(draw):
    """Masks and correctness of train and test examples."""
    num_members, num_train, num_test = (draw(st.integers(1, 6)) for _ in range(3))
    return tuple(
        draw(hnp.arrays(bool, (num_members, size))) for size in (num_train, num_train, num_test)
    )


def mean(values) -> float:
    values = list(values)
    return float(np.mean(values)) if values else np.nan


class TestMemorization:
    def test_is_the_hand_computed_table(self):
        found = memorization(CORRECT, MASK)
        np.testing.assert_allclose(found.value, [0.5, 1, np.nan])
        # Two members each: variances 0 and 1/4 of the means.
        np.testing.assert_allclose(found.standard_error, [0.5, 0, np.nan])

    @settings(deadline=None)
    @given(halves())
    def test_is_what_a_loop_finds(self, given_):
        mask, correct, _ = given_
        value = memorization(correct, mask).value
        for example in range(mask.shape[1]):
            pairs = list(zip(correct[:, example], mask[:, example], strict=True))
            seen = mean(right for right, trained in pairs if trained)
            held_out = mean(right for right, trained in pairs if not trained)
            np.testing.assert_allclose(value[example], seen - held_out)

    @settings(deadline=None)
    @given(halves(), st.randoms())
    def test_follows_examples_and_not_the_order_of_members(self, given_, random):
        mask, correct, _ = given_
        members = random.sample(range(len(mask)), len(mask))
        examples = random.sample(range(mask.shape[1]), mask.shape[1])
        moved = memorization(correct[members][:, examples], mask[members][:, examples])
        expected = memorization(correct, mask).value[examples]
        np.testing.assert_allclose(moved.value, expected, atol=1e-12)
        assert not (np.abs(moved.value) > 1).any()

    def test_two_hundreds_agree_about_what_is_memorised(self):
        rng = np.random.default_rng(0)
        wrong = rng.random(300) < 0.2
        mask = rng.random((200, 300)) < 0.5
        # A wrong label is only known by those who saw it, others mostly by all.
        chance = np.where(wrong, np.where(mask, 0.95, 0.05), np.where(mask, 0.98, 0.85))
        correct = rng.random((200, 300)) < chance
        first, second = (
            memorization(correct[of], mask[of]).value for of in (slice(100), slice(100, 200))
        )
        assert np.corrcoef(first, second)[0, 1] > 0.8
        assert auroc(first, wrong) > 0.99


class TestCScore:
    def test_is_the_hand_computed_table(self):
        # Fractions 1, 2/3, 2/3 and 1/3: example 0 is held out at 2/3 (right) and 1/3 (wrong).
        found = c_score(CORRECT, MASK)
        np.testing.assert_allclose(found.value, [0.5, 0, np.nan])

    def test_weighs_fractions_and_not_members(self):
        mask = np.zeros((5, 10), bool)
        mask[:4, :5], mask[4, 5:] = True, True
        mask[4, 5:7] = False
        correct = np.ones((5, 10), bool)
        correct[4] = False
        # Example 9: four members of one half are right, the one of another size was trained on it.
        np.testing.assert_allclose(c_score(correct, mask).value, [0] * 5 + [0.5] * 2 + [1] * 3)

    def test_members_that_are_said_to_be_alike_count_alike(self):
        found = c_score(CORRECT, MASK, subset_fraction=[0.7, 0.5, 0.5, 0.5])
        np.testing.assert_allclose(found.value, [0.5, 0, np.nan])
        found = c_score([[1], [0], [0]], [[0], [0], [0]], subset_fraction=[0.1, 0.9, 0.9])
        assert found.value == 0.5
        with pytest.raises(ValueError, match=r"subset_fraction must be \[4\], got \[2\]"):
            c_score(CORRECT, MASK, subset_fraction=[0.5, 0.5])

    @settings(deadline=None)
    @given(halves())
    def test_is_what_a_loop_finds(self, given_):
        mask, correct, _ = given_
        value = c_score(correct, mask).value
        sizes = mask.sum(axis=1)
        for example in range(mask.shape[1]):
            by_size = [
                mean(correct[(sizes == size) & ~mask[:, example], example])
                for size in np.unique(sizes)
            ]
            known = [score for score in by_size if not np.isnan(score)]
            np.testing.assert_allclose(value[example], mean(known))

    def test_has_the_error_of_its_members(self):
        rng = np.random.default_rng(0)
        mask = np.arange(20) < np.where(np.arange(400) % 2, 5, 10)[:, np.newaxis]
        found = [c_score(rng.random((400, 20)) < 0.7, mask) for _ in range(300)]
        spread = np.std([of_one.value[-1] for of_one in found])
        assert np.mean([of_one.standard_error[-1] for of_one in found]) == pytest.approx(
            spread, rel=0.1
        )

    def test_takes_probabilities(self):
        np.testing.assert_allclose(c_score([[0.25], [0.75]], [[0], [0]]).value, [0.5])


class TestInfluence:
    def test_on_the_train_examples_is_their_memorization(self):
        found = influence(MASK, CORRECT)
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.diag(found), memorization(CORRECT, MASK).value, atol=1e-6)
        # Of having seen example 1 on being right about example 0: 1 less a half.
        assert found[1, 0] == pytest.approx(0.5)

    @settings(deadline=None)
    @given(halves(), st.integers(1, 7))
    def test_is_what_a_loop_finds_in_any_blocks(self, given_, block_size):
        mask, _, correct = given_
        whole = influence(mask, correct)
        expected = [[mean(test[seen]) - mean(test[~seen]) for test in correct.T] for seen in mask.T]
        np.testing.assert_allclose(whole, expected, atol=1e-6)
        places, blocks = zip(*influence_blocks(mask, correct, block_size), strict=True)
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)
        numbers = np.arange(correct.shape[1])
        np.testing.assert_array_equal(np.concatenate([numbers[of] for of in places]), numbers)

    @settings(deadline=None)
    @given(halves(), st.data())
    def test_the_largest_are_those_of_a_sorted_column(self, given_, data):
        mask, _, correct = given_
        k = data.draw(st.integers(1, mask.shape[1]))
        found = top_influences(mask, correct, k)
        whole = influence(mask, correct)
        for column in range(correct.shape[1]):
            known = sorted(whole[~np.isnan(whole[:, column]), column], reverse=True)[:k]
            np.testing.assert_allclose(found.influence[column][: len(known)], known)
            assert np.isnan(found.influence[column][len(known) :]).all()
            assert len(set(found.examples[column].tolist())) == k
            np.testing.assert_array_equal(
                whole[found.examples[column], column], found.influence[column]
            )

    def test_never_holds_all_of_them(self):
        rng = np.random.default_rng(0)
        mask, correct = rng.random((20, 6000)) < 0.5, rng.random((20, 9000)) < 0.5
        tracemalloc.start()
        found = top_influences(mask, correct, k=3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found.examples.shape == (9000, 3)
        assert peak < 6000 * 9000 * 4 * 2.5

    def test_finds_the_twin_of_an_example(self):
        rng = np.random.default_rng(0)
        mask = rng.random((200, 40)) < 0.5
        twins = rng.integers(0, 40, 15)
        correct = mask[:, twins] | (rng.random((200, 15)) < 0.2)
        np.testing.assert_array_equal(top_influences(mask, correct, 1).examples[:, 0], twins)


class TestDatamodel:
    def test_finds_the_weights_of_a_linear_margin(self):
        rng = np.random.default_rng(0)
        mask = rng.random((300, 12)) < 0.5
        truth = np.zeros((2, 12))
        truth[0, 3], truth[1, [1, 7]] = 2.0, [1.0, -1.5]
        margin = mask @ truth.T + [0.5, -1] + rng.normal(0, 0.1, (300, 2))
        for alpha in (None, 1e-3):
            weights, intercepts = linear_datamodel(mask, margin, alpha)
            np.testing.assert_allclose(weights, truth, atol=0.1)
            np.testing.assert_allclose(intercepts, [0.5, -1], atol=0.1)

    def test_a_large_penalty_leaves_the_mean(self):
        mask = np.random.default_rng(0).random((50, 4)) < 0.5
        weights, intercepts = linear_datamodel(mask, mask[:, :1].astype(float), alpha=10)
        np.testing.assert_array_equal(weights, 0)
        assert intercepts[0] == pytest.approx(mask[:, 0].mean(), rel=1e-6)

    @pytest.mark.parametrize(
        ("num_members", "alpha", "message"),
        [(4, None, "at least 5 members, got 4"), (1, 1.0, "at least 2"), (9, 0.0, "above 0")],
    )
    def test_refuses(self, num_members, alpha, message):
        with pytest.raises(ValueError, match=message):
            linear_datamodel(np.ones((num_members, 2)), np.ones((num_members, 1)), alpha)


@pytest.mark.parametrize(
    ("correct", "mask", "message"),
    [
        (CORRECT, MASK[:2], r"train_mask must be \[4, M\], got the shape \(2, 3\)"),
        (CORRECT, MASK[:, :2], "of the same examples"),
        (CORRECT * 2.0, MASK, r"correct must lie in \[0, 1\], got 2"),
        (CORRECT, MASK * 3, "train_mask must be boolean or hold 0 and 1, got 3"),
    ],
)
def test_refuses(correct, mask, message):
    for score in (c_score, memorization):
        with pytest.raises(ValueError, match=message):
            score(correct, mask)


def test_influence_refuses():
    with pytest.raises(ValueError, match="block_size must be at least 1, got 0"):
        influence_blocks(MASK, CORRECT, 0)
    with pytest.raises(ValueError, match=r"train_mask must be \[4, M\]"):
        influence(MASK[:2], CORRECT)
    with pytest.raises(ValueError, match=r"k must lie in 1..3, got 4"):
        top_influences(MASK, CORRECT, 4)

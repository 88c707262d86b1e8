import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_jax.data.draws import normals, random_order, stratified_split, uniforms


def test_orders_are_fixed_for_ever():
    assert random_order(0, 12).tolist() == [11, 3, 2, 1, 8, 6, 0, 7, 4, 10, 5, 9]


@given(st.integers(0, 2**64), st.integers(0, 50))
def test_an_order_holds_each_number_once(seed, size):
    assert sorted(random_order(seed, size)) == list(range(size))


def test_uniforms_and_normals_are_fixed_for_ever():
    # The same raw numbers as NumPy's own uniform numbers, which drop 11 of their bits.
    np.testing.assert_allclose(
        uniforms(1946, 5), np.random.Generator(np.random.PCG64(1946)).random(5), atol=2.0**-51
    )
    np.testing.assert_allclose(
        normals(0, 4), [0.350349, -0.613458, -1.739499, -2.131411], atol=1e-6
    )


@pytest.mark.parametrize(("draw", "mean", "std"), [(uniforms, 0.5, 12**-0.5), (normals, 0, 1)])
def test_moments(draw, mean, std):
    values = draw(5, 100_000)
    assert abs(values.mean() - mean) < 4 * std / 100_000**0.5
    np.testing.assert_allclose(values.std(), std, rtol=0.01)
    assert np.isfinite(values).all()
    assert len(np.unique(values)) == 100_000
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.02


def test_the_extreme_raw_numbers_stay_between_0_and_1(monkeypatch):
    class Extremes:
        def __init__(self, seed):
            pass

        def random_raw(self, size):
            return np.array([0, 2**64 - 1], np.uint64)

    monkeypatch.setattr(np.random, "PCG64", Extremes)
    least, most = uniforms(0, 2)
    assert 0 < least < most < 1
    assert np.isfinite(normals(0, 2)).all()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.sampled_from([0.025, 0.2, 0.5]))
def test_each_class_gives_its_share(labels, fraction):
    labels = np.array(labels)
    train, test = stratified_split(labels, fraction, seed=3)
    assert sorted([*train, *test]) == list(range(len(labels)))
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        assert (labels[test] == label).sum() == max(1, round(fraction * count))

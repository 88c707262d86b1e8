from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from ensemble_jax import ops

SHAPES = [(2, 4, 6, 3), (3, 5, 7, 1), (1, 9, 8, 2)]
SIZES = [1, 2, 3]
# Size, strides and padding: AlexNet's, ResNet's, and what else may overlap or leave pixels out.
OVERLAPPING = [(3, 2, 0), (3, 2, 1), (2, 1, 0), (3, 1, 1), (2, 3, 1), (2, 2, 1), (4, 2, 1)]


def distinct(shape):
    values = np.arange(np.prod(shape), dtype=np.float32) - 20
    return np.random.default_rng(0).permutation(values).reshape(shape)


def windows_of(inputs, size, strides, padding):
    """`[B, P, Q, size * size, C]` by slices, NaN where a window leaves the image."""
    sides = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    padded = np.pad(inputs, sides, constant_values=np.nan)
    _, height, width, _ = padded.shape
    return np.array(
        [
            [
                padded[:, p : p + size, q : q + size].reshape(len(inputs), size**2, -1)
                for q in range(0, width - size + 1, strides)
            ]
            for p in range(0, height - size + 1, strides)
        ]
    ).transpose(2, 0, 1, 3, 4)


def xla_pool(inputs, size, initial, operation):
    window = (1, size, size, 1)
    return lax.reduce_window(inputs, np.float32(initial), operation, window, window, "VALID")


def xla_max_pool(inputs, size):
    return xla_pool(inputs, size, -np.inf, lax.max)


def xla_average_pool(inputs, size):
    return xla_pool(inputs, size, 0, lax.add) / size**2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_max_pool_is_the_largest_of_each_window(shape, size):
    inputs = distinct(shape)
    np.testing.assert_array_equal(
        ops.max_pool(inputs, size), windows_of(inputs, size, size, 0).max(axis=3)
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_average_pool_is_the_mean_of_each_window(shape, size):
    inputs = distinct(shape)
    np.testing.assert_allclose(
        ops.average_pool(inputs, size),
        windows_of(inputs, size, size, 0).mean(axis=3),
        rtol=1e-6,
        atol=1e-5,
    )


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("pool", "reference"),
    [(ops.max_pool, xla_max_pool), (ops.average_pool, xla_average_pool)],
    ids=["max", "average"],
)
def test_pools_and_their_gradients_are_xlas(pool, reference, shape, size):
    inputs = distinct(shape)

    @jax.jit
    def both(inputs, cotangent):
        results = []
        for function in (pool, reference):
            outputs, pull_back = jax.vjp(lambda x, f=function: f(x, size), inputs)
            results.append((outputs, *pull_back(cotangent)))
        return results

    cotangent = np.random.default_rng(1).normal(
        size=(shape[0], shape[1] // size, shape[2] // size, shape[3])
    )
    ours, theirs = both(inputs, cotangent.astype(np.float32))
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-6, atol=1e-5)


def test_two_by_two_is_the_default():
    inputs = distinct((1, 4, 4, 2))
    np.testing.assert_array_equal(ops.max_pool(inputs), ops.max_pool(inputs, 2))
    np.testing.assert_array_equal(ops.average_pool(inputs), ops.average_pool(inputs, 2))


def test_entries_that_share_the_largest_value_share_its_gradient():
    inputs = np.array([[7, 7, 1, 2], [0, 7, 3, 3]], np.float32).reshape(1, 2, 4, 1)
    _, pull_back = jax.vjp(ops.max_pool, inputs)
    [gradient] = pull_back(np.array([3, 5], np.float32).reshape(1, 1, 2, 1))
    expected = [[1, 1, 0, 0], [0, 1, 2.5, 2.5]]
    np.testing.assert_allclose(gradient[0, :, :, 0], expected, rtol=1e-6)


def test_left_over_rows_and_columns_get_no_gradient():
    inputs = distinct((1, 5, 3, 1))
    for pool in (ops.max_pool, ops.average_pool):
        gradient = jax.grad(lambda x, pool=pool: pool(x).sum())(inputs)[0, :, :, 0]
        assert not gradient[4].any()
        assert not gradient[:, 2].any()
        assert gradient.sum() == 2


def test_a_nan_is_never_pooled_away():
    inputs = distinct((1, 4, 4, 1))
    inputs[0, 1, 0, 0] = np.nan
    for pool in (ops.max_pool, ops.average_pool):
        np.testing.assert_array_equal(
            np.isnan(pool(inputs))[0, :, :, 0], [[True, False], [False, False]]
        )


@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 8, 6, 2)])
@pytest.mark.parametrize("window", OVERLAPPING, ids=str)
def test_windows_with_strides_and_padding(window, shape):
    inputs = distinct(shape)
    windows = windows_of(inputs, *window)
    np.testing.assert_array_equal(ops.max_pool(inputs, *window), np.nanmax(windows, axis=3))
    np.testing.assert_allclose(
        ops.average_pool(inputs, *window), np.nanmean(windows, axis=3), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("window", OVERLAPPING, ids=str)
def test_gradients_with_strides_and_padding(window):
    """Of the largest all goes to the one that is; of the mean an equal share to each."""
    inputs = distinct((2, 5, 7, 3))
    windows = windows_of(inputs, *window)
    cotangent = np.random.default_rng(1).normal(size=np.nanmax(windows, 3).shape)
    numbers = windows_of(np.arange(inputs.size, dtype=np.float64).reshape(inputs.shape), *window)
    largest = windows == np.nanmax(windows, 3, keepdims=True)
    inside = ~np.isnan(windows)
    shares = {
        ops.max_pool: largest.astype(float),
        ops.average_pool: inside / inside.sum(3, keepdims=True),
    }
    for pool, share in shares.items():
        expected = np.zeros(inputs.size)
        given = (share * cotangent[:, :, :, None])[inside]
        np.add.at(expected, numbers[inside].astype(int), given)
        _, pull_back = jax.vjp(lambda x, pool=pool: pool(x, *window), inputs)
        [gradient] = pull_back(cotangent.astype(np.float32))
        np.testing.assert_allclose(gradient.ravel(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", OVERLAPPING, ids=str)
def test_of_equal_entries_all_share(window):
    """Padding takes no part, so that nothing of the gradient is lost."""
    inputs = np.full((1, 6, 6, 1), -7, np.float32)
    outputs, pull_back = jax.vjp(lambda x: ops.max_pool(x, *window), inputs)
    [gradient] = pull_back(np.ones_like(outputs))
    assert gradient.sum() == pytest.approx(outputs.size)
    assert (outputs == -7).all()


@pytest.mark.parametrize(("length", "size"), [(6, 3), (7, 3), (5, 6), (1, 4), (13, 7), (4, 4)])
def test_adaptive_windows_cover_the_image(length, size):
    inputs = distinct((2, length, length + 1, 3))

    def means(values, axis):
        count = values.shape[axis]
        return np.stack(
            [
                values.take(range(i * count // size, -(-(i + 1) * count // size)), axis).mean(axis)
                for i in range(size)
            ],
            axis,
        )

    expected = means(means(inputs.astype(float), 1), 2)
    outputs = ops.adaptive_average_pool(inputs, size)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_members_are_pooled_as_alone():
    inputs = distinct((3, 2, 5, 7, 2))
    for pool in (ops.max_pool, ops.average_pool):
        for window in ((2, 2, 0), (3, 2, 1)):
            f = jax.grad(lambda x, p=pool, w=window: (p(x, *w) ** 2).sum())
            np.testing.assert_array_equal(jax.vmap(f)(inputs)[1], f(inputs[1]))


_SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(st.integers(5, 11), st.integers(5, 11)),
    _SIZES,
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2),
)
def test_rectangular_windows_are_xlas(image, size, strides, padding):
    """With padding of its own on each side; exactly, and the gradients to rounding."""
    inputs = distinct((2, *image, 3))

    def xla(initial, operation, x):
        window, steps = (1, *size, 1), (1, *strides, 1)
        sides = ((0, 0), *padding, (0, 0))
        return lax.reduce_window(x, np.float32(initial), operation, window, steps, sides)

    pools = [
        (ops.max_pool, partial(xla, -np.inf, lax.max)),
        (ops.sum_pool, partial(xla, 0, lax.add)),
    ]
    cotangent = distinct(jax.eval_shape(pools[0][1], inputs).shape)

    @jax.jit
    def all_results(inputs):
        results = []
        for pool, reference in pools:
            for function in (partial(pool, size=size, strides=strides, padding=padding), reference):
                outputs, pull_back = jax.vjp(function, inputs)
                results.append((outputs, *pull_back(cotangent)))
        return results

    results = all_results(inputs)
    for ours, theirs in zip(results[::2], results[1::2], strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        if not np.isinf(theirs[0]).any():  # a window of padding alone; XLA's gradient goes astray
            np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [5, (5, 4), (10, 8)])
def test_large_windows_are_xlas(size):
    inputs = distinct((2, 11, 9, 3))
    height, width = (size, size) if isinstance(size, int) else size
    window = (1, height, width, 1)
    for pool, initial, operation in ((ops.max_pool, -np.inf, lax.max), (ops.sum_pool, 0, lax.add)):
        np.testing.assert_array_equal(
            pool(inputs, size),
            lax.reduce_window(inputs, np.float32(initial), operation, window, window, "VALID"),
        )
    outputs, pull_back = jax.vjp(lambda x: ops.max_pool(x, size), np.zeros_like(inputs))
    [gradient] = pull_back(np.ones_like(outputs))
    gradient = np.asarray(gradient, float)
    covered = gradient[:, : 11 // height * height, : 9 // width * width]
    np.testing.assert_allclose(covered, 1 / (height * width))
    assert gradient.sum() == pytest.approx(covered.sum())

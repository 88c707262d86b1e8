from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from benchmarks.operations import multiply_adds
from ensemble_jax import ops
from ensemble_jax.collection import Placement
from ensemble_jax.options import ConvolutionAlgorithm

# Of the standard deviation of a sum of that many products of normal numbers. Float32 rounds each
# to 6e-8; Winograd's transforms add the rounding of sums that are several times as large.
TOLERANCE = 5e-6
ALGORITHMS = [a for a in ConvolutionAlgorithm if ops.why_unavailable(a, "cpu") is None]
SAME, VALID = ((1, 1), (1, 1)), ((0, 0), (0, 0))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def naive_convolution(inputs, kernel, strides, padding):
    padded = np.pad(inputs.astype(np.float64), ((0, 0), *padding, (0, 0)))
    h, w = kernel.shape[:2]
    rows = (padded.shape[1] - h) // strides[0] + 1
    columns = (padded.shape[2] - w) // strides[1] + 1
    outputs = np.zeros((len(inputs), rows, columns, kernel.shape[-1]))
    for p in range(rows):
        for q in range(columns):
            window = padded[:, p * strides[0] :, q * strides[1] :][:, :h, :w]
            outputs[:, p, q] = np.einsum("bijc,ijcd->bd", window, kernel)
    return outputs


def outputs_and_gradients(convolution, inputs, kernel, cotangent, strides, padding):
    outputs, pull_back = jax.vjp(lambda x, k: convolution(x, k, strides, padding), inputs, kernel)
    return outputs, *pull_back(cotangent)


def reference(inputs, kernel, strides, padding):
    """XLA's convolution of inputs that were padded before.

    With more padding than the kernel is wide, XLA's own gradient by the inputs reads beyond its
    memory on CPU (jax 0.10.2), so its padding is never used.
    """
    padded = jnp.pad(inputs, ((0, 0), *padding, (0, 0)))
    return ops.xla_convolution(padded, kernel, strides, VALID)


# Compile time is all the time there is, so nothing is optimised that is run once.
@partial(
    jax.jit,
    static_argnums=(0, 4, 5),
    compiler_options={"xla_backend_optimization_level": 0},
)
def outputs_and_gradients_of_all(convolutions, inputs, kernel, cotangent, strides, padding):
    return [
        outputs_and_gradients(convolution, inputs, kernel, cotangent, strides, padding)
        for convolution in convolutions
    ]


def assert_close(ours, theirs, kernel_shape, outputs_shape):
    """Outputs, input gradient and kernel gradient, each by the number of products in a sum."""
    h, w, channels, features = kernel_shape
    summands = (h * w * channels, h * w * features, np.prod(outputs_shape[:3]))
    for our, their, count in zip(ours, theirs, summands, strict=True):
        assert our.shape == their.shape
        assert our.dtype == jnp.float32
        np.testing.assert_allclose(our, their, rtol=0, atol=TOLERANCE * np.sqrt(count))


def assert_like_xla(inputs_shape, kernel_shape, strides, padding):
    inputs, kernel = normal(*inputs_shape), normal(*kernel_shape)
    outputs_shape = jax.eval_shape(
        lambda x, k: reference(x, k, strides, padding), inputs, kernel
    ).shape
    cotangent = normal(*outputs_shape, seed=1)
    usual = all(max(sides) < size for sides, size in zip(padding, kernel_shape, strict=False))
    algorithms = [a for a in ALGORITHMS if usual or a is not ConvolutionAlgorithm.XLA]
    ours = tuple(ops.CONVOLUTIONS[algorithm] for algorithm in algorithms)
    theirs, *results = outputs_and_gradients_of_all(
        (reference, *ours), inputs, kernel, cotangent, strides, padding
    )
    for result in results:
        assert_close(result, theirs, kernel_shape, outputs_shape)


@st.composite
def convolutions(draw):
    """The shapes of inputs and kernel, strides and padding, of an output that is not empty."""
    sides = st.integers(1, 9)
    height, width = draw(sides), draw(sides)
    # Most kernels are those that Winograd's algorithm is made for.
    window = draw(st.one_of(st.just((3, 3)), st.tuples(st.integers(1, 5), st.integers(1, 5))))
    strides = draw(st.one_of(st.just((1, 1)), st.tuples(st.integers(1, 3), st.integers(1, 3))))
    side = st.integers(0, 5)
    padding = draw(
        st.one_of(
            st.sampled_from(["SAME", "VALID"]),
            st.tuples(st.tuples(side, side), st.tuples(side, side)),
        )
    )
    if isinstance(padding, str):
        padding = tuple(lax.padtype_to_pads((height, width), window, strides, padding))
    sizes = zip((height, width), padding, window, strict=True)
    assume(all(size + sum(sides) >= extent for size, sides, extent in sizes))
    channels = st.sampled_from([1, 2, 3, 8, 13, 32])
    kernel = (*window, draw(channels), draw(channels))
    return (draw(st.integers(1, 3)), height, width, kernel[2]), kernel, strides, padding


@settings(deadline=None, max_examples=8)
@given(convolutions())
def test_every_algorithm_is_xlas_convolution(convolution):
    assert_like_xla(*convolution)


@pytest.mark.parametrize(
    ("size", "padding"),
    [
        ((6, 5), SAME),
        ((5, 6), VALID),
        ((1, 2), SAME),
        ((4, 4), ((2, 0), (5, 1))),
        ((4, 8), SAME),
        ((9, 10), VALID),
        ((7, 3), ((0, 3), (4, 2))),
    ],
)
def test_three_by_three_kernels_of_stride_one(size, padding):
    assert_like_xla((2, *size, 8), (3, 3, 8, 9), (1, 1), padding)


@pytest.mark.parametrize(
    ("inputs", "kernel", "strides", "padding"),
    [
        ((2, 5, 4, 256), (3, 3, 256, 512), (1, 1), SAME),
        ((2, 4, 4, 512), (3, 3, 512, 32), (1, 1), VALID),
        # XLA's and Keras's 'same' for an even kernel.
        ((2, 4, 4, 256), (2, 2, 256, 256), (1, 1), ((0, 1), (0, 1))),
        ((2, 4, 4, 512), (1, 1, 512, 256), (2, 2), VALID),
    ],
)
def test_many_channels(inputs, kernel, strides, padding):
    assert_like_xla(inputs, kernel, strides, padding)


@pytest.mark.parametrize(
    ("size", "strides", "padding"),
    [
        ((5, 4), (2, 2), VALID),
        # Read to the edge, and not; more padding than the kernel is wide.
        ((7, 6), (3, 2), VALID),
        ((4, 5), (2, 3), ((1, 0), (2, 1))),
        ((3, 3), (1, 1), SAME),
    ],
)
def test_kernels_of_one_pixel(size, strides, padding):
    assert_like_xla((2, *size, 3), (1, 1, 3, 4), strides, padding)


def test_kernels_of_one_pixel_multiply_no_zeros_that_a_stride_leaves():
    inputs, kernel = normal(2, 6, 6, 3), normal(1, 1, 3, 5)
    arguments = inputs, kernel, normal(2, 3, 3, 5)
    count = multiply_adds(
        lambda *xs: outputs_and_gradients(ops.patches_convolution, *xs, (2, 2), VALID), *arguments
    )
    assert count == 3 * (2 * 3 * 3) * (3 * 5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("size", "window", "strides", "padding"),
    [
        ((5, 4), (3, 3), (1, 1), SAME),
        ((4, 5), (2, 2), (1, 1), ((0, 1), (0, 1))),
        ((7, 6), (4, 3), (3, 2), ((2, 0), (1, 3))),
    ],
)
def test_every_algorithm_is_the_sum_of_its_definition(algorithm, size, window, strides, padding):
    inputs, kernel = normal(2, *size, 8), normal(*window, 8, 3)
    outputs = ops.CONVOLUTIONS[algorithm](inputs, kernel, strides, padding)
    expected = naive_convolution(inputs, kernel, strides, padding)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-4)


def test_kernels_are_not_turned():
    inputs = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[0, 2] = 1
    for algorithm in ALGORITHMS:
        outputs = ops.CONVOLUTIONS[algorithm](inputs, kernel, (1, 1), SAME)[0, :, :, 0]
        np.testing.assert_array_equal(outputs, [[0, 0, 0], [1, 2, 0], [4, 5, 0]])


@pytest.mark.parametrize(
    ("size", "window", "padding", "of_xla"),
    [
        (5, 5, ((2, 2), (2, 2)), 3),
        (4, 5, ((2, 2), (2, 2)), 1),
        (2, 3, SAME, 1),
        # The cotangent, which is the kernel of the kernel's gradient, exceeds the image.
        (3, 3, ((2, 2), (2, 2)), 2),
        (8, 1, VALID, 0),
    ],
)
def test_direct_convolutions_leave_small_images_to_products(size, window, padding, of_xla):
    """XLA's CPU library takes no image that is smaller than the kernel; gradients may be taken."""
    inputs, kernel = normal(2, size, size, 8), normal(window, window, 8, 6)
    outputs = jax.eval_shape(
        partial(ops.xla_convolution, strides=(1, 1), padding=padding), inputs, kernel
    )
    program = jax.make_jaxpr(
        partial(outputs_and_gradients, ops.direct_convolution), static_argnums=(3, 4)
    )(inputs, kernel, normal(*outputs.shape), (1, 1), padding)
    assert str(program).count("conv_general_dilated[") == of_xla


def test_every_algorithm_has_a_convolution():
    assert list(ops.CONVOLUTIONS) == list(ConvolutionAlgorithm)


# Two shapes that st-VGG has: one for Winograd, one that it passes on.
LAYERS = [((2, 7, 8, 8), (3, 3, 8, 10), SAME), ((2, 4, 4, 8), (2, 2, 8, 9), ((0, 1), (0, 1)))]


def in_vmap(function, *stacked):
    return jax.jit(jax.vmap(function))(*stacked)


def in_scan(function, *stacked):
    return jax.jit(lambda *xs: lax.scan(lambda _, x: ((), function(*x)), (), xs)[1])(*stacked)


def on_four_devices(function, *stacked):
    devices = tuple(jax.devices()[:4])
    assert len(devices) == 4
    placement = Placement(num_members=len(stacked[0]), members_per_call=0, devices=devices)
    return placement.gather(placement.lift(function)(*placement.spread(stacked)))


@pytest.mark.parametrize("lifted", [in_vmap, in_scan, on_four_devices])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_lifted_over_members_with_own_kernels(algorithm, lifted):
    convolution = ops.CONVOLUTIONS[algorithm]
    members = 5

    def both_layers(*arguments):
        return [
            outputs_and_gradients(convolution, *arguments[3 * i : 3 * i + 3], (1, 1), padding)
            for i, (_, _, padding) in enumerate(LAYERS)
        ]

    stacked = []
    for inputs, kernel, _ in LAYERS:
        outputs = (*inputs[:3], kernel[-1])
        stacked += [normal(members, *shape) for shape in (inputs, kernel, outputs)]
    results = lifted(both_layers, *stacked)
    for member in range(members):
        for i, (_, kernel, padding) in enumerate(LAYERS):
            arguments = [x[member] for x in stacked[3 * i : 3 * i + 3]]
            [alone] = outputs_and_gradients_of_all((reference,), *arguments, (1, 1), padding)
            assert_close([x[member] for x in results[i]], alone, kernel, alone[0].shape)

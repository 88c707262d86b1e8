"""What is told of fused convolutions alone; tests of all convolutions are in `test_convolution`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax import ops
from ensemble_jax.collection import Placement
from ensemble_jax.ops import fused, native

SAME = ((1, 1), (1, 1))


def lack_of_compiler() -> str | None:
    """Only without a compiler are there no such convolutions: one that refuses is a failure."""
    try:
        native.register(*fused._TARGETS)
    except native.NoCompilerError as error:
        return str(error)
    return None


REASON = lack_of_compiler()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def outputs_and_gradients(inputs, kernel, padding=SAME):
    @jax.jit
    def compute(inputs, kernel):
        outputs, pull_back = jax.vjp(
            lambda x, k: ops.fused_convolution(x, k, (1, 1), padding), inputs, kernel
        )
        return outputs, *pull_back(jnp.sin(outputs))

    return [np.asarray(result) for result in compute(inputs, kernel)]


@pytest.mark.parametrize(
    ("inputs", "features"),
    [
        ((100, 8, 8, 32), 32),  # many blocks of tiles
        ((3, 7, 9, 13), 40),  # a panel and a half of features, and odd sizes
        ((1, 4, 4, 8), 3),  # fewer tiles than threads
    ],
)
def test_the_number_of_threads_changes_no_bit(inputs, features, monkeypatch):
    kernel = normal(3, 3, inputs[-1], features)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(fused, "_threads_of_device", lambda threads=threads: threads)
        results.append(outputs_and_gradients(normal(*inputs), kernel))
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


def test_devices_share_the_cores(monkeypatch):
    monkeypatch.setattr(fused, "num_cores", lambda: 9)
    seen = []

    def note(x):
        seen.append(fused._threads_of_device())
        return x

    placement = Placement(4, 0, tuple(jax.devices()[:4]))
    placement.lift(note).lower(np.zeros(4, np.float32))
    jax.jit(note).lower(0.0)
    assert seen == [2, 9]


def test_images_do_not_touch_each_other():
    """Nor do tiles that were in memory before: what is no number stays where it is."""
    kernel = normal(3, 3, 16, 24)
    images = normal(11, 5, 6, 16)
    spoilt = images.copy()
    spoilt[4] = np.nan
    for threads_of_memory in (spoilt, images):  # the second finds what the first left in memory
        outputs_and_gradients(threads_of_memory, kernel)
    clean, _, _ = outputs_and_gradients(images, kernel)
    dirty, input_gradient, _ = outputs_and_gradients(spoilt, kernel)
    assert np.isnan(dirty[4]).all()
    assert np.isnan(input_gradient[4]).all()
    others = np.arange(11) != 4
    np.testing.assert_array_equal(dirty[others], clean[others])
    assert np.isfinite(input_gradient[others]).all()


@pytest.mark.parametrize("channels", [1, 7, 8, 15, 16, 17, 33])
@pytest.mark.parametrize("features", [1, 16, 33, 65])
def test_channels_that_fill_no_vector(channels, features):
    inputs, kernel = normal(2, 5, 4, channels), normal(3, 3, channels, features)
    outputs = ops.fused_convolution(inputs, kernel, (1, 1), SAME)
    expected = ops.xla_convolution(inputs, kernel, (1, 1), SAME)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-4)


def test_half_precision_is_computed_in_single():
    inputs = jnp.asarray(normal(2, 4, 4, 8), jnp.bfloat16)
    kernel = jnp.asarray(normal(3, 3, 8, 5), jnp.bfloat16)
    outputs, pull_back = jax.vjp(
        partial(ops.fused_convolution, strides=(1, 1), padding=SAME), inputs, kernel
    )
    assert [x.dtype for x in (outputs, *pull_back(outputs))] == [jnp.bfloat16] * 3
    single = ops.fused_convolution(
        inputs.astype(jnp.float32), kernel.astype(jnp.float32), (1, 1), SAME
    )
    np.testing.assert_array_equal(outputs, single.astype(jnp.bfloat16))


def test_no_images_have_no_gradient():
    inputs, kernel = normal(0, 4, 4, 8), normal(3, 3, 8, 5)
    outputs, input_gradient, weight_gradient = outputs_and_gradients(inputs, kernel)
    assert outputs.shape == (0, 4, 4, 5)
    assert input_gradient.shape == inputs.shape
    np.testing.assert_array_equal(weight_gradient, np.zeros_like(kernel))


@pytest.mark.parametrize(
    ("option", "answer"), [("-include no-such-header.h", "1 error"), ("", "passed")]
)
def test_a_compiler_that_refuses_is_a_failure(option, answer, tmp_path):
    told = run_this_file(option, tmp_path, "test_no_images_have_no_gradient").stdout
    assert answer in told.splitlines()[-1]
    assert "skipped" not in told


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the options are those of x86 compilers")
@pytest.mark.parametrize("option", ["-mno-avx512f", "-mno-avx"])
def test_processors_with_shorter_vectors(option, tmp_path):
    """The other tests of this file, as such a processor would compile what they test."""
    starters = ("test_processors_with_shorter_vectors", "test_a_compiler_that_refuses_is_a_failure")
    answer = run_this_file(option, tmp_path, f"not {' and not '.join(starters)}")
    assert answer.returncode == 0, answer.stdout
    assert "skipped" not in answer.stdout


def run_this_file(option, cache, chosen):
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {
        "CC": f"{os.environ.get('CC') or 'cc'} {option}",
        "XDG_CACHE_HOME": str(cache),
    }
    return subprocess.run(
        [*command, "-k", chosen], check=False, env=environment, capture_output=True, text=True
    )

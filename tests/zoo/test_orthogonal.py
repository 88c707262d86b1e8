from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import stats

from ensemble_jax.zoo.orthogonal import random_orthogonal


def draw(size: int, count: int) -> np.ndarray:
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(jax.vmap(lambda key: random_orthogonal(key, size)))(keys))


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_columns_are_orthonormal(size):
    for matrix in draw(size, 3):
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(size), atol=1e-5)


def test_all_directions_are_as_likely():
    """Every entry of a uniform orthogonal 3x3 matrix is uniform in [-1, 1] (Archimedes)."""
    matrices = draw(3, 4000)
    for entry in matrices.reshape(-1, 9).T:
        assert stats.kstest(entry, stats.uniform(-1, 2).cdf).pvalue > 1e-4
    turns = np.linalg.det(matrices) > 0
    assert abs(turns.mean() - 0.5) < 0.04


def test_small_matrices_have_both_signs():
    assert abs(draw(1, 1000).mean()) < 0.15


def test_every_device_draws_its_own():
    """LAPACK's decomposition waits for ever where all devices call it at once."""
    devices = jax.devices()[:4]
    mesh = jax.sharding.Mesh(np.array(devices), ("members",))
    spec = jax.sharding.PartitionSpec("members")
    keys = jax.random.split(jax.random.key(1), 8)
    lifted = jax.shard_map(
        lambda own: jax.lax.map(lambda key: random_orthogonal(key, 30), own),
        mesh=mesh,
        in_specs=spec,
        out_specs=spec,
        check_vma=False,
    )
    together = np.asarray(jax.jit(lifted)(keys))
    alone = np.asarray(jax.vmap(lambda key: random_orthogonal(key, 30))(keys))
    np.testing.assert_allclose(together, alone, atol=1e-5)

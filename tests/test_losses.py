"""Losses against NumPy, and what is no loss."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ensemble_jax import losses
from ensemble_jax.hyperparameters import Hyperparameters

OUTPUTS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 3, 0])
ONE_HOT = np.eye(4)[LABELS]
LOG_P = OUTPUTS - np.log(np.exp(OUTPUTS).sum(-1, keepdims=True))


def hyperparameters(**values):
    return Hyperparameters(values, num_steps=1, steps_per_epoch=1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy(smoothing):
    target = (1 - smoothing) * ONE_HOT + smoothing / 4
    np.testing.assert_allclose(
        losses.cross_entropy(OUTPUTS, LABELS, smoothing=smoothing),
        -(target * LOG_P).sum(-1),
        rtol=1e-5,
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal(gamma):
    log_p = LOG_P[np.arange(6), LABELS]
    expected = -((1 - np.exp(log_p)) ** gamma) * log_p
    np.testing.assert_allclose(losses.focal(OUTPUTS, LABELS, gamma=gamma), expected, rtol=1e-5)


def test_squared_error():
    expected = ((OUTPUTS - ONE_HOT) ** 2).sum(-1)
    np.testing.assert_allclose(losses.squared_error(OUTPUTS, LABELS), expected, rtol=1e-6)


def test_each_member_smooths_by_its_own_number():
    def of_member(smoothing):
        hp = hyperparameters(label_smoothing=smoothing)
        return losses.loss_of_member(losses.smoothed_by_member, hp)(OUTPUTS, LABELS)

    both = jax.vmap(of_member)(np.float32([0.0, 0.3]))
    for row, smoothing in zip(both, (0.0, 0.3), strict=True):
        np.testing.assert_allclose(
            row, losses.cross_entropy(OUTPUTS, LABELS, smoothing=smoothing), rtol=1e-6
        )


def test_a_loss_of_two_arguments_is_called_with_two():
    loss = losses.loss_of_member(losses.squared_error, hyperparameters())
    assert loss is losses.squared_error


@pytest.mark.parametrize("loss", [None, "mse", lambda outputs: outputs, lambda a, b, c, d: a])
def test_mistakes(loss):
    with pytest.raises(ValueError, match=r"loss must be a function \(outputs \[B, K\], labels"):
        losses.check_loss(loss)

"""Steps that fail, without a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.training.member import _up_to_failure

BATCHES = np.float32([1, 2, 3, 4])
# By the step that fails first: what the steps before it sum up to, and the losses of all four; of
# the step that fails and those after it, they are of a state that stays as it was.
SUMS = [0, 1, 3, 6, 10]
LOSSES = [0 + 0 + 0 + 0, 0 + 1 + 1 + 1, 0 + 1 + 3 + 3, 0 + 1 + 3 + 6, 0 + 1 + 3 + 6]


def up_to(fails_at, most_steps=4):
    """A state that batches are added to, whose loss is the state before."""

    def step(state, numbered, active):
        _, batch = numbered
        new = jnp.where(active, state + batch, state)
        failed = active & (batch > fails_at)
        return jnp.where(failed, jnp.nan, new), state, ~failed

    numbers = jnp.arange(4)
    # As an epoch has them: whole batches, and a short one.
    batches = [(numbers[:3], BATCHES[:3]), (numbers[3:], BATCHES[3:])]
    return _up_to_failure(step, jnp.float32(0), batches, most_steps)


@pytest.mark.parametrize("fails_at", range(5))
def test_a_step_that_fails_is_not_made_nor_any_after_it(fails_at):
    state, loss, made = up_to(fails_at)
    assert (state, loss, made) == (SUMS[fails_at], LOSSES[fails_at], fails_at)


@pytest.mark.parametrize("most_steps", range(5))
def test_no_more_steps_are_made_than_allowed(most_steps):
    state, loss, made = up_to(4, most_steps)
    assert (state, loss, made) == (SUMS[most_steps], LOSSES[most_steps], most_steps)


def test_members_fail_each_at_its_own_step():
    states, losses, made = jax.vmap(up_to)(jnp.arange(5))
    np.testing.assert_array_equal(states, SUMS)
    np.testing.assert_array_equal(losses, LOSSES)
    np.testing.assert_array_equal(made, range(5))

"""What a user is told about a plan that does not fit."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from ensemble_jax.planning import default_plan
from experiments.planning import told_if_out_of_memory
from experiments.train_config import TrainConfig

PLAN = dataclasses.replace(default_plan(4, jax.devices()[:1]), members_per_call=0)


def test_too_little_memory_names_the_options_that_need_less():
    """No device has 2 ** 45 numbers."""
    config = TrainConfig(evaluation_batch_size=123)
    with (
        pytest.raises(ValueError, match="too small") as raised,
        told_if_out_of_memory(PLAN, config),
    ):
        jax.block_until_ready(jnp.zeros(2**45))
    message = str(raised.value)
    assert message.startswith("the memory of cpu is too small for plan=1 device, all members at a ")
    assert "\n" not in message
    assert "fewer members_per_call (now all) and more passes_per_step (now 1)" in message
    assert "smaller --config.evaluation_batch_size (now 123)" in message
    assert "RESOURCE_EXHAUSTED" in message


def test_another_error_of_the_device_is_its_own():
    error = jax.errors.JaxRuntimeError("INTERNAL: a bit has flipped")
    with (
        pytest.raises(jax.errors.JaxRuntimeError) as raised,
        told_if_out_of_memory(PLAN, TrainConfig()),
    ):
        raise error
    assert raised.value is error

"""What a user is told about a plan that is not possible, or not as fast as it could be."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import ConvolutionAlgorithm, Model
from ensemble_jax.plan import parse_plan_request
from ensemble_jax.planning import default_plan
from ensemble_jax.planning.of_training import (
    check_plan_request,
    lack_of_fused,
    plan_of_run,
    told_if_out_of_memory,
)

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
    assert "fewer members_per_call (now all) and more microbatches (now 1)" in message
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


def test_a_cpu_has_no_tensorfloat32():
    check_plan_request(TrainConfig(precision="bfloat16"))
    with pytest.raises(ValueError, match=r"^precision must be auto, float32 or bfloat16 on a CPU"):
        check_plan_request(TrainConfig(precision="tensorfloat32"))


@pytest.fixture
def without_a_compiler(monkeypatch):
    def why_unavailable(algorithm, platform):
        return "no compiler" if algorithm is ConvolutionAlgorithm.FUSED else None

    for module in ("ensemble_jax.planning.of_training", "ensemble_jax.planning.choice"):
        monkeypatch.setattr(f"{module}.why_unavailable", why_unavailable)


def test_a_plan_that_needs_a_compiler_is_refused_without_one(without_a_compiler):
    check_plan_request(TrainConfig())
    with pytest.raises(ValueError, match=r"plan cannot be fused here: no compiler$"):
        check_plan_request(TrainConfig(plan="default,convolution=fused"))


def test_a_run_goes_on_without_the_compiler_that_it_had(without_a_compiler):
    fused = dataclasses.replace(PLAN, convolution=ConvolutionAlgorithm.FUSED)
    choice = plan_of_run(fused.as_plain())
    assert choice.plan == dataclasses.replace(PLAN, convolution=ConvolutionAlgorithm.WINOGRAD)
    assert choice.reason == f"as before, but for {fused}: rounds differently"


def test_a_run_goes_on_without_the_convolutions_of_an_older_version():
    old = PLAN.as_plain() | {"convolution": "mixed", "layer_convolutions": {"a": "winograd4"}}
    choice = plan_of_run(old)
    assert choice.plan == dataclasses.replace(PLAN, convolution=ConvolutionAlgorithm.DIRECT)
    assert choice.reason == (
        "as before, but for mixed convolutions and other convolutions in some layers: rounds "
        "differently"
    )


def test_a_run_goes_on_with_its_plan():
    choice = plan_of_run(PLAN.as_plain())
    assert (choice.plan, choice.reason) == (PLAN, "as before")


@pytest.mark.parametrize(
    ("model", "request_", "platform", "told"),
    [
        (Model.SMALL_ST_VGG, "auto", "cpu", True),
        (Model.SMALL_ST_VGG, "default,members_per_call=2", "cpu", True),
        (Model.SMALL_ST_VGG, "convolution=direct", "cpu", False),
        (Model.SMALL_ST_VGG, "auto", "gpu", False),
        (Model.FULLY_CONNECTED, "auto", "cpu", False),
    ],
)
def test_who_could_have_faster_convolutions_is_told(
    model, request_, platform, told, without_a_compiler, zoo_network
):
    network, batch = zoo_network(model, (8, 8, 1)), jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.uint8)
    request = parse_plan_request(request_)
    answer = lack_of_fused(network, batch, request, request.apply(PLAN), platform)
    expected = "convolutions are not fused, which would be faster: no compiler"
    assert answer == (expected if told else None)

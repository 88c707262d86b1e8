from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_jax.options import ConvolutionAlgorithm, Precision
from ensemble_jax.plan import Plan, parse_plan_request, replaced_entries

PLAN = Plan(2, 1, ConvolutionAlgorithm.WINOGRAD, microbatches=1)

plans = st.builds(
    Plan,
    num_devices=st.integers(1, 9),
    members_per_call=st.integers(0, 9),
    convolution=st.sampled_from(ConvolutionAlgorithm),
    microbatches=st.integers(1, 9),
    precision=st.sampled_from(Precision),
)


@given(plans)
def test_plain_values_are_read_back(plan):
    assert Plan.from_plain(json.loads(json.dumps(plan.as_plain()))) == plan


def test_plans_that_were_written_with_less_entries_are_read():
    entries = PLAN.as_plain()
    del entries["precision"], entries["pool_images"]
    assert len(entries) == 4
    assert Plan.from_plain(entries) == PLAN


@pytest.mark.parametrize(
    ("old", "convolution", "replaced"),
    [
        ({"convolution": "winograd4"}, "winograd", ["winograd4 convolutions"]),
        ({"convolution": "mixed"}, "direct", ["mixed convolutions"]),
        ({"convolution": "patches", "layer_convolutions": {}}, "patches", []),
        (
            {"convolution": "winograd4", "layer_convolutions": {"a": "mixed", "b": "direct"}},
            "winograd",
            ["winograd4 convolutions", "other convolutions in some layers"],
        ),
    ],
)
def test_convolutions_of_older_versions_are_replaced(old, convolution, replaced):
    values = PLAN.as_plain() | old
    expected = dataclasses.replace(PLAN, convolution=ConvolutionAlgorithm(convolution))
    assert Plan.from_plain(values) == expected
    assert replaced_entries(values) == replaced


def test_what_was_never_a_convolution_is_refused():
    with pytest.raises(ValueError, match="'fft' is not a valid ConvolutionAlgorithm"):
        Plan.from_plain(PLAN.as_plain() | {"convolution": "fft"})


@given(plans)
def test_a_plan_can_be_asked_for_entry_by_entry(plan):
    values = plan.as_plain() | {"members_per_call": plan.members_per_call or "all"}
    del values["pool_images"]
    request = parse_plan_request(",".join(f"{name}={value}" for name, value in values.items()))
    assert request.apply(PLAN) == plan
    assert request.allows(plan)
    assert not request.leaves_a_choice


@pytest.mark.parametrize(
    ("text", "measured", "changes"),
    [
        ("auto", True, {}),
        ("default", False, {}),
        ("members_per_call=all", True, {"members_per_call": 0}),
        ("auto,members_per_call=3", True, {"members_per_call": 3}),
        (
            "default, num_devices=4, convolution=xla",
            False,
            {"num_devices": 4, "convolution": ConvolutionAlgorithm.XLA},
        ),
        ("precision=bfloat16", True, {"precision": Precision.BFLOAT16}),
    ],
)
def test_requests(text, measured, changes):
    request = parse_plan_request(text)
    assert request.measured == measured
    assert request.leaves_a_choice == measured
    assert request.apply(PLAN) == dataclasses.replace(PLAN, **changes)
    assert request.allows(PLAN) == (not changes)


def test_precision_is_never_left_to_be_measured():
    text = "num_devices=1,members_per_call=1,convolution=xla,microbatches=1"
    assert not parse_plan_request(text).leaves_a_choice


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "plan must be auto, default or NAME=VALUE,... with the names num_devices, "),
        ("fast", "got 'fast'"),
        ("auto,auto", "got 'auto'"),
        ("chunk=3", "got 'chunk=3'"),
        ("members_per_call=0", "members_per_call of the plan must be all or at least 1, got '0'"),
        ("members_per_call=-1", "members_per_call of the plan must be all or at least 1, got '-1'"),
        ("num_devices=all", "num_devices of the plan must be at least 1, got 'all'"),
        ("microbatches=1.5", "microbatches of the plan must be at least 1, got '1.5'"),
        (
            "convolution=fft",
            "must be one of xla, patches, winograd, direct, fused, got 'fft'",
        ),
        ("precision=half", "must be one of float32, tensorfloat32, bfloat16, got 'half'"),
        ("num_devices=1,num_devices=2", "plan must name num_devices only once"),
    ],
)
def test_impossible_requests_are_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_plan_request(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_devices": 0}, "num_devices must be at least 1, got 0"),
        ({"members_per_call": -1}, "members_per_call must be 0 (all) or positive, got -1"),
        ({"microbatches": 0}, "microbatches must be at least 1, got 0"),
    ],
)
def test_impossible_plans_are_refused(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(PLAN, **change)


def test_values_of_another_version_are_refused():
    with pytest.raises(ValueError, match="a plan has the entries num_devices, "):
        Plan.from_plain({"members_per_call": 1})


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (PLAN, "2 devices, one member at a time each, winograd convolutions"),
        (
            Plan(1, 0, ConvolutionAlgorithm.XLA, 5),
            "1 device, all members at a time, xla convolutions, batches in 5 microbatches",
        ),
        (
            Plan(1, 8, ConvolutionAlgorithm.PATCHES, 1, Precision.BFLOAT16),
            "1 device, 8 members at a time, patches convolutions, in bfloat16",
        ),
    ],
)
def test_a_plan_in_words(plan, text):
    assert str(plan) == text

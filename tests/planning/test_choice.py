"""The search with made-up trials: what it tries, when it stops, what it takes."""

from __future__ import annotations

import dataclasses
import re
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from ensemble_jax.options import ConvolutionAlgorithm, Model, Precision
from ensemble_jax.plan import Plan, parse_plan_request
from ensemble_jax.planning import (
    Alternatives,
    Trial,
    alternatives_for,
    available_plan,
    choose_plan,
    default_plan,
)

WINOGRAD, PATCHES = ConvolutionAlgorithm.WINOGRAD, ConvolutionAlgorithm.PATCHES
FUSED = ConvolutionAlgorithm.FUSED
# Of a CPU, in the order in which they are tried.
ON_CPU = [
    ConvolutionAlgorithm.FUSED,
    ConvolutionAlgorithm.DIRECT,
    WINOGRAD,
    PATCHES,
]
ON_TPU = [ConvolutionAlgorithm.XLA, *ON_CPU[1:]]
FIRST = Plan(2, 1, WINOGRAD, microbatches=1)


def choose(
    speed,
    *,
    first=FIRST,
    request="auto",
    num_members=20,
    seconds=60.0,
    microbatches=(5,),
):
    """The choice where `speed(plan)` images/s are measured; None where the plan does not fit."""

    def try_plan(plan):
        measured = speed(plan)
        return Trial(10, 5, 0.0) if measured is None else Trial(5, 10, measured)

    return choose_plan(
        first,
        try_plan,
        num_members=num_members,
        request=parse_plan_request(request),
        alternatives=Alternatives((WINOGRAD, PATCHES), microbatches),
        budget_seconds=seconds,
    )


def chunks(choice):
    return [tried.plan.members_per_call for tried in choice.tried]


@pytest.fixture
def with_a_compiler(monkeypatch):
    monkeypatch.setattr(
        "ensemble_jax.planning.choice.why_unavailable",
        lambda algorithm, platform: "no" if algorithm is FUSED and platform != "cpu" else None,
    )


@pytest.fixture
def without_a_compiler(monkeypatch):
    monkeypatch.setattr(
        "ensemble_jax.planning.choice.why_unavailable",
        lambda algorithm, platform: "no compiler" if algorithm is FUSED else None,
    )


def test_the_default_is_by_kind_of_device(without_a_compiler):
    assert default_plan(20, jax.devices()[:4]) == Plan(4, 1, WINOGRAD, 1)
    assert default_plan(3, jax.devices()[:4]) == Plan(3, 1, WINOGRAD, 1)


@pytest.mark.parametrize(
    ("platform", "precision"), [("gpu", Precision.TENSORFLOAT32), ("tpu", Precision.BFLOAT16)]
)
def test_an_accelerator_computes_few_members_at_once_by_xla(platform, precision):
    """All of them, by Winograd's convolutions, would take a TPU fifteen times as long."""
    devices = [SimpleNamespace(platform=platform)] * 2
    assert default_plan(20, devices) == Plan(2, 1, ConvolutionAlgorithm.XLA, 1, precision)
    assert default_plan(20, devices, dense=True).members_per_call == 10
    assert default_plan(20, jax.devices()[:1], dense=True).members_per_call == 1


def test_the_default_of_a_cpu_with_a_compiler_is_fused(with_a_compiler):
    assert default_plan(20, jax.devices()[:4]) == Plan(4, 1, FUSED, 1)


def test_what_a_machine_lacks_is_replaced(without_a_compiler):
    plan = Plan(8, 1, FUSED, 2)
    assert available_plan(plan, jax.devices()[:4]) == Plan(4, 1, WINOGRAD, 2)


def test_what_a_machine_has_is_left(with_a_compiler):
    plan = Plan(4, 1, FUSED, 2)
    assert available_plan(plan, jax.devices()[:4]) == plan


@pytest.mark.parametrize(
    ("model", "batch_size", "platform", "algorithms", "microbatches"),
    [
        (Model.FULLY_CONNECTED, 100, "cpu", [], []),
        (Model.SMALL_ST_VGG, 100, "cpu", ON_CPU, [10, 5, 2]),
        (Model.SMALL_ST_VGG, 50, "cpu", ON_CPU, [5, 1]),
        (Model.SMALL_ST_VGG, 17, "cpu", ON_CPU, [17, 1]),
        (Model.SMALL_ST_VGG, 23, "cpu", ON_CPU, [23, 1]),
        (Model.SMALL_ST_VGG, 100, "tpu", ON_TPU, []),
        (Model.SMALL_ST_VGG, 100, "gpu", [ConvolutionAlgorithm.XLA], []),
    ],
)
def test_alternatives(
    model, batch_size, platform, algorithms, microbatches, with_a_compiler, zoo_network
):
    batch = jax.ShapeDtypeStruct((batch_size, 8, 8, 1), np.uint8)
    found = alternatives_for(zoo_network(model, (8, 8, 1)), batch, platform)
    assert (list(found.algorithms), list(found.microbatches)) == (algorithms, microbatches)


def test_entries_are_changed_one_after_another():
    """Where every entry helps by itself, the best of all is found."""
    best = Plan(1, 4, PATCHES, 5)

    def speed(plan):
        agreeing = sum(
            getattr(plan, field.name) == getattr(best, field.name)
            for field in dataclasses.fields(Plan)
        )
        return 100.0 * 2**agreeing

    choice = choose(speed)
    assert choice.plan == best
    # Of one device's ten members and of two devices' twenty.
    assert chunks(choice) == [1, 1, 1, 4, 0, 4]
    assert len({tried.plan for tried in choice.tried}) == len(choice.tried)


def test_calls_are_of_equal_size():
    """Of 50 members 16 at a time are 4 calls, which 13 at a time are, too."""
    tried = choose(
        lambda plan: 1.0, first=dataclasses.replace(FIRST, num_devices=1), num_members=50
    )
    assert [c for c in chunks(tried) if c != 1] == [4, 13, 0]


@pytest.mark.parametrize(("gain", "taken"), [(1.01, False), (1.1, True)])
def test_what_is_hardly_faster_is_noise(gain, taken):
    choice = choose(lambda plan: gain if plan.convolution is PATCHES else 1.0)
    assert (choice.plan.convolution is PATCHES) == taken


def test_what_is_forced_is_not_changed():
    choice = choose(lambda plan: 1.0, request="members_per_call=1,convolution=winograd")
    assert {t.plan.members_per_call for t in choice.tried} == {1}
    assert {t.plan.convolution for t in choice.tried} == {WINOGRAD}
    assert {t.plan.num_devices for t in choice.tried} == {1, 2}
    assert {t.plan.microbatches for t in choice.tried} == {1, 5}


def test_time_is_kept():
    def speed(plan):
        time.sleep(0.02)
        return 1.0

    choice = choose(speed, seconds=0.05)
    assert 1 <= len(choice.tried) <= 2
    assert choice.reason.endswith("no time was left for others")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(16, [0, 256, 64, 16]), (1, [0, 256, 64, 16, 4, 1])],
)
def test_fewer_members_at_once_are_tried_until_they_fit(limit, expected):
    first = Plan(1, 0, WINOGRAD, 1)

    def speed(plan):
        return 1.0 if 0 < plan.members_per_call <= limit else None

    choice = choose(speed, first=first, num_members=300, seconds=0.0)
    assert chunks(choice) == expected
    assert choice.plan.members_per_call == limit
    assert "did not fit into memory" in choice.reason


def test_fewer_devices_of_a_cpu_are_tried_last():
    """Each of them has its own copy of the examples, in one memory."""
    first = Plan(8, 1, WINOGRAD, 1)
    choice = choose(lambda p: 1.0 if p.num_devices <= 2 else None, first=first, seconds=0.0)
    assert choice.plan == dataclasses.replace(first, num_devices=2)


def test_where_nothing_fits_it_is_said():
    message = re.escape(
        "the collection does not fit into memory: 0.00 GB are needed and 0.00 GB usable with "
        "1 device, one member at a time, winograd convolutions"
    )
    with pytest.raises(ValueError, match=message):
        choose(lambda plan: None)


def test_the_reason_names_the_next_best():
    choice = choose(
        lambda plan: 1234.0 if plan == FIRST else 1000.0, request="microbatches=1,num_devices=2"
    )
    assert choice.reason.startswith("the fastest of 4 tried, 1,234 images/s; next 1,000 with 2 dev")

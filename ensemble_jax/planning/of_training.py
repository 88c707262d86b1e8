"""The plan of a training: asked for, measured before, or measured now."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.data import Dataset
from ensemble_jax.feeding import bytes_on_device, choose_pool_images
from ensemble_jax.machine import user_cache
from ensemble_jax.models import Network
from ensemble_jax.ops import Augment, Convolution, why_unavailable, xla_convolution
from ensemble_jax.options import (
    ArchitectureOptions,
    ConvolutionAlgorithm,
    Precision,
    Protocol,
)
from ensemble_jax.plan import Plan, PlanRequest, parse_plan_request
from ensemble_jax.planning import (
    PlanCache,
    PlanChoice,
    PlanningTask,
    Trials,
    alternatives_for,
    available_algorithms,
    available_plan,
    choose_plan,
    convolves,
    default_plan,
    fastest_by_layer,
)
from ensemble_jax.runs import library_versions
from ensemble_jax.training import Member, images_per_epoch

# Trials take at most this share of the time that the training is expected to take,
_SHARE = 0.05
# and at most and at least so many seconds: in less nothing can be compiled.
_MOST_SECONDS, _LEAST_SECONDS = 60.0, 5.0
# Operations per second of one device, for a guess at how long a training takes.
_OPERATIONS = {"cpu": 6e10, "gpu": 5e12, "tpu": 2e13}


def check_plan_request(config: TrainConfig) -> None:
    """Whether this machine can compute as the config asks, before anything is written.

    Raises:
        ValueError: if it cannot.
    """
    devices = jax.local_devices()
    algorithm = parse_plan_request(config.plan).apply(default_plan(1, devices)).convolution
    if reason := why_unavailable(algorithm, devices[0].platform):
        raise ValueError(f"convolution of the plan cannot be {algorithm.value} here: {reason}")


def plan_training(
    config: TrainConfig,
    dataset: Dataset,
    members: Member,
    make_network: Callable[[Convolution, Precision], Network],
    augment: Augment,
) -> PlanChoice:
    """The plan that the config asks for.

    Raises:
        ValueError: if it is not possible here: too few devices, too little memory, or pools of
            examples for members with subsets.
    """
    devices = jax.local_devices()
    num_members = len(members.seed)
    request = parse_plan_request(config.plan)
    pool_images = choose_pool_images(config, dataset, members, devices)
    first = dataclasses.replace(
        request.apply(default_plan(num_members, devices)), pool_images=pool_images
    )
    network = make_network(xla_convolution, first.precision)
    if told := lack_of_fused(network, request, first, devices[0].platform):
        print(told, flush=True)
    if not request.leaves_a_choice:
        return PlanChoice(first, "as asked for" if request.forced else "the default")
    seconds = _expected_seconds(config, dataset, network, members, first)
    budget = min(_SHARE * seconds, _MOST_SECONDS)
    if budget < _LEAST_SECONDS:
        return PlanChoice(first, "the default: too short a training to try others")
    cache = PlanCache(user_cache() / "plans")
    key = _key(config, dataset, members, pool_images)
    if (known := cache.read(key)) is not None:
        return known
    print(f"choosing a plan, which takes about {budget:.0f} s", flush=True)
    task = PlanningTask(
        make_network,
        config.optimizer,
        members,
        dataset.train.inputs,
        dataset.train.labels,
        config.batch_size,
        bytes_on_device(dataset, pool_images),
        devices,
        augment,
    )
    alternatives = alternatives_for(network, config.batch_size, devices[0].platform)
    choice = choose_plan(
        first,
        Trials(task),
        num_members=num_members,
        request=request,
        alternatives=alternatives,
        budget_seconds=budget,
        choose_layers=lambda plan, seconds: fastest_by_layer(
            plan, task, alternatives.algorithms, seconds
        ),
    )
    cache.write(key, choice)
    return choice


def plan_of_run(stored: Mapping[str, Any]) -> PlanChoice:
    """The plan that a run was begun with, on as many of its devices as there are now."""
    plan = Plan.from_plain(stored)
    devices = jax.local_devices()
    here = available_plan(plan, devices)
    if here == plan:
        return PlanChoice(plan, "as before")
    return PlanChoice(here, f"as before, but for {plan}: rounds differently")


@contextlib.contextmanager
def told_if_out_of_memory(plan: Plan, config: TrainConfig) -> Iterator[None]:
    """Say which options need less of a device's memory where it does not suffice.

    Raises:
        ValueError: in place of the device's own error.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        fewer = "all" if plan.members_per_call == 0 else plan.members_per_call
        raise ValueError(
            f"the memory of {jax.local_devices()[0].device_kind} is too small for "
            f"plan={plan}. Less is needed with fewer members_per_call (now {fewer}) and more "
            f"passes_per_step (now {plan.passes_per_step}), as in --config.plan=members_per_call=1,"
            f"passes_per_step=2, and with a smaller --config.evaluation_batch_size (now "
            f"{config.evaluation_batch_size}); a run keeps its plan, so in another --workdir. "
            f"{str(error).splitlines()[0]}"
        ) from error


def lack_of_fused(network: Network, request: PlanRequest, plan: Plan, platform: str) -> str | None:
    """What to tell who could have faster convolutions on a CPU; None where there is nothing."""
    fused = ConvolutionAlgorithm.FUSED
    reason = why_unavailable(fused, platform)
    wanted = request.allows(dataclasses.replace(plan, convolution=fused))
    if reason is None or platform != "cpu" or not wanted or not convolves(network):
        return None
    return f"convolutions are not fused, which would be faster: {reason}"


def training_operations(network: Network, inputs: jax.ShapeDtypeStruct) -> float:
    """The floating-point operations to train a member on one example: three forward passes.

    Args:
        network: of one member, with XLA's convolutions: those of others it does not count.
        inputs: the type of a batch, `[B, ...]`.
    """
    variables = jax.eval_shape(network.init, jax.random.key(0))
    cost = jax.jit(network.evaluate).lower(variables, inputs).cost_analysis() or {}
    return 3 * cost.get("flops", 0.0) / inputs.shape[0]


def _expected_seconds(config, dataset, network, members, plan):
    """A guess, by the operations of the forward passes."""
    images = jax.ShapeDtypeStruct(
        (config.batch_size, *dataset.input_shape), dataset.train.inputs.dtype
    )
    operations = training_operations(network, images)
    whole = config.protocol is Protocol.TRAJECTORY
    epochs = config.extents[-1] if whole else sum(config.extents)
    images_in_all = images_per_epoch(members, len(dataset.train)) * epochs
    speed = _OPERATIONS.get(jax.default_backend(), _OPERATIONS["gpu"]) * plan.num_devices
    return images_in_all * operations / speed


def _key(
    config: TrainConfig, dataset: Dataset, members: Member, pool_images: int
) -> dict[str, Any]:
    """All that decides which plan is fast and fits."""
    options = [field.name for field in dataclasses.fields(ArchitectureOptions)]
    names = ("model", *options, "optimizer", "batch_size", "plan", "augmentation")
    effective = config.effective()
    devices = jax.local_devices()
    return {
        "config": {name: effective[name] for name in names},
        "num_members": len(members.seed),
        "own_labels": members.labels is not None,
        "most_examples": None if members.subset is None else members.subset.indices.shape[1],
        "num_classes": dataset.num_classes,
        "input_shape": list(dataset.input_shape),
        "sizes": [len(split) for split in (*dataset.splits.values(), *dataset.probes.values())],
        "pool_images": pool_images,
        "devices": [len(devices), devices[0].device_kind, platform.processor()],
        "versions": library_versions(),
        "algorithms": [a.value for a in available_algorithms(devices[0].platform)],
    }

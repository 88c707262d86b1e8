"""The plan of a training: asked for, measured before, or measured now."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import platform
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax

from ensemble_jax.data import Dataset
from ensemble_jax.feeding import bytes_on_device, choose_pool_images
from ensemble_jax.machine import user_cache
from ensemble_jax.networks import Network, variable_shapes
from ensemble_jax.ops import why_unavailable
from ensemble_jax.options import ConvolutionAlgorithm, Precision, Protocol
from ensemble_jax.plan import Plan, PlanRequest, parse_plan_request, replaced_entries
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
    free_bytes,
    lack_of_memory,
)
from ensemble_jax.runs import library_versions
from ensemble_jax.training import Member, images_per_epoch

if TYPE_CHECKING:
    from ensemble_jax.kit import Kit
    from ensemble_jax.task import Training

# Trials take at most this share of the time that the training is expected to take,
_SHARE = 0.05
# and at most and at least so many seconds: in less nothing can be compiled.
_MOST_SECONDS, _LEAST_SECONDS = 60.0, 5.0
# Of the config; what plan is fast does not depend on them.
_CHANGE_NO_SPEED = (
    "members",
    "num_members",
    "extents",
    "seed",
    "learning_rate",
    "settings",
    "record",
)
# Operations per second of one device, for a guess at how long a training takes.
_OPERATIONS = {"cpu": 6e10, "gpu": 5e12, "tpu": 2e13}


def check_plan_request(training: Training) -> None:
    """Whether this machine can compute as a training asks, before anything is written.

    Raises:
        ValueError: if it cannot.
    """
    devices = jax.local_devices()
    request = parse_plan_request(training.plan, training.precision)
    plan = request.apply(default_plan(1, devices))
    platform = devices[0].platform
    if plan.precision is Precision.TENSORFLOAT32 and platform == "cpu":
        raise ValueError("precision must be auto, float32 or bfloat16 on a CPU, got tensorfloat32")
    if plan.num_devices > len(devices):
        raise ValueError(
            f"num_devices of the plan must be at most {len(devices)}, the devices of this process, "
            f"got {plan.num_devices}"
        )
    algorithm = plan.convolution
    if reason := why_unavailable(algorithm, platform):
        raise ValueError(f"convolution of the plan cannot be {algorithm.value} here: {reason}")


def check_member_fits(training: Training, dataset: Dataset, kit: Kit) -> None:
    """See that the variables of one member fit; of absurd ones XLA cannot even count the numbers.

    Raises:
        ValueError: if they do not.
    """
    device = jax.local_devices()[0]
    shapes = variable_shapes(kit.member_network(None), batch_shape(training, dataset))
    needed = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes))
    if needed > (free := free_bytes(device)):
        raise ValueError(
            f"network must be smaller: the variables of one member take {needed / 1e9:,.1f} GB, "
            f"and {device.device_kind} has {free / 1e9:,.1f} GB"
        )


def plan_training(
    training: Training,
    dataset: Dataset,
    members: Member,
    kit: Kit,
) -> PlanChoice:
    """The plan that a training asks for.

    Raises:
        ValueError: if it is not possible here: too few devices, too little memory, or pools of
            examples for members with subsets.
    """
    devices = jax.local_devices()
    num_members = len(members.seed)
    request = parse_plan_request(training.plan, training.precision)
    pool_images = choose_pool_images(training, dataset, members, devices)
    batch = batch_shape(training, dataset)
    dense = dataset.word_vectors is None and not convolves(kit.member_network(None), batch)
    first = dataclasses.replace(
        request.apply(default_plan(num_members, devices, dense=dense)), pool_images=pool_images
    )
    network = kit.member_network(None, first.precision)
    if told := lack_of_fused(network, batch, request, first, devices[0].platform):
        print(told, flush=True)
    if not request.leaves_a_choice:
        return PlanChoice(first, "as asked for" if request.forced else "the default")
    seconds = _expected_seconds(training, dataset, network, batch, members, first)
    budget = min(_SHARE * seconds, _MOST_SECONDS)
    if budget < _LEAST_SECONDS:
        return PlanChoice(first, "the default: too short a training to try others")
    cache = PlanCache(user_cache() / "plans")
    key = _key(training, dataset, members, pool_images)
    if (known := cache.read(key)) is not None:
        return known
    print(f"choosing a plan, which takes about {budget:.0f} s", flush=True)
    task = PlanningTask(
        kit.recipe,
        members,
        dataset.train.inputs,
        dataset.train.labels,
        bytes_on_device(dataset, pool_images),
        devices,
    )
    alternatives = alternatives_for(network, batch, devices[0].platform)
    choice = choose_plan(
        first,
        Trials(task),
        num_members=num_members,
        request=request,
        alternatives=alternatives,
        budget_seconds=budget,
    )
    cache.write(key, choice)
    return choice


def plan_of_run(stored: Mapping[str, Any]) -> PlanChoice:
    """The plan that a run was begun with, as far as this version and this machine have it.

    What they do not have is replaced by what is most like it, which the reason tells.
    """
    plan = Plan.from_plain(stored)
    here = available_plan(plan, jax.local_devices())
    changed = replaced_entries(stored) + ([str(plan)] if here != plan else [])
    if not changed:
        return PlanChoice(plan, "as before")
    return PlanChoice(here, f"as before, but for {' and '.join(changed)}: rounds differently")


@contextlib.contextmanager
def told_if_out_of_memory(plan: Plan, training: Training) -> Iterator[None]:
    """Say which options need less of a device's memory where it does not suffice.

    Raises:
        ValueError: in place of the device's own error.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        if (told := lack_of_memory(error)) is None:
            raise
        fewer = "all" if plan.members_per_call == 0 else plan.members_per_call
        raise ValueError(
            f"the memory of {jax.local_devices()[0].device_kind} is too small for "
            f"plan={plan}. Less is needed with fewer members_per_call (now {fewer}) and more "
            f"microbatches (now {plan.microbatches}), as in --config.plan=members_per_call=1,"
            f"microbatches=2, and with a smaller --config.evaluation_batch_size (now "
            f"{training.evaluation_batch_size}); a run keeps its plan, so in another --workdir. "
            f"{told}"
        ) from error


def batch_shape(training: Training, dataset: Dataset) -> jax.ShapeDtypeStruct:
    """Shape and type of a batch of examples as they are stored, `[B, ...]`."""
    shape = (training.batch_size, *dataset.input_shape)
    return jax.ShapeDtypeStruct(shape, dataset.train.inputs.dtype)


def lack_of_fused(
    network: Network, batch: jax.ShapeDtypeStruct, request: PlanRequest, plan: Plan, platform: str
) -> str | None:
    """What to tell who could have faster convolutions on a CPU; None where there is nothing."""
    fused = ConvolutionAlgorithm.FUSED
    reason = why_unavailable(fused, platform)
    wanted = request.allows(dataclasses.replace(plan, convolution=fused))
    if reason is None or platform != "cpu" or not wanted or not convolves(network, batch):
        return None
    return f"convolutions are not fused, which would be faster: {reason}"


def training_operations(network: Network, batch: jax.ShapeDtypeStruct) -> float:
    """The floating-point operations to train a member on one example: three forward passes.

    Args:
        network: of one member, with JAX's own layers: operations of others are not counted.
        batch: the shape and type of a batch, `[B, ...]`.
    """
    variables = variable_shapes(network, batch)
    evaluate = jax.jit(functools.partial(network.apply, key=None, train=False))
    cost = evaluate.lower(variables, batch).cost_analysis() or {}
    return 3 * cost.get("flops", 0.0) / batch.shape[0]


def _expected_seconds(training, dataset, network, batch, members, plan):
    """A guess, by the operations of the forward passes."""
    operations = training_operations(network, batch)
    whole = training.protocol is Protocol.TRAJECTORY
    epochs = training.extents[-1] if whole else sum(training.extents)
    images_in_all = images_per_epoch(members, len(dataset.train)) * epochs
    speed = _OPERATIONS.get(jax.default_backend(), _OPERATIONS["gpu"]) * plan.num_devices
    return images_in_all * operations / speed


def _key(training: Training, dataset: Dataset, members: Member, pool_images: int) -> dict[str, Any]:
    """All that decides which plan is fast and fits."""
    devices = jax.local_devices()
    indices = members.train_indices
    return {
        "config": {k: v for k, v in training.config.items() if k not in _CHANGE_NO_SPEED},
        "num_members": len(members.seed),
        "own_labels": members.train_labels is not None,
        "train_examples": None if indices is None else indices.shape[1],
        "num_classes": dataset.num_classes,
        "input_shape": list(dataset.input_shape),
        "sizes": [len(split) for split in (*dataset.splits.values(), *dataset.probes.values())],
        "pool_images": pool_images,
        "devices": [len(devices), devices[0].device_kind, platform.processor()],
        "versions": library_versions(),
        "algorithms": [a.value for a in available_algorithms(devices[0].platform)],
    }

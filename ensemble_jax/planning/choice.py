"""The search for the fastest plan that fits, one entry of the plan after another."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from ensemble_jax.networks import Network, variable_shapes
from ensemble_jax.ops import why_unavailable
from ensemble_jax.options import ConvolutionAlgorithm, Precision
from ensemble_jax.plan import Plan, PlanRequest
from ensemble_jax.planning.trial import Trial

# In the order in which they are tried.
_OF_CPU = (
    ConvolutionAlgorithm.FUSED,
    ConvolutionAlgorithm.DIRECT,
    ConvolutionAlgorithm.WINOGRAD,
    ConvolutionAlgorithm.PATCHES,
)
_OF_TPU = (
    ConvolutionAlgorithm.XLA,
    ConvolutionAlgorithm.DIRECT,
    ConvolutionAlgorithm.WINOGRAD,
    ConvolutionAlgorithm.PATCHES,
)
# A GPU's compiler aborted on others for ResNets (jaxlib 0.10.2), which would end the training.
_OF_GPU = (ConvolutionAlgorithm.XLA,)
# What is not clearly faster is noise.
_GAIN = 1.03
_CHUNKS = (1, 4, 16, 64, 256)
_CACHED_IMAGES = (10, 20, 50)
# At once on an accelerator, where there are dense layers alone: by the estimates for a TPU v5e.
_DENSE_MEMBERS = 10
# Those for which a device's products are made; all others are GPUs.
_PRECISIONS = {"cpu": Precision.FLOAT32, "tpu": Precision.BFLOAT16}


class Tried(NamedTuple):
    """A plan and what came of it."""

    plan: Plan
    trial: Trial


class Alternatives(NamedTuple):
    """What is worth trying for a network on a kind of device.

    Attributes:
        algorithms: ways to convolve; none where nothing is convolved.
        microbatches: numbers of them per step; none where a batch must stay whole.
    """

    algorithms: Sequence[ConvolutionAlgorithm]
    microbatches: Sequence[int]


class PlanChoice(NamedTuple):
    """The plan to use.

    Attributes:
        plan: the fastest that was tried.
        reason: why, in a few words.
        tried: everything that was tried, in order.
    """

    plan: Plan
    reason: str
    tried: tuple[Tried, ...] = ()

    @property
    def images_per_second(self) -> float:
        """The speed of the plan as it was tried; NaN where it was not."""
        speeds = [trial.images_per_second for plan, trial in self.tried if plan == self.plan]
        return max(speeds, default=math.nan)


def default_plan(num_members: int, devices: Sequence[Any], *, dense: bool = False) -> Plan:
    """What is good by the kind of device, without measuring here.

    For a CPU by what was measured: a core wants one member, whose activations stay in its cache.
    For a TPU by what its compiler estimates (`benchmarks/results/tpu_v5e`): with convolutions one
    member as well, whose activations then stay in on-chip memory, and XLA's own convolutions. On a
    GPU nothing was measured: XLA's convolutions are the only ones whose compilation is known not
    to end the process.

    Args:
        num_members: N.
        devices: that the members may be spread over.
        dense: whether the network has dense layers alone, whose products are small for one member.
    """
    platform = devices[0].platform
    members_per_call = _DENSE_MEMBERS if dense and platform != "cpu" else 1
    return Plan(
        min(num_members, len(devices)),
        members_per_call,
        _default_algorithm(platform),
        microbatches=1,
        precision=_PRECISIONS.get(platform, Precision.TENSORFLOAT32),
    )


def _default_algorithm(platform):
    if platform != "cpu":
        return ConvolutionAlgorithm.XLA
    preferred = ConvolutionAlgorithm.FUSED, ConvolutionAlgorithm.WINOGRAD
    return next(a for a in preferred if why_unavailable(a, platform) is None)


def available_algorithms(platform: str) -> list[ConvolutionAlgorithm]:
    """All ways to convolve that there are on a kind of device of this machine."""
    return [a for a in ConvolutionAlgorithm if why_unavailable(a, platform) is None]


def available_plan(plan: Plan, devices: Sequence[Any]) -> Plan:
    """The plan, changed where these devices are too few for it or cannot convolve so."""
    platform = devices[0].platform

    lacks = why_unavailable(plan.convolution, platform) is not None
    return dataclasses.replace(
        plan,
        num_devices=min(plan.num_devices, len(devices)),
        convolution=_default_algorithm(platform) if lacks else plan.convolution,
    )


def convolves(network: Network, batch: jax.ShapeDtypeStruct) -> bool:
    """Whether there are convolutions in a network that takes such batches `[B, ...]`."""
    return _have_kernels(variable_shapes(network, batch))


def _have_kernels(variables):
    return any(leaf.ndim == 4 for leaf in jax.tree.leaves(variables.params))


def alternatives_for(network: Network, batch: jax.ShapeDtypeStruct, platform: str) -> Alternatives:
    """What is worth trying, by what has been measured, or estimated by a TPU's compiler.

    On a CPU, XLA's own gradients in a loop are slower than the others by far, and of these those
    come first that gain most. The activations of a few images stay in a CPU's caches
    where those of 100 do not: with 10 at once st-VGG trains 1.25 times as fast, with 50 small
    st-VGG on digits 1.1 times (a core with 2 MB).
    """
    variables = variable_shapes(network, batch)
    batch_size = batch.shape[0]
    if not _have_kernels(variables):
        return Alternatives((), ())
    on_cpu = platform == "cpu"
    available = available_algorithms(platform)
    ordered = {"cpu": _OF_CPU, "tpu": _OF_TPU}.get(platform, _OF_GPU)
    algorithms = [a for a in ordered if a in available]
    if not on_cpu or variables.state:
        return Alternatives(algorithms, ())
    divisors = [n for n in range(1, batch_size + 1) if batch_size % n == 0]
    counts = [min(n for n in divisors if batch_size // n <= size) for size in _CACHED_IMAGES]
    return Alternatives(algorithms, list(dict.fromkeys(counts)))


def choose_plan(
    first: Plan,
    try_plan: Callable[[Plan], Trial],
    *,
    num_members: int,
    request: PlanRequest,
    alternatives: Alternatives,
    budget_seconds: float,
) -> PlanChoice:
    """Try plans, beginning with `first`, until none is better or the time is over.

    From the best plan so far one entry is changed at a time: microbatches, the convolution,
    members per call, devices; those first that gain most over the default of a device. No plan is
    tried if the time left is less than the longest trial took; but one that fits into memory is
    always looked for.

    Args:
        first: the plan to begin with; it has what the request forces.
        try_plan: tries a plan.
        num_members: N.
        request: what may not be changed.
        alternatives: the values of other entries than members per call and devices.
        budget_seconds: the time for all trials; one that has begun is finished.

    Raises:
        ValueError: if no plan that is allowed fits into memory.
    """
    started = time.perf_counter()
    tried: list[Tried] = []
    longest = 0.0

    def measure(plan: Plan) -> Tried:
        nonlocal longest
        before = time.perf_counter()
        tried.append(Tried(plan, try_plan(plan)))
        longest = max(longest, time.perf_counter() - before)
        return tried[-1]

    def seconds_left() -> float:
        """Before a trial that may take as long as the longest."""
        return budget_seconds - (time.perf_counter() - started) - longest

    best = measure(first)
    for smaller in _smaller(first, num_members):
        if best.trial.fits:
            break
        if request.allows(smaller):
            best = measure(smaller)
    if not best.trial.fits:
        raise ValueError(_describe_lack(best))
    stopped = False

    def with_other_microbatches(plan: Plan) -> list[Plan]:
        return [dataclasses.replace(plan, microbatches=p) for p in (1, *alternatives.microbatches)]

    def with_other_convolutions(plan: Plan) -> list[Plan]:
        return [dataclasses.replace(plan, convolution=a) for a in alternatives.algorithms]

    for neighbours in (
        with_other_microbatches,
        with_other_convolutions,
        lambda plan: _with_other_chunks(plan, num_members),
        lambda plan: [dataclasses.replace(plan, num_devices=1)],
    ):
        for plan in neighbours(best.plan):
            if not request.allows(plan) or plan in [t.plan for t in tried]:
                continue
            if seconds_left() < 0:
                stopped = True
                break
            candidate = measure(plan)
            if candidate.trial.images_per_second > _GAIN * best.trial.images_per_second:
                best = candidate
    return PlanChoice(best.plan, _reason(best, tried, stopped), tuple(tried))


def _smaller(plan: Plan, num_members: int) -> Iterator[Plan]:
    """Plans that take less and less memory: fewer members at once, then on fewer devices."""
    at_once = plan.members_per_call or -(-num_members // plan.num_devices)
    for chunk in reversed(_CHUNKS):
        if chunk < at_once:
            yield dataclasses.replace(plan, members_per_call=chunk)
    # Every device of a CPU has its copy of the examples in the same memory.
    devices = plan.num_devices
    while devices > 1:
        devices //= 2
        yield dataclasses.replace(plan, members_per_call=min(at_once, 1), num_devices=devices)


def _with_other_chunks(plan: Plan, num_members: int) -> list[Plan]:
    """From the number of members at once that is nearest to the plan's to the farthest."""
    held = -(-num_members // plan.num_devices)
    at_once = plan.members_per_call or held
    # Calls are of equal size: a smaller last one would be padded with copies.
    equal = {-(-held // -(-held // chunk)) for chunk in _CHUNKS if chunk < held}
    ordered = sorted(equal | {held}, key=lambda chunk: max(chunk / at_once, at_once / chunk))
    return [
        dataclasses.replace(plan, members_per_call=0 if chunk == held > 1 else chunk)
        for chunk in ordered
    ]


def _reason(best: Tried, tried: Sequence[Tried], stopped: bool) -> str:
    speed = f"{best.trial.images_per_second:,.0f} images/s"
    words = [f"the fastest of {len(tried)} tried, {speed}" if len(tried) > 1 else speed]
    others = [t for t in tried if t is not best and t.trial.fits]
    if others:
        second = max(others, key=lambda t: t.trial.images_per_second)
        words.append(f"next {second.trial.images_per_second:,.0f} with {second.plan}")
    if len(others) + 1 < len(tried):
        words.append(f"{len(tried) - len(others) - 1} did not fit into memory")
    if stopped:
        words.append("no time was left for others")
    return "; ".join(words)


def _describe_lack(least: Tried) -> str:
    needed, usable, _, refusal = least.trial
    told = refusal or f"{needed / 1e9:.2f} GB are needed and {usable / 1e9:.2f} GB usable"
    return (
        f"the collection does not fit into memory: {told} with {least.plan}; fewer members, fewer "
        f"members_per_call or a smaller batch_size may fit"
    )

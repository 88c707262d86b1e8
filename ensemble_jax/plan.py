"""What can be chosen about how a collection is computed, without changing what is computed.

Nothing here needs JAX, so a wrong entry is answered at once.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from ensemble_jax.options import (
    AUTO_PRECISION,
    ConvolutionAlgorithm,
    Precision,
    check_precision,
)

_ALL = "all"
_PRECISION = "precision"
_CONVOLUTION = "convolution"
_POOL_IMAGES = "pool_images"
_MICROBATCHES, _ONCE_MICROBATCHES = "microbatches", "passes_per_step"
# Of plans of older versions: the convolutions that some layers had instead of the plan's.
_LAYER_CONVOLUTIONS = "layer_convolutions"
# Convolutions of older versions, and those here that are most like them.
_REPLACED = {
    "winograd4": ConvolutionAlgorithm.WINOGRAD.value,
    "mixed": ConvolutionAlgorithm.DIRECT.value,
}


@dataclass(frozen=True)
class Plan:
    """How a collection is computed.

    Plans of one precision and size of pools give the same results up to rounding.

    Attributes:
        num_devices: how many of a process's devices the members are spread over. On a CPU every
            core can be a device: one member on each is faster than all cores on one member.
        members_per_call: how many members a device computes at once; 0 means all that it holds.
            Under one plan a member has the same bits whatever N is, as long as every device holds
            so many.
        convolution: how convolutions are computed.
        microbatches: in how many equal parts a batch goes through the network, one after another.
            The activations of a part may fit into a cache that those of a batch exceed.
        precision: how products are rounded. It is never chosen by speed, since it changes the
            results.
        pool_images: the most examples on a device at once, where they come in pools; 0 where all of
            them fit. It is never chosen by speed, since it changes the order in which examples are
            seen.
    """

    num_devices: int
    members_per_call: int
    convolution: ConvolutionAlgorithm
    microbatches: int
    precision: Precision = Precision.FLOAT32
    pool_images: int = 0

    def __post_init__(self) -> None:
        if self.num_devices < 1:
            raise ValueError(f"num_devices must be at least 1, got {self.num_devices}")
        if self.microbatches < 1:
            raise ValueError(f"microbatches must be at least 1, got {self.microbatches}")
        if self.members_per_call < 0:
            raise ValueError(
                f"members_per_call must be 0 (all) or positive, got {self.members_per_call}"
            )

    def evaluation_batch_size(self, batch_size: int, most: int) -> int:
        """How many examples to evaluate at once where batches of `batch_size` are trained.

        As many as a microbatch has, if batches are divided: larger ones would exceed a cache or the
        memory in evaluation, too. Otherwise `most`.
        """
        return min(most, batch_size // self.microbatches) if self.microbatches > 1 else most

    def as_plain(self) -> dict[str, Any]:
        """Plain values, for a run's manifest."""
        entries = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {k: v.value if isinstance(v, enum.Enum) else v for k, v in entries.items()}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Plan:
        """What `as_plain` wrote, or a plan of an older version; see `replaced_entries`.

        Older plans have no precision (it is float32 then) and no pools, and they call microbatches
        `passes_per_step`.

        Raises:
            ValueError: if the values are not those of a plan.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        once_absent = {_PRECISION: Precision.FLOAT32.value, _POOL_IMAGES: 0}
        entries: dict[str, Any] = once_absent | dict(values)
        entries.pop(_LAYER_CONVOLUTIONS, None)
        if _ONCE_MICROBATCHES in entries:
            entries[_MICROBATCHES] = entries.pop(_ONCE_MICROBATCHES)
        if sorted(entries) != sorted(names):
            raise ValueError(f"a plan has the entries {', '.join(names)}, got {dict(values)}")
        name = entries[_CONVOLUTION]
        enums: dict[str, Any] = {
            _CONVOLUTION: ConvolutionAlgorithm(_REPLACED.get(name, name)),
            _PRECISION: Precision(entries[_PRECISION]),
        }
        return cls(**entries | enums)

    def __str__(self) -> str:
        devices = "1 device" if self.num_devices == 1 else f"{self.num_devices} devices"
        at_once = {0: "all members", 1: "one member"}.get(
            self.members_per_call, f"{self.members_per_call} members"
        )
        each = " each" if self.num_devices > 1 else ""
        parts = f", batches in {self.microbatches} microbatches" if self.microbatches > 1 else ""
        precision = "" if self.precision is Precision.FLOAT32 else f", in {self.precision.value}"
        pools = f", at most {self.pool_images} images on a device" if self.pool_images else ""
        return (
            f"{devices}, {at_once} at a time{each}, {self.convolution.value} convolutions"
            f"{parts}{precision}{pools}"
        )


def replaced_entries(values: Mapping[str, Any]) -> list[str]:
    """The entries of an older version's plan that no longer exist, in words.

    `Plan.from_plain` takes the convolution that is most like the one that is gone, and the same
    convolution for all layers.

    Args:
        values: as `Plan.as_plain` wrote them.

    >>> replaced_entries({"convolution": "mixed", "layer_convolutions": {}})
    ['mixed convolutions']
    """
    gone = [f"{name} convolutions" for name in _REPLACED if values.get(_CONVOLUTION) == name]
    return gone + ["other convolutions in some layers"] * bool(values.get(_LAYER_CONVOLUTIONS))


@dataclass(frozen=True)
class PlanRequest:
    """What a user wants of the plan.

    Attributes:
        measured: whether the entries that are not forced are chosen by measurement; otherwise they
            are those known to be good for the kind of device.
        forced: entries of the plan by name.
    """

    measured: bool = True
    forced: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def apply(self, plan: Plan) -> Plan:
        """The plan with what is forced."""
        return dataclasses.replace(plan, **self.forced)

    def allows(self, plan: Plan) -> bool:
        """Whether the plan has all that is forced."""
        return self.apply(plan) == plan

    @property
    def leaves_a_choice(self) -> bool:
        """Whether anything is to be measured."""
        measurable = {field.name for field in dataclasses.fields(Plan)} - {
            _PRECISION,
            _POOL_IMAGES,
        }
        return self.measured and not measurable <= set(self.forced)


def parse_plan_request(text: str, precision: str = AUTO_PRECISION) -> PlanRequest:
    """Read `auto`, `default` or entries such as `members_per_call=8,convolution=patches`.

    `auto`, or no such word, measures all entries that are not given, except for the precision.
    `default` measures nothing, as in `default,convolution=xla`. `members_per_call` may be `all`.

    Args:
        text: what is asked.
        precision: a value of `Precision`, which is then forced, or `auto` for the default of the
            kind of device.

    Raises:
        ValueError: naming the entry and what is allowed.
    """
    check_precision(precision)
    first, *rest = [part.strip() for part in text.split(",")]
    entries = rest if first in ("auto", "default") else [first, *rest]
    forced: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        name = _MICROBATCHES if name == _ONCE_MICROBATCHES else name
        if not equals or name not in _READERS:
            raise ValueError(
                f"plan must be auto, default or NAME=VALUE,... with the names "
                f"{', '.join(_READERS)}, got {entry!r}"
            )
        if name in forced:
            raise ValueError(f"plan must name {name} only once, got {text!r}")
        forced[name] = _READERS[name](name, value)
    if precision != AUTO_PRECISION:
        of_plan = forced.setdefault(_PRECISION, Precision(precision))
        if of_plan is not Precision(precision):
            raise ValueError(
                f"precision must be the same as in the plan, {of_plan.value}, got {precision!r}"
            )
    return PlanRequest(first != "default", MappingProxyType(forced))


def _read_count(name, value):
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{name} of the plan must be at least 1, got {value!r}")
    return int(value)


def _read_members(name, value):
    if value == _ALL:
        return 0
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{name} of the plan must be {_ALL} or at least 1, got {value!r}")
    return int(value)


def _read_option(options, name, value):
    known = [option.value for option in options]
    if value not in known:
        raise ValueError(f"{name} of the plan must be one of {', '.join(known)}, got {value!r}")
    return options(value)


_READERS = {
    "num_devices": _read_count,
    "members_per_call": _read_members,
    _CONVOLUTION: partial(_read_option, ConvolutionAlgorithm),
    "microbatches": _read_count,
    _PRECISION: partial(_read_option, Precision),
}

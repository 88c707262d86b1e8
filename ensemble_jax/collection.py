"""From one member to N: the only place that vmaps over members and the only one that names devices.

Everything else is a pure function of one network. `Placement.lift` makes it a function of a whole
collection: members are split over the devices (`shard_map`, so nothing is ever exchanged between
them), and on each device run together (`vmap`), in calls of some, or one after another.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ensemble_jax.machine import num_cores
from ensemble_jax.plan import Plan

_AXIS = "members"


@dataclass(frozen=True)
class Placement:
    """Where the members of a collection live and how many of them are computed at once.

    Attributes:
        num_members: N.
        members_per_call: how many members a device computes at once; 0 means all that it holds,
            in one call. Fewer members need less memory for activations; the results are the same up
            to rounding.
        devices: the members are spread over them. Calls of equal size are one program, in which no
            member depends on its place. So where the members do not divide into such calls, copies
            of the last member are the padding, and their results are dropped.

    Calls of some members are the rounds of a loop. Its length is an argument of the compiled
    program, and its arrays have at least one slot more than a call. So a compiler can neither
    unroll the loop nor simplify its slices, however few members there are, and always compiles the
    call in the same way. A member has the same bits whatever N is, as long as the size of the
    calls, `members_at_once`, is the same.
    """

    num_members: int
    members_per_call: int
    devices: tuple[Any, ...]  # of jax.Device, a variable that no type checker takes

    def __post_init__(self) -> None:
        if self.num_members < 1:
            raise ValueError(f"num_members must be at least 1, got {self.num_members}")
        if self.members_per_call < 0:
            raise ValueError(
                f"members_per_call must be 0 (all) or positive, got {self.members_per_call}"
            )

    @property
    def members_per_device(self) -> int:
        """The members that a device has memory for, padding included."""
        slots = self._members_in_calls
        return max(slots, self.members_at_once + 1) if self.members_per_call else slots

    @property
    def members_at_once(self) -> int:
        """The members that a device computes in one call."""
        return min(self.members_per_call or self._least_per_device, self._least_per_device)

    @property
    def calls_per_device(self) -> int:
        """The calls of the fullest device, one after another."""
        return -(-self._least_per_device // self.members_at_once)

    @property
    def _least_per_device(self) -> int:
        return -(-self.num_members // len(self.devices))

    @property
    def _members_in_calls(self) -> int:
        return self.calls_per_device * self.members_at_once

    @property
    def _calls_of_devices(self) -> np.ndarray:
        """How many calls each device makes; a call of padding alone is left out."""
        calls = -(-self.num_members // self.members_at_once)
        before = self.calls_per_device * np.arange(len(self.devices))
        return np.clip(calls - before, 0, self.calls_per_device).astype(np.int32)

    @property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), (_AXIS,))

    def spread(self, tree: Any) -> Any:
        """Put `[N, ...]` host arrays on the devices, each its own members."""
        first = self._members_in_calls * np.arange(len(self.devices))[:, None]
        index = (first + np.arange(self.members_per_device)).ravel()
        index = np.minimum(index, self.num_members - 1)
        return jax.tree.map(lambda x: self._split(np.asarray(x)[index]), tree)

    def _split(self, array):
        return jax.device_put(array, NamedSharding(self._mesh, PartitionSpec(_AXIS)))

    def _split_shape(self, shape, dtype):
        sharding = NamedSharding(self._mesh, PartitionSpec(_AXIS))
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    def share(self, tree: Any) -> Any:
        """Put arrays that all members read on every device."""
        return jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec()))

    def shared_shapes(self, shapes: Any) -> Any:
        """Shapes and sharding of arrays from `share`, to compile a function for them."""
        sharding = NamedSharding(self._mesh, PartitionSpec())
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes
        )

    def gather(self, tree: Any) -> Any:
        """Copy a lifted function's results to the host as `[N, ...]` arrays of their own.

        The copy never aliases a device's buffer, so the device may reuse it for the next epoch.
        What was joined on the host, such as the results of several pools, is copied as it is.
        """
        for leaf in jax.tree.leaves(tree):
            if isinstance(leaf, jax.Array):
                leaf.copy_to_host_async()
        return jax.tree.map(self._on_host, tree)

    def _on_host(self, array: jax.Array | np.ndarray) -> np.ndarray:
        slots, held = self.members_per_device, self._members_in_calls
        if not isinstance(array, jax.Array):
            by_device = array.reshape(len(self.devices), slots, *array.shape[1:])
            return np.concatenate(by_device[:, :held])[: self.num_members]
        # `jax.device_get` would join the shards in an array that it keeps: one copy more.
        joined = np.empty((self.num_members, *array.shape[1:]), array.dtype)
        for shard in array.addressable_shards:
            first = (shard.index[0].start or 0) // slots * held
            members = joined[first : first + held]
            members[...] = np.asarray(shard.data)[: len(members)]
        return joined

    def placed_shapes(self, shapes: Any) -> Any:
        """Shapes and sharding that `spread` gives host arrays `[N, ...]`, to compile for them."""
        slots = self.members_per_device * len(self.devices)
        return jax.tree.map(lambda x: self._split_shape((slots, *x.shape[1:]), x.dtype), shapes)

    def on_first_device(self) -> Placement:
        """The same members, one after another on the first of the devices."""
        return Placement(self.num_members, 1, self.devices[:1])

    def host_shapes(self, shapes: Any) -> Any:
        """The shapes that `gather` makes of a lifted function's results."""
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((self.num_members, *x.shape[1:]), x.dtype), shapes
        )

    def lift(
        self,
        function: Callable[..., Any],
        *,
        shared: Sequence[int] = (),
        donate: Sequence[int] = (),
    ) -> Lifted:
        """Make a function of one member a compiled function of all.

        The results of padding mean nothing.

        Args:
            function: takes and returns pytrees of arrays of one member.
            shared: positions of the arguments that all members read as they are. Every other
                argument and every result has a leading axis of members.
            donate: positions of the arguments whose memory the first results take; each of these
                results has the structure, shapes and types of its argument.
        """

        def of_one_device(*arguments, calls):
            positions = [i for i in range(len(arguments)) if i not in shared]
            own = [arguments[i] for i in positions]

            def of_one_member(own):
                rest = iter(own)
                return function(
                    *(x if i in shared else next(rest) for i, x in enumerate(arguments))
                )

            if not self.members_per_call:
                return jax.vmap(of_one_member)(own)
            replaced = [positions.index(i) for i in donate]
            return _call_after_call(of_one_member, own, replaced, self.members_at_once, calls)

        def of_all(calls, *arguments):
            specs = (
                PartitionSpec() if i in shared else PartitionSpec(_AXIS)
                for i in range(len(arguments))
            )
            return jax.shard_map(
                lambda calls, *own: of_one_device(*own, calls=calls[0]),
                mesh=self._mesh,
                in_specs=(PartitionSpec(_AXIS), *specs),
                out_specs=PartitionSpec(_AXIS),
                check_vma=False,
            )(calls, *arguments)

        jitted = jax.jit(of_all, donate_argnums=tuple(1 + i for i in donate))
        return Lifted(jitted, self)


class Lifted:
    """A function of all members, from `Placement.lift`.

    It is used like the result of `jax.jit`, `lower` and `compile` included. It only adds an
    argument: the number of calls of every device. Lowering it for shapes takes no device that is
    there.
    """

    def __init__(self, stage: Any, placement: Placement) -> None:
        self._stage = stage
        self._placement = placement

    @functools.cached_property
    def _calls(self):
        return self._placement._split(self._placement._calls_of_devices)

    def __call__(self, *arguments: Any) -> Any:
        """The results of all members."""
        return self._stage(self._calls, *arguments)

    def lower(self, *arguments: Any) -> Lifted:
        """As `jax.stages.Wrapped.lower`, for arguments or their shapes."""
        calls = self._placement._split_shape((len(self._placement.devices),), np.int32)
        return Lifted(self._stage.lower(calls, *arguments), self._placement)

    def compile(self) -> Lifted:
        """As `jax.stages.Lowered.compile`."""
        return Lifted(self._stage.compile(), self._placement)

    def __getattr__(self, name: str) -> Any:
        """Everything else that the stage of JAX has, such as `as_text` and `memory_analysis`."""
        return getattr(self._stage, name)


def _call_after_call(function, arguments, replaced, size, calls):
    """Apply a function of one entry of every argument to the first `calls * size` entries.

    A call computes `size` entries at once. For the entries after the last call the results are
    zeros, or the old values of replaced arguments. Every call writes the first results into the
    arguments at the positions `replaced`. Otherwise the loop would read the old arguments until its
    end, and a state would be in memory twice.
    """
    # A vmap over one member rounds differently.
    of_call = function if size == 1 else jax.vmap(function)

    def entry(x, i):
        if size == 1:
            return lax.dynamic_index_in_dim(x, i, keepdims=False)
        return lax.dynamic_slice_in_dim(x, i * size, size)

    def replace(x, own, i):
        if size == 1:
            return lax.dynamic_update_index_in_dim(x, own, i, 0)
        return lax.dynamic_update_slice_in_dim(x, own, i * size, 0)

    def call(i, results):
        current = list(arguments)
        for position, result in zip(replaced, results, strict=False):
            current[position] = result
        # All is read before anything is replaced; XLA keeps a copy where it cannot see that.
        new = of_call(lax.optimization_barrier(jax.tree.map(lambda x: entry(x, i), current)))
        return jax.tree.map(lambda x, own: replace(x, own, i), results, new)

    length = len(jax.tree.leaves(arguments)[0])
    shapes = jax.eval_shape(lambda: function(jax.tree.map(lambda x: x[0], arguments)))
    if replaced:
        kept = tuple(arguments[i] for i in replaced)
        results = (*kept, *_zeros(shapes[len(replaced) :], length))
    else:
        results = _zeros(shapes, length)
    return lax.fori_loop(0, calls, call, results)


def _zeros(shapes, length):
    return jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), shapes)


def place(plan: Plan, num_members: int, devices: Sequence[Any]) -> Placement:
    """A collection of N = `num_members` as planned, on the first of a process's devices.

    Raises:
        ValueError: if there are fewer devices than planned.
    """
    if plan.num_devices > len(devices):
        raise ValueError(
            f"num_devices of the plan must be at most {len(devices)}, the devices of this process, "
            f"got {plan.num_devices}"
        )
    return Placement(num_members, plan.members_per_call, tuple(devices[: plan.num_devices]))


def use_all_cores() -> None:
    """Make every CPU core a device, where the user has not said otherwise.

    A member on each core is faster than all cores on one member: no core waits for another. If
    JAX was used before, its devices can no longer change; a line says so where they are a CPU's.
    """
    own_count = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    config: Any = jax.config  # its attributes are those of its options, unknown to type checkers
    if own_count or config.jax_num_cpu_devices != -1:
        return
    cores = num_cores()
    try:
        jax.config.update("jax_num_cpu_devices", cores)
    except RuntimeError:
        if jax.default_backend() == "cpu" and len(jax.local_devices()) < cores:
            print(
                f"JAX has begun with 1 device for {cores} cores, which is slower: call "
                f"ensemble_jax.use_all_cores() before anything that uses JAX"
            )

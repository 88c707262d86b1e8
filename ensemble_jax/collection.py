"""From one member to N: the only place that vmaps over members and the only one that names devices.

Everything else is a pure function of one network. `Placement.lift` makes it a function of a whole
collection: members are split over the devices (`shard_map`, so nothing is ever exchanged between
them), and on each device run together (`vmap`), in calls of some, or one after another.
"""

from __future__ import annotations

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
        members_per_call: how many members a device computes at once; 0 means all that it holds.
            Fewer take less memory for activations, the results are the same up to rounding.
        devices: what the members are spread over. Where the members do not divide into calls of
            equal size on every device, the last member is computed again to fill up, and the
            copies are dropped: one size is one program, in which no member depends on its place.
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
        """The members that a device holds, copies included."""
        return -(-self._least_per_device // self.members_at_once) * self.members_at_once

    @property
    def members_at_once(self) -> int:
        """The members that a device computes in one call."""
        return min(self.members_per_call or self._least_per_device, self._least_per_device)

    @property
    def _least_per_device(self) -> int:
        return -(-self.num_members // len(self.devices))

    @property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), (_AXIS,))

    def spread(self, tree: Any) -> Any:
        """Put `[N, ...]` host arrays on the devices, each its own members."""
        total = self.members_per_device * len(self.devices)
        index = np.minimum(np.arange(total), self.num_members - 1)
        sharding = NamedSharding(self._mesh, PartitionSpec(_AXIS))
        return jax.tree.map(lambda x: jax.device_put(np.asarray(x)[index], sharding), tree)

    def share(self, tree: Any) -> Any:
        """Put arrays that all members read on every device."""
        return jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec()))

    def shared_shapes(self, shapes: Any) -> Any:
        """What a function is compiled for that takes arrays of these shapes from `share`."""
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
        if not isinstance(array, jax.Array):
            return np.array(array[: self.num_members])
        # `jax.device_get` joins the shards in an array that it keeps, of which this were a copy.
        joined = np.empty((self.num_members, *array.shape[1:]), array.dtype)
        for shard in array.addressable_shards:
            members = joined[shard.index[0]]
            members[...] = np.asarray(shard.data)[: len(members)]
        return joined

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
    ) -> Callable[..., Any]:
        """Make a function of one member a compiled function of all.

        Args:
            function: takes and returns pytrees of arrays of one member.
            shared: positions of the arguments that all members read as they are. Every other
                argument and every result has a leading axis of members.
            donate: positions of the arguments that the first results replace, in their memory;
                each result has the structure, shapes and types of what it replaces.
        """

        def of_one_device(*arguments):
            positions = [i for i in range(len(arguments)) if i not in shared]
            own = [arguments[i] for i in positions]
            replaced = [positions.index(i) for i in donate]

            def of_one_member(own):
                rest = iter(own)
                return function(
                    *(x if i in shared else next(rest) for i, x in enumerate(arguments))
                )

            # Also where there is only one: a vmap over one member rounds differently.
            if self.members_per_call == 1:
                if self.members_per_device == 1:
                    return _alone_in_a_loop(of_one_member, own)
                return _call_after_call(of_one_member, own, replaced)
            of_several = jax.vmap(of_one_member)
            if self.members_at_once == self.members_per_device:
                return of_several(own)
            calls = jax.tree.map(lambda x: x.reshape(-1, self.members_at_once, *x.shape[1:]), own)
            results = _call_after_call(of_several, calls, replaced)
            return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), results)

        def of_all(*arguments):
            specs = tuple(
                PartitionSpec() if i in shared else PartitionSpec(_AXIS)
                for i in range(len(arguments))
            )
            return jax.shard_map(
                of_one_device,
                mesh=self._mesh,
                in_specs=specs,
                out_specs=PartitionSpec(_AXIS),
                check_vma=False,
            )(*arguments)

        return jax.jit(of_all, donate_argnums=tuple(donate))


def _call_after_call(function, arguments, replaced):
    """A function of one entry of every argument, over all entries, as `lax.map`.

    The first results replace the arguments at the positions `replaced`, entry after entry. Without
    that the loop reads the old until its end, and a state would be there twice.
    """
    if not replaced:
        return lax.map(function, arguments)

    def entry(tree, i):
        return jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, i, keepdims=False), tree)

    def call(i, results):
        current = list(arguments)
        for position, result in zip(replaced, results, strict=False):
            current[position] = result
        # All is read before anything is replaced; XLA keeps a copy where it cannot see that.
        new = function(lax.optimization_barrier(entry(current, i)))
        return jax.tree.map(
            lambda x, own: lax.dynamic_update_index_in_dim(x, own, i, 0), results, new
        )

    length = len(jax.tree.leaves(arguments)[0])
    others = jax.eval_shape(lambda: function(entry(arguments, 0)))[len(replaced) :]
    empty = jax.tree.map(lambda x: jnp.empty((length, *x.shape), x.dtype), others)
    return lax.fori_loop(0, length, call, (*(arguments[i] for i in replaced), *empty))


def _alone_in_a_loop(function, arguments):
    """A function of the only entry of every argument, in a loop that stays one.

    A loop of one round is none to the compiler, which then rounds differently: a member that is
    alone on its device would not have the bits that it has among others.
    """
    end = lax.optimization_barrier(jnp.int32(1))
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), arguments)
    shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], arguments))
    results = jax.tree.map(lambda x: jnp.zeros((2, *x.shape), x.dtype), shapes)

    def compute(i, results):
        result = function(jax.tree.map(lambda x: x[i], twice))
        return jax.tree.map(lambda all_of, one: all_of.at[i].set(one), results, result)

    return jax.tree.map(lambda x: x[:1], lax.fori_loop(0, end, compute, results))


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

    A member on each core is faster than all cores on one member: no core waits for another. Must
    be called before JAX looks for its devices.
    """
    own_count = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not own_count and jax.config.values["jax_num_cpu_devices"] == -1:
        jax.config.update("jax_num_cpu_devices", num_cores())

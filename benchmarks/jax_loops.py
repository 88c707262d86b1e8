"""What a JAX user writes without this project: loops over members around one plain step.

The step is the shortest there is: forward with dropout, cross-entropy, gradient, SGD. It knows
nothing of diverged members, hyperparameters of each member or short batches, so it does less than
the project's. Its convolutions are XLA's own; pooling, ELU and the random numbers of dropout are
the project's, which are faster than JAX's and Flax's, in favour of these contenders.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from benchmarks.contender import Prepared
from benchmarks.jax_networks import device_bytes, temporary_bytes, workload_kit
from benchmarks.memory import Memory, peak_resident_bytes
from benchmarks.workloads import TrainingSet, Workload, load_training_set
from ensemble_jax.networks import Network, Variables
from ensemble_jax.ops import CONVOLUTIONS, fast_key
from ensemble_jax.options import ConvolutionAlgorithm


def contender_network(workload: Workload, data: TrainingSet) -> Network:
    """The network of a workload with XLA's convolutions."""
    return workload_kit(workload, data).member_network(CONVOLUTIONS[ConvolutionAlgorithm.XLA])


class PlainState(NamedTuple):
    """One member: its variables and the key that its randomness is split from."""

    variables: Variables
    key: PRNGKeyArray


def plain_step(
    network: Network,
    learning_rate: float,
    state: PlainState,
    images: UInt8[Array, "M ..."],
    labels: Int[Array, " M"],
    indices: Int[Array, " B"],
) -> tuple[PlainState, Float[Array, ""]]:
    """One step of SGD on the images at `indices`; returns the new state and the loss."""
    key, dropout_key = jax.random.split(state.key)

    def loss_of(params):
        logits, kept = network.apply(
            Variables(params, state.variables.state),
            images[indices],
            key=fast_key(dropout_key),
            train=True,
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels[indices])
        return losses.mean(), kept

    params = state.variables.params
    (loss, kept), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
    params = jax.tree.map(lambda p, g: p - learning_rate * g, params, gradient)
    return PlainState(Variables(params, kept), key), loss


def plain_epoch(
    step: Callable[..., tuple[PlainState, Float[Array, ""]]],
    batch_size: int,
    state: PlainState,
    own: Int[Array, " m"],
    images: UInt8[Array, "M ..."],
    labels: Int[Array, " M"],
) -> tuple[PlainState, Float[Array, ""]]:
    """Its own images once in a random order, as one scan; the new state and the last loss."""
    key, order_key = jax.random.split(state.key)
    order = jax.random.permutation(order_key, own).reshape(-1, batch_size)
    state, losses = jax.lax.scan(
        lambda state, indices: step(state, images, labels, indices),
        PlainState(state.variables, key),
        order,
    )
    return state, losses[-1]


def one_by_one(epoch: Callable[..., Any]) -> Callable[..., Any]:
    """`lax.map` over members: one program, members one after another."""
    return lambda states, own, *data: jax.lax.map(lambda one: epoch(*one, *data), (states, own))


def at_once(epoch: Callable[..., Any]) -> Callable[..., Any]:
    """`vmap` over members: the first thing that everybody writes."""
    return jax.vmap(epoch, in_axes=(0, 0, None, None))


class PythonLoop:
    """For each member, for each step: call one compiled step. Orders are drawn on the host."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        data = load_training_set(workload)
        self._data = jax.device_put((data.images, data.labels))
        network = contender_network(workload, data)
        step = partial(plain_step, network, workload.learning_rate)
        self._step = jax.jit(step, donate_argnums=0)
        states = _init(network, data.images[:1], workload.num_members)
        self._states = [
            jax.tree.map(lambda x, member=member: x[member], states)
            for member in range(workload.num_members)
        ]
        self._rng = np.random.default_rng(0)
        self._compile_seconds: float | None = None

    def prepare(self, steps: int) -> Prepared:
        """Compile the step at the first call; the number of steps changes no program."""
        self._own = self._workload.member_images(self._workload.num_members, steps)
        if self._compile_seconds is None:
            started = time.perf_counter()
            indices = np.arange(self._workload.batch_size, dtype=np.int32)
            self._step.lower(self._states[0], *self._data, indices).compile()
            self._compile_seconds = time.perf_counter() - started
        amount = self._workload.num_members * steps * self._workload.batch_size
        return Prepared(amount, self._workload.num_members, "", self._compile_seconds)

    def train(self) -> float:
        """Every member for some steps."""
        last_losses = [self._train_member(member) for member in range(len(self._states))]
        jax.block_until_ready(self._states)
        return float(np.mean(jax.device_get(last_losses)))

    def memory(self) -> Memory:
        """The peak of this process and of its device."""
        return Memory(peak_resident_bytes(), device_bytes())

    def _train_member(self, member):
        state = self._states[member]
        size = self._workload.batch_size
        order = self._rng.permutation(self._own[member])
        for indices in order.reshape(-1, size):
            state, loss = self._step(state, *self._data, indices)
        self._states[member] = state
        return loss


class CompiledLoop:
    """A whole epoch of all members as one program.

    Args:
        workload: what is trained.
        num_members: how many members.
        over_members: makes the epoch of one member that of all: `one_by_one` or `at_once`.
    """

    def __init__(
        self,
        workload: Workload,
        num_members: int,
        over_members: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> None:
        self._workload = workload
        self._num_members = num_members
        self._over_members = over_members
        data = load_training_set(workload)
        self._data = jax.device_put((data.images, data.labels))
        self._network = contender_network(workload, data)
        self._states = _init(self._network, data.images[:1], num_members)

    def prepare(self, steps: int) -> Prepared:
        """Compile an epoch of so many steps."""
        size = self._workload.batch_size
        self._own = jax.device_put(self._workload.member_images(self._num_members, steps))
        step = partial(plain_step, self._network, self._workload.learning_rate)
        epoch = self._over_members(partial(plain_epoch, step, size))
        started = time.perf_counter()
        arguments = (self._states, self._own, *self._data)
        self._epoch = jax.jit(epoch, donate_argnums=0).lower(*arguments).compile()
        return Prepared(
            self._num_members * steps * size,
            self._num_members,
            compile_seconds=time.perf_counter() - started,
            temporary_bytes=temporary_bytes(self._epoch),
        )

    def train(self) -> float:
        """One epoch."""
        results = self._epoch(self._states, self._own, *self._data)
        self._states, losses = jax.block_until_ready(results)
        return float(np.mean(losses))

    def memory(self) -> Memory:
        """The peak of this process and of its device."""
        return Memory(peak_resident_bytes(), device_bytes())


def _init(network, example, num_members):
    """The states of all members, `[N, ...]`."""
    keys = jax.random.split(jax.random.key(0), num_members)
    return PlainState(jax.jit(jax.vmap(network.init, (0, None)))(keys, example), keys)

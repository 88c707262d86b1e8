"""A member's training, lifted over a collection and compiled."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np
from jaxtyping import Array, Float

from ensemble_jax.collection import Lifted, Placement
from ensemble_jax.data.stored import Inputs, as_array
from ensemble_jax.pool_feed import Pool, PoolFeed, PoolName, Shuffle
from ensemble_jax.training.member import Examples, Member, MemberState, MemberTraining


class CollectionTraining:
    """All members' training on the devices: `init` once, then `epoch` after `epoch`.

    An epoch is one compiled call where all examples are on the devices, else one for each pool.
    Constructing it compiles, so that no call does.

    Members are initialised one after another on the first device and then placed. Orthogonal
    initialisers call LAPACK. CPU devices share one pool of threads, in which LAPACK would wait for
    ever if every device called it.

    Args:
        training: of one member.
        placement: of the members.
        members: all N.
        examples: all examples on the devices, or what feeds them in pools. The division into pools
            is drawn from the members' seed.

    Raises:
        ValueError: if there are pools, and members have subsets or different seeds.

    Attributes:
        num_pools: calls that make an epoch; 1 where all examples are on the devices.
        steps_per_epoch: of each member.
        num_images: images that one epoch reads, of all members together.
        state_shape: shapes and types of the state of all members on the host, `[N, ...]`.
        placed_state_shape: those of the state on the devices, padding included.
        compile_seconds: how long the compilation took.
        compiled_epoch: the compiled epoch, or its first pool, for reading its program and memory.
    """

    def __init__(
        self,
        training: MemberTraining,
        placement: Placement,
        members: Member,
        examples: Examples | PoolFeed,
    ) -> None:
        started = time.perf_counter()
        self._placement = placement
        self._members = placement.spread(members)
        self._source = examples
        if isinstance(examples, PoolFeed):
            self._pool_sizes = examples.pools.sizes
            self._seed = _pool_seed(members, examples)
        else:
            self._pool_sizes = (len(examples.labels),)
        self.num_pools = len(self._pool_sizes)
        self.steps_per_epoch = training.steps_per_epoch
        self.num_images = images_per_epoch(members, sum(self._pool_sizes))
        forms = (
            [self._of_pool(form) for form in examples.forms]
            if isinstance(examples, PoolFeed)
            else [examples]
        )
        inputs = forms[0].inputs
        self._example = np.zeros((1, *inputs.shape[1:]), inputs.dtype)
        self._initial = placement.on_first_device()
        init = self._initial.lift(training.init, shared=(1,))
        self._init_members = self._initial.spread(members)
        lowered = init.lower(self._init_members, self._initial.share(self._example))
        self._init = lowered.compile()
        self.state_shape = self._initial.host_shapes(lowered.out_info)
        self.placed_state_shape = placement.placed_shapes(self.state_shape)
        # By the number of examples: the last pool may have fewer than the others.
        self._compiled = {
            len(form.labels): lower_epoch(
                training, placement, self.placed_state_shape, self._members, form
            ).compile()
            for form in forms
        }
        self.compiled_epoch = next(iter(self._compiled.values()))
        self.compile_seconds = time.perf_counter() - started

    def of(self, members: Member) -> Self:
        """The same programs for other members of the same shapes; compiles nothing."""
        other = copy.copy(self)
        other._members = self._placement.spread(members)
        other._init_members = self._initial.spread(members)
        if isinstance(self._source, PoolFeed):
            other._seed = _pool_seed(members, self._source)
        return other

    def init(self) -> MemberState:
        """The state of every member at initialisation, `[N, ...]` on the devices."""
        state = self._init(self._init_members, self._initial.share(self._example))
        return self._placement.spread(self._initial.gather(state))

    def epoch(
        self, state: MemberState, epoch: int
    ) -> tuple[MemberState, Float[Array | np.ndarray, " N"]]:
        """Train every member for one epoch, counted from 0. `state` is donated.

        Where all examples are on the devices it returns at once, and reading the results waits for
        them. The losses are means over the epoch.
        """
        if self.num_pools == 1:
            return self.train_pool(state, epoch, 0)
        losses = []
        for pool in range(self.num_pools):
            ahead = pool + 1 < self.num_pools
            done = self.train_pool(state, epoch, pool, read_ahead=ahead)
            state, of_pool = jax.block_until_ready(done)
            losses.append(of_pool)
        return state, self.mean_loss(losses)

    def train_pool(
        self, state: MemberState, epoch: int, pool: int, *, read_ahead: bool = False
    ) -> tuple[MemberState, Float[Array, " N"]]:
        """Train every member on one pool of an epoch; both are counted from 0. `state` is donated.

        Args:
            state: after the pool before, whose computation must have ended, so that there is room.
            epoch: the epoch.
            pool: the pool of the epoch.
            read_ahead: whether the next pool, of this epoch or the next, is to be read meanwhile.
        """
        source = self._source
        if not isinstance(source, PoolFeed):
            return self._train(state, epoch, source)
        number = epoch * self.num_pools + pool
        following = self._name(number + 1) if read_ahead else None
        taken = source.take(self._name(number), following)
        return self._train(state, epoch, self._of_pool(taken))

    def images_in(self, pool: int) -> int:
        """The images that a pool has, of all members together."""
        return self.num_images * self._pool_sizes[pool] // sum(self._pool_sizes)

    def mean_loss(
        self, losses: Sequence[Float[Array | np.ndarray, " N"]], first_pool: int = 0
    ) -> Float[np.ndarray, " N"]:
        """The mean loss over consecutive pools, given the mean over each; on the host."""
        if len(losses) == 1:
            return np.asarray(losses[0])
        sizes = self._pool_sizes[first_pool : first_pool + len(losses)]
        return np.average(losses, axis=0, weights=sizes).astype(np.float32)

    def _name(self, number):
        """The pool that comes after so many others, from the first epoch on."""
        epoch, pool = divmod(number, self.num_pools)
        return PoolName(pool, Shuffle(self._seed, epoch))

    def _of_pool(self, pool: Pool) -> Examples | Pool:
        """What a member's training takes: a pool, or the whole set if there is only one."""
        return pool if self.num_pools > 1 else Examples(pool.inputs, pool.labels)

    def _train(self, state, epoch, examples):
        program = self._compiled[len(examples.labels)]
        return program(state, self._members, self._placement.share(np.int32(epoch)), examples)


def lower_epoch(
    training: MemberTraining, placement: Placement, state: Any, members: Any, examples: Any
) -> Lifted:
    """The epoch of all members, to be compiled; it is called with one argument more.

    Only shapes are read, so the devices need not be there: a compiler can be asked of any.

    Args:
        training: of one member.
        placement: of the members.
        state: of all members as they are placed, or its shapes; see `Placement.placed_shapes`. It
            is donated.
        members: all of them as they are placed, or their shapes.
        examples: on every device, or their shapes; see `Placement.shared_shapes`.

    Returns:
        `(state, members, epoch, examples) -> (state, loss)`, lowered.
    """
    lifted = placement.lift(training.epoch, shared=(2, 3), donate=(0,))
    epoch = placement.shared_shapes(jax.ShapeDtypeStruct((), np.int32))
    return lifted.lower(state, members, epoch, examples)


def place_examples(
    placement: Placement, inputs: Inputs, labels: np.ndarray, max_threads: int = 1
) -> Examples:
    """Labelled examples on every device, once for training and evaluation.

    Inputs that are not in memory are read on so many threads.
    """
    return placement.share(Examples(as_array(inputs, max_threads), labels.astype(np.int32)))


def _pool_seed(members: Member, feed: PoolFeed) -> int:
    """The seed from which all members have their pools."""
    if feed.pools.count == 1:
        return 0  # nothing is drawn
    if members.train_indices is not None:
        raise ValueError(
            "pool_images must be 0 (all examples at once) where members have their own subsets"
        )
    seeds = np.unique(np.asarray(members.seed))
    if len(seeds) > 1:
        raise ValueError(
            f"seed must be the same for all members where examples come in pools, got "
            f"{', '.join(map(str, seeds))}"
        )
    return int(seeds[0])


def images_per_epoch(members: Member, num_examples: int) -> int:
    """The examples that one epoch reads, of all members together."""
    if members.train_indices is None:
        return len(members.seed) * num_examples
    return members.train_indices.size

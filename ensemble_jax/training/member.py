"""The training of ONE network as pure functions: state, step and epoch. Nothing here knows of N."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from ensemble_jax.data.sampling import shuffled_batches, shuffled_subset_batches
from ensemble_jax.models import Network, TrainingPass, Variables
from ensemble_jax.ops import Augment
from ensemble_jax.options import Optimizer
from ensemble_jax.training.keys import Stream, StreamIds, member_key
from ensemble_jax.training.optimizers import Settings, decayed_learning_rate, make_update_rule

NOT_DIVERGED = -1


class Subset(NamedTuple):
    """The training examples that a member sees.

    Attributes:
        indices: `[m]`, their positions in the training set; m is the same for all members of a
            collection, so that positions from `size` on only fill up.
        size: how many there are, in 1..m.
    """

    indices: Int[Array | np.ndarray, "*N m"]
    size: Int[Array | np.ndarray, "*N"]


class Member(NamedTuple):
    """What sets a member apart: of one member, or with a leading axis `[N]` before it is lifted.

    Attributes:
        seed: of its randomness.
        streams: which of the seed's streams of randomness are its own.
        settings: numbers of its optimizer and dropout.
        subset: what it is trained on; None (of all members) for the whole training set.
        labels: `[M]`, what it is taught; None (of all members) for the labels of the examples.
    """

    seed: Int[Array | np.ndarray, "*N"]
    streams: StreamIds
    settings: Settings
    subset: Subset | None = None
    labels: Int[Array | np.ndarray, "*N M"] | None = None


class MemberState(NamedTuple):
    """All that training changes, and all that a checkpoint must hold.

    Attributes:
        variables: parameters and batch statistics.
        optimizer: the optimizer's own state.
        diverged_at: the epoch, counted from 1, in which loss or parameters were no longer finite;
            the member keeps the variables it had before that step. `NOT_DIVERGED` otherwise.
    """

    variables: Variables
    optimizer: Any
    diverged_at: Int[Array | np.ndarray, ...]


class PoolPlace(NamedTuple):
    """Which part of the training set P examples are that are on the device instead of all.

    Attributes:
        number: of the pool in its epoch, from 0.
        size: how many of the P entries are examples; those after them fill up.
        positions: `[P]`, the place of each example in the training set.
    """

    number: Int[Array | np.ndarray, ""]
    size: Int[Array | np.ndarray, ""]
    positions: Int[Array | np.ndarray, " P"]


class Examples(NamedTuple):
    """Labelled examples on the device, shared by all members."""

    inputs: Num[Array | np.ndarray, "M ..."]
    labels: Int[Array | np.ndarray, " M"]


class Batch(NamedTuple):
    """What one step reads; entries of weight 0 are padding."""

    inputs: Num[Array, "B ..."]
    labels: Int[Array, " B"]
    weights: Float[Array, " B"]


class MemberTraining(NamedTuple):
    """One member's training.

    Attributes:
        init: `member -> state` at epoch 0.
        epoch: `(state, member, epoch, examples, pool=None) -> (state, loss)`: one pass over the
            member's examples in its own order; `loss` is the mean over them as they were seen.
            Where `examples` are only a pool of them, an epoch is as many of these.
    """

    init: Callable[[Member], MemberState]
    epoch: Callable[..., tuple[MemberState, Float[Array, ""]]]


def make_member_training(
    network: Network,
    optimizer: Optimizer,
    batch_size: int,
    passes_per_step: int = 1,
    augment: Augment | None = None,
) -> MemberTraining:
    """Compose a network and an optimizer to the training of one member.

    Args:
        network: what is trained.
        optimizer: how.
        batch_size: examples per step.
        passes_per_step: into how many equal parts a batch is cut, whose gradients are summed. The
            activations of a part may stay in a cache or memory that those of the batch exceed.
        augment: what happens to the images of a batch before it is trained on; None for nothing.

    Raises:
        ValueError: if the batch cannot be cut so.
    """
    if batch_size % passes_per_step:
        raise ValueError(
            f"passes_per_step must divide the batch size {batch_size}, got {passes_per_step}"
        )
    if passes_per_step > 1 and jax.eval_shape(network.init, jax.random.key(0)).batch_stats:
        raise ValueError(
            f"passes_per_step must be 1 where a network takes averages of whole batches, "
            f"got {passes_per_step}"
        )

    def init(member):
        key = member_key(member.seed, Stream.INITIALISATION, member.streams.initialisation)
        variables = network.init(key)
        rule = make_update_rule(optimizer, member.settings, member.settings.learning_rate)
        return MemberState(variables, rule.init(variables.params), jnp.int32(NOT_DIVERGED))

    def epoch(state, member, epoch, examples, pool=None):
        seed, streams = member.seed, member.streams
        order_key = jax.random.fold_in(member_key(seed, Stream.ORDER, streams.order), epoch)
        dropout_key = jax.random.fold_in(member_key(seed, Stream.DROPOUT, streams.dropout), epoch)
        augmentation_key = jax.random.fold_in(
            member_key(seed, Stream.AUGMENTATION, streams.augmentation), epoch
        )
        batches = _member_batches(order_key, member.subset, len(examples.labels), pool, batch_size)
        labels = _taught_labels(member, examples, pool)
        rate = decayed_learning_rate(member.settings, epoch)
        rule = make_update_rule(optimizer, member.settings, rate)

        def step(state, batch_of_step, active):
            number, indices, weights = batch_of_step
            inputs = examples.inputs[indices]
            if augment is not None:
                inputs = augment(jax.random.fold_in(augmentation_key, number), inputs)
            batch = Batch(inputs, labels[indices], weights)
            key = jax.random.fold_in(dropout_key, number)
            scale = member.settings.dropout_scale
            new, loss, finite = train_step(
                network, rule, state, batch, key, scale, active, passes_per_step
            )
            return new, loss * weights.sum(), finite

        num_steps = len(batches.indices)
        steps = _steps_before(pool, batches) + jnp.arange(num_steps)
        diverged = state.diverged_at != NOT_DIVERGED
        state, loss, made = _up_to_failure(
            step, state, (steps, *batches), jnp.where(diverged, 0, num_steps)
        )
        diverged_at = jnp.where(
            diverged | (made == num_steps), state.diverged_at, jnp.int32(epoch + 1)
        )
        return state._replace(diverged_at=diverged_at), loss / batches.weights.sum()

    return MemberTraining(init, epoch)


def _member_batches(key, subset, num_examples, pool, batch_size):
    """A member's batches of one epoch, or of a pool."""
    if pool is not None:
        key = jax.random.fold_in(key, pool.number)
        return shuffled_subset_batches(key, jnp.arange(num_examples), pool.size, batch_size)
    if subset is None:
        return shuffled_batches(key, num_examples, batch_size)
    return shuffled_subset_batches(key, subset.indices, subset.size, batch_size)


def _taught_labels(member, examples, pool):
    """What a member learns of each of the examples."""
    if member.labels is None:
        return examples.labels
    return member.labels if pool is None else member.labels[pool.positions]


def _steps_before(pool, batches):
    """The steps of the epoch before those of these examples."""
    return 0 if pool is None else pool.number * len(batches.indices)


class _Attempt(NamedTuple):
    """What came of the first `limit` steps, and whether none of these failed."""

    state: MemberState
    loss: Float[Array, ""]
    limit: Int[Array, ""]
    succeeded: Bool[Array, ""] | bool


def _up_to_failure(step, state, batches, most_steps):
    """The first `most_steps` of the steps, but none from the first on that fails.

    `step(state, batch, active) -> (state, loss, finite)`. Returns the last state, the sum of the
    losses of all steps, and how many were made. To look before each update whether it will do would
    be to read all parameters once more: where a step fails, those before it are made again instead.
    """

    def attempt(last):
        def step_or_not(state, numbered):
            number, batch = numbered
            active = number < last.limit
            state, loss, finite = step(state, batch, active)
            return state, (loss, finite | ~active)

        end, (losses, finite) = jax.lax.scan(step_or_not, state, (numbers, batches))
        failed = jnp.where(finite.all(), last.limit, finite.argmin())
        return _Attempt(end, losses.sum(), failed, failed == last.limit)

    numbers = jnp.arange(len(jax.tree.leaves(batches)[0]))
    none = _Attempt(state, jnp.float32(0), most_steps, False)
    # A loop, since of a condition members that are trained together would take both sides.
    done = jax.lax.while_loop(lambda last: ~last.succeeded, attempt, none)
    return done.state, done.loss, done.limit


def train_step(
    network: Network,
    rule: optax.GradientTransformation,
    state: MemberState,
    batch: Batch,
    dropout_key: PRNGKeyArray,
    dropout_scale: Float[Array, ""] | float,
    active: Bool[Array, ""] | bool = True,
    passes: int = 1,
) -> tuple[MemberState, Float[Array, ""], Bool[Array, ""]]:
    """Forward, loss, gradient and update on one batch.

    Returns the new state, the mean loss and whether that and the new parameters are finite. What is
    not `active` changes nothing; nor does a batch of padding alone, whose loss is 0.
    """
    num_examples = batch.weights.sum()
    total_weight = jnp.maximum(num_examples, 1)

    def loss_of(params, part, first_example):
        """The part's share of the batch's mean loss."""
        variables = Variables(params, state.variables.batch_stats)
        training = TrainingPass(dropout_scale, first_example, part.weights)
        logits, batch_stats = network.train(variables, part.inputs, dropout_key, training)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, part.labels)
        return (losses * part.weights).sum() / total_weight, batch_stats

    params = state.variables.params
    gradient_of = jax.value_and_grad(loss_of, has_aux=True)
    if passes == 1:
        (loss, batch_stats), gradient = gradient_of(params, batch, 0)
    else:
        loss, gradient = _sum_over_parts(gradient_of, params, batch, passes)
        batch_stats = state.variables.batch_stats
    updates, optimizer = rule.update(gradient, state.optimizer, params)
    trained = Variables(optax.apply_updates(params, updates), batch_stats)
    # Known before the gradient is, so that an update and this choice are one pass over memory.
    updating = active & (num_examples > 0)
    variables, optimizer = jax.tree.map(
        lambda new, old: jnp.where(updating, new, old),
        (trained, optimizer),
        (state.variables, state.optimizer),
    )
    # What is not finite in the gradient is not in the parameters either, and an update can overflow
    # by itself. One sum is enough to notice a single infinity or NaN.
    finite = jnp.isfinite(loss + sum(p.sum() for p in jax.tree.leaves(variables.params)))
    return MemberState(variables, optimizer, state.diverged_at), loss, finite


def _sum_over_parts(gradient_of, params, batch, passes):
    """Loss and gradient of a batch, computed one part after another."""
    size = len(batch.labels) // passes
    parts = jax.tree.map(lambda x: x.reshape(passes, size, *x.shape[1:]), batch)

    def add(sums, part_and_start):
        (loss, _), gradient = gradient_of(params, *part_and_start)
        return jax.tree.map(jnp.add, sums, (loss, gradient)), None

    zeros = jnp.float32(0), jax.tree.map(jnp.zeros_like, params)
    sums, _ = jax.lax.scan(add, zeros, (parts, size * jnp.arange(passes)))
    return sums

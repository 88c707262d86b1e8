"""The training of ONE network as pure functions: state, step and epoch. Nothing here knows of N."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from ensemble_jax.hyperparameters import Hyperparameters, Scalar
from ensemble_jax.losses import Loss, loss_of_member
from ensemble_jax.networks import Network, Variables, scaled_dropout
from ensemble_jax.numerics import products_in
from ensemble_jax.ops import Augment, fast_key
from ensemble_jax.ops.random import with_first_row
from ensemble_jax.optimizers import OptimizerFactory
from ensemble_jax.options import Precision, Source
from ensemble_jax.pool_feed import Pool
from ensemble_jax.training.keys import SourceIds, member_key

NOT_DIVERGED = -1


class Member(NamedTuple):
    """What sets a member apart: of one member, or with a leading axis `[N]` before it is lifted.

    Attributes:
        seed: of its randomness.
        source_ids: which of the seed's sources of randomness are its own.
        hyperparameters: numbers by name, which its optimizer, its loss and its dropout read.
        train_indices: `[m]`, the examples that it is trained on; None (of all members) for all.
        train_labels: `[M]`, its labels in training; None (of all members) for the examples'.
    """

    seed: Int[Array | np.ndarray, "*N"]
    source_ids: SourceIds
    hyperparameters: Mapping[str, Scalar]
    train_indices: Int[Array | np.ndarray, "*N m"] | None = None
    train_labels: Int[Array | np.ndarray, "*N M"] | None = None

    def key(self, source: Source) -> PRNGKeyArray:
        """What one member draws from this source of randomness."""
        return member_key(self.seed, source, getattr(self.source_ids, source.value))


class MemberState(NamedTuple):
    """All that training changes, and all that a checkpoint must hold.

    Attributes:
        variables: parameters and the network's mutable state, such as batch statistics.
        optimizer: the optimizer's own state.
        diverged_at: the epoch, counted from 1, in which loss or parameters were no longer finite;
            the member keeps the variables it had before that step. `NOT_DIVERGED` otherwise.
    """

    variables: Variables
    optimizer: Any
    diverged_at: Int[Array | np.ndarray, ...]


class Examples(NamedTuple):
    """Labelled examples on the device, shared by all members."""

    inputs: Num[Array | np.ndarray, "M ..."]
    labels: Int[Array | np.ndarray, " M"]


class MemberTraining(NamedTuple):
    """One member's training.

    Attributes:
        init: `(member, inputs) -> state` at epoch 0; of the examples `inputs [1, ...]` only shape
            and type matter.
        epoch: `(state, member, epoch, examples) -> (state, loss)`: one pass over the member's
            examples in its own order; `loss` is the mean over them as they were seen. Where
            `examples` are a `Pool`, a part of the training set, an epoch takes one such call for
            each pool.
        steps_per_epoch: as in the recipe.
    """

    init: Callable[..., MemberState]
    epoch: Callable[..., tuple[MemberState, Float[Array, ""]]]
    steps_per_epoch: int


class Recipe(NamedTuple):
    """How a member is trained, the same for all members of a collection.

    Attributes:
        network: of one member; it takes examples as they are stored.
        optimizer: from the hyperparameters of a member to an optax transformation.
        loss: `(outputs [B, K], labels [B]) -> [B]`, or the same with the hyperparameters.
        batch_size: B, examples per step; the last step of an epoch has those that are left.
        num_steps: of the whole training, for schedules.
        steps_per_epoch: those of an epoch.
        microbatches: in how many equal parts a batch goes through the network, one after another,
            which saves memory. The last step of an epoch, if it has fewer examples, has one.
        augment: changes the images of a batch before it is trained on; None for nothing.
        precision: how products are rounded, those of gradients and of the optimizer included.
    """

    network: Network
    optimizer: OptimizerFactory
    loss: Loss
    batch_size: int
    num_steps: int
    steps_per_epoch: int
    microbatches: int = 1
    augment: Augment | None = None
    precision: Precision = Precision.FLOAT32

    def hyperparameters(self, member: Member) -> Hyperparameters:
        """What the optimizer and the loss of a member read."""
        return Hyperparameters(
            member.hyperparameters,
            num_steps=self.num_steps,
            steps_per_epoch=self.steps_per_epoch,
        )


def make_member_training(recipe: Recipe) -> MemberTraining:
    """The training of one member by a recipe.

    Raises:
        ValueError: if a batch cannot be cut into the microbatches.
    """
    batch_size, microbatches = recipe.batch_size, recipe.microbatches
    if batch_size % microbatches:
        raise ValueError(
            f"microbatches must divide the batch size {batch_size}, got {microbatches}"
        )

    def init(member, inputs):
        variables = recipe.network.init(member.key(Source.INITIALISATION), inputs)
        check_microbatches(microbatches, variables)
        rule = recipe.optimizer(recipe.hyperparameters(member))
        return MemberState(variables, rule.init(variables.params), jnp.int32(NOT_DIVERGED))

    @products_in(recipe.precision)
    def epoch(state, member, epoch, examples):
        keys = _epoch_keys(member, epoch)
        order = _order(keys.order, member, examples)
        labels = _train_labels(member, examples)
        hp = recipe.hyperparameters(member)
        step_of = _StepOfMember(recipe, recipe.optimizer(hp), loss_of_member(recipe.loss, hp), hp)

        def step(state, numbered, active):
            number, indices = numbered
            inputs = examples.inputs[indices]
            if recipe.augment is not None:
                inputs = recipe.augment(jax.random.fold_in(keys.augmentation, number), inputs)
            key = fast_key(jax.random.fold_in(keys.dropout, number))
            state, loss, finite = step_of(state, inputs, labels[indices], key, active)
            return state, loss * len(indices), finite

        diverged = state.diverged_at != NOT_DIVERGED
        batches = _cut(order, batch_size, _first_step(examples, recipe))
        num_steps = sum(len(numbers) for numbers, _ in batches)
        state, loss, made = _up_to_failure(step, state, batches, jnp.where(diverged, 0, num_steps))
        diverged_at = jnp.where(
            diverged | (made == num_steps), state.diverged_at, jnp.int32(epoch + 1)
        )
        return state._replace(diverged_at=diverged_at), loss / len(order)

    return MemberTraining(init, epoch, recipe.steps_per_epoch)


def check_microbatches(microbatches: int, variables: Variables) -> None:
    """See that a network may be given its batches in parts.

    Raises:
        ValueError: if it has a state, such as statistics of whole batches.
    """
    if microbatches > 1 and jax.tree.leaves(variables.state):
        raise ValueError(
            f"microbatches must be 1 where a network takes averages of whole batches, "
            f"got {microbatches}"
        )


class _EpochKeys(NamedTuple):
    """What the randomness of one epoch is drawn from."""

    order: PRNGKeyArray
    dropout: PRNGKeyArray
    augmentation: PRNGKeyArray


def _epoch_keys(member, epoch):
    sources = Source.ORDER, Source.DROPOUT, Source.AUGMENTATION
    return _EpochKeys(*(jax.random.fold_in(member.key(source), epoch) for source in sources))


def _order(key, member, examples):
    """The member's examples, each once, in the order of one epoch or of a pool."""
    if isinstance(examples, Pool):
        key = jax.random.fold_in(key, examples.number)
    elif member.train_indices is not None:
        return member.train_indices[jax.random.permutation(key, len(member.train_indices))]
    return jax.random.permutation(key, len(examples.labels))


def _train_labels(member, examples):
    """What a member learns of each of the examples."""
    if member.train_labels is None:
        return examples.labels
    of_pool = isinstance(examples, Pool)
    return member.train_labels[examples.positions] if of_pool else member.train_labels


def _first_step(examples, recipe):
    """The number of the first step in the epoch; 0 where all examples are on the devices.

    The steps of different pools have different numbers, so that no two draw the same dropout: a
    pool has no more steps than the epoch.
    """
    return examples.number * recipe.steps_per_epoch if isinstance(examples, Pool) else 0


def _cut(order, batch_size, first_step):
    """The batches of an epoch, grouped by their size; no step ever sees padding.

    `([S], [S, B])` are the step numbers and examples of whole batches; `([1], [1, b])` are those of
    a short last batch, if examples are left.
    """
    whole, left = divmod(len(order), batch_size)
    cut = order[: whole * batch_size].reshape(whole, batch_size)
    batches = [(first_step + jnp.arange(whole), cut)] if whole else []
    if left:
        batches.append((first_step + jnp.arange(whole, whole + 1), order[None, -left:]))
    return batches


class _Attempt(NamedTuple):
    """What came of the first `limit` steps, and whether none of these failed."""

    state: MemberState
    loss: Float[Array, ""]
    limit: Int[Array, ""]
    succeeded: Bool[Array, ""] | bool


def _up_to_failure(step, state, batches, most_steps):
    """Make the first `most_steps` steps, or those before the first one that fails.

    `step(state, (number, batch), active) -> (state, loss, finite)`. Returns the last state, the sum
    of the losses of all steps, and how many were made. A check of each update before it is made
    would read all parameters once more. So all steps are made without one; if a step fails, the
    steps before it are made again from the start.
    """

    def attempt(last):
        def step_or_not(state, placed):
            place, numbered = placed
            active = place < last.limit
            state, loss, finite = step(state, numbered, active)
            return state, (loss, finite | ~active)

        end, first, results = state, 0, []
        for batches_of_size in batches:
            places = first + jnp.arange(len(batches_of_size[0]))
            end, done = jax.lax.scan(step_or_not, end, (places, batches_of_size))
            results.append(done)
            first += len(places)
        losses, finite = (jnp.concatenate(parts) for parts in zip(*results, strict=True))
        failed = jnp.where(finite.all(), last.limit, finite.argmin())
        return _Attempt(end, losses.sum(), failed, failed == last.limit)

    none = _Attempt(state, jnp.float32(0), most_steps, False)
    # A loop and not `cond`: under `vmap` all members would compute both branches of a `cond`.
    done = jax.lax.while_loop(lambda last: ~last.succeeded, attempt, none)
    return done.state, done.loss, done.limit


class _StepOfMember(NamedTuple):
    """Forward, loss, gradient and update on one batch."""

    recipe: Recipe
    rule: optax.GradientTransformation
    loss: Loss
    hp: Hyperparameters

    def __call__(
        self,
        state: MemberState,
        inputs: Num[Array, "B ..."],
        labels: Int[Array, " B"],
        key: PRNGKeyArray,
        active: Bool[Array, ""] | bool = True,
    ) -> tuple[MemberState, Float[Array, ""], Bool[Array, ""]]:
        """The new state, the mean loss, and whether that and the new parameters are finite.

        A step that is not `active` changes nothing.
        """
        params = state.variables.params
        whole = self.recipe.microbatches == 1 or len(labels) < self.recipe.batch_size
        gradient_of = jax.value_and_grad(self._mean_loss, has_aux=True)
        if whole:
            (loss, kept), gradient = gradient_of(params, state.variables.state, inputs, labels, key)
        else:
            kept = state.variables.state
            loss, gradient = self._mean_of_parts(gradient_of, params, kept, inputs, labels, key)
        updates, optimizer = self.rule.update(gradient, state.optimizer, params)
        trained = Variables(optax.apply_updates(params, updates), kept)
        # `active` is known before the gradient is, so XLA makes the update and this choice in one
        # pass over memory.
        variables, optimizer = jax.tree.map(
            lambda new, old: jnp.where(active, new, old),
            (trained, optimizer),
            (state.variables, state.optimizer),
        )
        # A gradient that is not finite makes parameters that are not, and an update can overflow
        # by itself. One sum is enough to notice a single infinity or NaN.
        finite = jnp.isfinite(loss + sum(p.sum() for p in jax.tree.leaves(variables.params)))
        return MemberState(variables, optimizer, state.diverged_at), loss, finite

    def _mean_loss(self, params, kept, inputs, labels, key):
        with scaled_dropout(self.hp.get("dropout_scale")):
            outputs, kept = self.recipe.network.apply(
                Variables(params, kept), inputs, key=key, train=True
            )
        return self.loss(outputs, labels).mean(), kept

    def _mean_of_parts(self, gradient_of, params, kept, inputs, labels, key):
        """Loss and gradient of a batch, computed one microbatch after another."""
        count = self.recipe.microbatches
        size = len(labels) // count
        parts = (x.reshape(count, size, *x.shape[1:]) for x in (inputs, labels))

        def add(sums, part):
            inputs, labels, first = part
            # Masks are those of the whole batch, so that a plan changes nothing but rounding.
            part_key = with_first_row(key, first)
            (loss, _), gradient = gradient_of(params, kept, inputs, labels, part_key)
            return jax.tree.map(jnp.add, sums, (loss, gradient)), None

        zeros = jnp.float32(0), jax.tree.map(jnp.zeros_like, params)
        sums, _ = jax.lax.scan(add, zeros, (*parts, size * jnp.arange(count)))
        return jax.tree.map(lambda x: x / count, sums)

"""What a collection's programs are made of, and whether its parts fit together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from jaxtyping import Float32

from ensemble_jax.data import Dataset, channel_statistics
from ensemble_jax.losses import (
    Loss,
    cross_entropy,
    loss_of_member,
    recorded_loss,
    smoothed_by_member,
)
from ensemble_jax.membership import TrainedOn
from ensemble_jax.networks import (
    Network,
    prepared,
    rounding_products,
    slow_layers,
    with_fast_layers,
)
from ensemble_jax.numerics import products_in
from ensemble_jax.ops import Convolution, make_augmentation
from ensemble_jax.options import Precision, parse_augmentations
from ensemble_jax.plan import parse_plan_request
from ensemble_jax.training import Recipe
from ensemble_jax.training.member import check_microbatches

if TYPE_CHECKING:
    from ensemble_jax.task import Training


_OF_DROPOUT = "dropout_scale"  # read by the step, not by the optimizer or the loss


class Kit(NamedTuple):
    """What a collection's programs are made of, on a data set.

    Attributes:
        network: of one member; its inputs are prepared.
        mean: subtracted from every example.
        std: what examples are divided by after that.
        word_vectors: of texts; None for everything else.
        recipe_of: makes the recipe of one member, given its network and microbatches.
        recorded_loss: what evaluation records.
        platform: the kind of device that programs are for; None for that of JAX's default device.
    """

    network: Network
    mean: np.ndarray
    std: np.ndarray
    word_vectors: np.ndarray | None
    recipe_of: Callable[..., Recipe]
    recorded_loss: Loss
    platform: str | None = None

    def member_network(
        self, convolution: Convolution | None, precision: Precision = Precision.FLOAT32
    ) -> Network:
        """The network of a member, which takes examples as they are stored.

        Args:
            convolution: how convolutions are computed; None for JAX's own layers, for shapes alone.
            precision: how products are rounded.
        """
        network = prepared(
            self.network,
            mean=self.mean,
            std=self.std,
            word_vectors=self.word_vectors,
            precision=precision,
            platform=self.platform,
        )
        if convolution is not None:
            network = with_fast_layers(network, convolution)
        return rounding_products(network, precision)

    def recipe(
        self,
        convolution: Convolution | None,
        precision: Precision = Precision.FLOAT32,
        microbatches: int = 1,
    ) -> Recipe:
        """How one member is trained under a plan."""
        network = self.member_network(convolution, precision)
        return self.recipe_of(network=network, microbatches=microbatches, precision=precision)

    def check(self, training: Training, dataset: Dataset, trained_on: TrainedOn) -> list[str]:
        """Check that network, optimizer and loss fit together; returns what is slow, in lines.

        Only shapes are computed.

        Raises:
            ValueError: if outputs are not `[B, K]` or losses not `[B]`.
        """
        batch = jax.ShapeDtypeStruct(
            (training.batch_size, *dataset.input_shape), dataset.train.inputs.dtype
        )
        recipe = self.recipe(None)
        member = jax.tree.map(lambda x: x[0], trained_on.members)
        key = jax.eval_shape(lambda: jax.random.key(0))
        variables = jax.eval_shape(recipe.network.init, key, batch)

        def outputs_of(variables, inputs, key):
            return recipe.network.apply(variables, inputs, key=key, train=True)[0]

        outputs = jax.eval_shape(outputs_of, variables, batch, key)
        wanted = (training.batch_size, dataset.num_classes)
        if getattr(outputs, "shape", None) != wanted:
            raise ValueError(
                f"network must map {list(batch.shape)} to outputs [B, K] = {list(wanted)} for the "
                f"{dataset.num_classes} classes of {dataset.name}, got "
                f"{list(getattr(outputs, 'shape', ())) or type(outputs).__name__}"
            )
        labels = jax.ShapeDtypeStruct((training.batch_size,), np.int32)
        hp = recipe.hyperparameters(member)
        losses = jax.eval_shape(loss_of_member(recipe.loss, hp), outputs, labels)
        if getattr(losses, "shape", None) != labels.shape:
            raise ValueError(
                f"loss must return one number for each example, [B] = {list(labels.shape)}, got "
                f"{list(getattr(losses, 'shape', ()))}"
            )
        check_microbatches(
            parse_plan_request(training.plan).forced.get("microbatches", 1), variables
        )
        rule = recipe.optimizer(hp)
        state = jax.eval_shape(rule.init, variables.params)
        jax.eval_shape(rule.update, variables.params, state, variables.params)
        unread = [name for name in training.must_read if name not in {*hp.read, _OF_DROPOUT}]
        if unread:
            raise ValueError(
                f"neither optimizer nor loss reads the hyperparameter {unread[0]}, so that it "
                f"would change nothing; they read {', '.join(sorted(hp.read)) or 'none'}"
            )
        with products_in(recipe.precision):
            slow = slow_layers(outputs_of, variables, batch, key)
        return [f"computed by XLA's own layers, which are slow here: {', '.join(slow)}"] * bool(
            slow
        )


def make_kit(training: Training, dataset: Dataset) -> Kit:
    """What the programs of a training are made of.

    Raises:
        ValueError: if the network cannot take the examples.
    """
    statistics = input_statistics(dataset, training.workers) if training.normalise else (0.0, 1.0)
    mean, std = (np.asarray(x, np.float32) for x in statistics)
    augmentations = parse_augmentations(training.augmentation)
    steps = -(-training.members.num_examples(len(dataset.train)) // training.batch_size)
    smooths = "label_smoothing" in training.members.hyperparameters
    recipe_of = functools.partial(
        Recipe,
        optimizer=training.optimizer,
        loss=training.loss or (smoothed_by_member if smooths else cross_entropy),
        batch_size=training.batch_size,
        num_steps=max(1, steps * training.extents[-1]),
        steps_per_epoch=steps,
        augment=make_augmentation(augmentations, dataset.input_shape, mean)
        if augmentations
        else None,
    )
    return Kit(
        training.make_network(dataset),
        mean,
        std,
        dataset.word_vectors,
        recipe_of,
        recorded_loss(training.loss),
    )


def input_statistics(
    dataset: Dataset, max_threads: int
) -> tuple[Float32[np.ndarray, ...], Float32[np.ndarray, ...]]:
    """The mean and std by which inputs are normalised; 0 and 1 for texts, ids of words."""
    if dataset.word_vectors is not None:
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    return channel_statistics(dataset.train.inputs, max_threads)

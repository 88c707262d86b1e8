"""Images are changed in training, for each member in its own way, and nowhere else."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.collection import Placement
from ensemble_jax.evaluation import CollectionEvaluation, make_evaluator
from ensemble_jax.networks import Network, Variables
from ensemble_jax.ops import make_augmentation
from ensemble_jax.options import Optimizer, parse_augmentations
from ensemble_jax.training import CollectionTraining, place_examples

IDS = [0, 3, 4]
SHAPE = (3, 5, 1)
assert_equal = partial(jax.tree.map, np.testing.assert_array_equal)

rng = np.random.default_rng(0)
INPUTS = rng.normal(size=(10, *SHAPE)).astype(np.float32)
LABELS = rng.integers(0, 3, 10)


def linear() -> Network:
    def init(key, inputs):
        return Variables({"kernel": jax.random.normal(key, (15, 3))}, {})

    def apply(variables, inputs, *, key, train):
        return inputs.reshape(len(inputs), -1) @ variables.params["kernel"], variables.state

    return Network(init, apply)


def kernels(state):
    return state.variables.params["kernel"]


def compile_training(tiny, members, microbatches=1, texts=("crop:1", "flip")):
    placement = Placement(len(members.seed), 1, tuple(jax.devices()[:1]))
    augment = make_augmentation(parse_augmentations(texts), SHAPE) if texts else None
    training = tiny.make_training(
        network=linear(), optimizer=Optimizer.SGD, microbatches=microbatches, augment=augment
    )
    examples = place_examples(placement, INPUTS, LABELS)
    return placement, CollectionTraining(training, placement, members, examples)


@pytest.fixture(scope="module")
def trained(tiny):
    return tiny.run(*compile_training(tiny, tiny.members(IDS)), 2)


def test_it_changes_the_training(tiny, trained):
    plain = tiny.run(*compile_training(tiny, tiny.members(IDS), texts=()), 1)
    assert_equal(plain.states[0], trained.states[0])
    one, other = (kernels(run.states[1]) for run in (plain, trained))
    assert (one != other).any((1, 2)).all()


def test_a_member_has_the_same_bits_alone_and_resumed(tiny, trained):
    alone = compile_training(tiny, tiny.members([4]))
    first, last = (jax.tree.map(lambda x: x[2:], trained.states[i]) for i in (1, 2))
    assert_equal(tiny.run(*alone, 1, first, first_epoch=1).states[1], last)


def test_a_batch_in_parts_is_changed_as_the_whole(tiny, trained):
    in_parts = tiny.run(*compile_training(tiny, tiny.members(IDS), microbatches=2), 2)
    np.testing.assert_allclose(
        kernels(in_parts.states[2]), kernels(trained.states[2]), rtol=1e-4, atol=1e-6
    )


def test_members_draw_their_own_unless_they_are_tied(tiny):
    """Members that differ in nothing but the changes of their images."""
    members = tiny.members([0, 1])
    shared = members._replace(
        source_ids=jax.tree.map(np.zeros_like, members.source_ids)._replace(
            augmentation=members.source_ids.augmentation
        )
    )
    placement, training = compile_training(tiny, shared)
    one, other = kernels(tiny.run(placement, training, 1).states[1])
    assert (one != other).any()
    tied = shared._replace(source_ids=jax.tree.map(np.zeros_like, members.source_ids))
    one, other = kernels(tiny.run(placement, training.of(tied), 1).states[1])
    np.testing.assert_array_equal(one, other)


def test_evaluation_sees_the_images_as_they_are(tiny, trained):
    placement = Placement(3, 1, tuple(jax.devices()[:1]))
    variables = placement.spread(trained.states[2].variables)
    sets = {"train": place_examples(placement, INPUTS, LABELS)}
    evaluation = CollectionEvaluation(make_evaluator(linear(), 3, 10), placement, variables, sets)
    logits = jnp.einsum("mi,nik->nmk", INPUTS.reshape(10, -1), kernels(trained.states[2]))
    np.testing.assert_array_equal(
        placement.gather(evaluation(variables))["train"].predictions, logits.argmax(-1)
    )

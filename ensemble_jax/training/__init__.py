"""Training: one member as pure functions, lifted to a collection, and the host loop around it."""

from ensemble_jax.training.checkpoints import Checkpoints
from ensemble_jax.training.collection_training import (
    CollectionTraining,
    images_per_epoch,
    lower_epoch,
    place_examples,
)
from ensemble_jax.training.keys import SourceIds, independent_seeds
from ensemble_jax.training.loop import Observer, Progress, Saving, train_loop
from ensemble_jax.training.member import (
    NOT_DIVERGED,
    Examples,
    Member,
    MemberState,
    MemberTraining,
    Recipe,
    make_member_training,
)

__all__ = [
    "NOT_DIVERGED",
    "Checkpoints",
    "CollectionTraining",
    "Examples",
    "Member",
    "MemberState",
    "MemberTraining",
    "Observer",
    "Progress",
    "Recipe",
    "Saving",
    "SourceIds",
    "images_per_epoch",
    "independent_seeds",
    "lower_epoch",
    "make_member_training",
    "place_examples",
    "train_loop",
]

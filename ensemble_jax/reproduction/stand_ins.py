"""What is learned in place of data sets that cannot be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class StandIn:
    """Another set, or some of its classes.

    Attributes:
        dataset: its name; DATA_DIR in it is the folder of data sets.
        label: of collections trained on it, in names of folders.
        fewer: how many times fewer train examples it has than the set in whose place it is.
        classes: of the set; all if empty.
        source: where it can be had, for a set that does not say so itself.
    """

    dataset: str
    label: str
    fewer: float
    classes: tuple[str, ...] = ()
    source: str = ""


# Of other superclasses than those that stand for other sets, with something of CIFAR-10's classes.
_LIKE_CIFAR10 = (
    "bus",
    "camel",
    "cattle",
    "lizard",
    "pickup_truck",
    "rocket",
    "tank",
    "tractor",
    "train",
    "wolf",
)

STAND_INS: Mapping[str, StandIn] = {
    "mnist": StandIn("fashion_mnist", "fashion_mnist", 1),
    "cifar10": StandIn("cifar100", "ten_of_cifar100", 10, _LIKE_CIFAR10),
    "cats_and_dogs": StandIn("cifar100", "leopards_and_wolves", 10, ("leopard", "wolf")),
    "vggface2": StandIn("people", "people", 2.4),
    "tiny_imagenet": StandIn(
        "large_omnivores_and_herbivores", "large_omnivores_and_herbivores", 40
    ),
    "imagenet2012": StandIn("large_carnivores", "large_carnivores", 512),
    "stackoverflow": StandIn(
        "tsv:DATA_DIR/trec",
        "trec",
        7,
        source=(
            "the TREC questions are at https://cogcomp.seas.upenn.edu/Data/QA/QC; of them make "
            "trec_train.tsv and trec_test.tsv with a line `class TAB question` for each, or name "
            "texts of your own, --datasets=stackoverflow=tsv:PATH"
        ),
    ),
}
"""By the name of the paper's set."""

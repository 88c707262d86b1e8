"""What is trained for the figures, at each scale; a collection serves all that need it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.configs import (
    cifar_vgg19,
    fashion_mnist,
    fashion_mnist_parts,
    gabor,
    gaussian,
    imagenet,
    mnist,
    random_labels,
    small_mammals,
    text,
)
from ensemble_jax.options import Model


class Scale(enum.Enum):
    """How much is trained."""

    QUICK = "quick"
    HOUR = "hour"
    PAPER = "paper"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A collection of the paper, and what of it is another at the smaller scales.

    Attributes:
        ending: of its name; what comes before is the data set.
        paper: as in the paper.
        changes: fields with other values, by scale; a `train_fraction` is one of the paper's set.
        too_large: whether the paper's data set is too large for the smaller scales, which then take
            its stand-in even where it is there.
    """

    ending: str
    paper: TrainConfig
    changes: Mapping[Scale, Mapping[str, Any]]
    too_large: bool = False

    @property
    def name(self) -> str:
        """Of the collection in the paper."""
        return f"{self.paper.dataset}_{self.ending}"

    def config(self, scale: Scale) -> TrainConfig:
        """What is trained on the paper's data set."""
        return dataclasses.replace(self.paper, **self.changes.get(scale, {}))


# Figure 17 and 2 at a small scale: as many classes as CIFAR-10 has, from as many superclasses.
TEN_CLASSES = (
    "apple",
    "beaver",
    "bicycle",
    "bottle",
    "castle",
    "cloud",
    "couch",
    "leopard",
    "rose",
    "shark",
)

# One member and image takes a sixteenth of what the whole st-VGG takes.
_NARROW = {"width": 16, "dense": 128}
_NARROWEST = {"width": 8, "dense": 64}
_QUICK_EXTENTS = (0, 1, 2, 3, 5, 8, 12)
# So few images make few steps an epoch; smaller batches make them more.
_QUICK = {"num_members": 5, "extents": _QUICK_EXTENTS, "batch_size": 50}
_EVERY_EPOCH_TO_30 = tuple(range(31))


def _changes(hour: Mapping[str, Any], quick: Mapping[str, Any]) -> dict[Scale, Mapping[str, Any]]:
    return {Scale.HOUR: hour, Scale.QUICK: {**_QUICK, **quick}}


def _st_vgg(
    dataset: str,
    extents: tuple[int, ...],
    *,
    hour: Mapping[str, Any],
    quick: Mapping[str, Any],
    num_members: int = 100,
    too_large: bool = False,
) -> Recipe:
    """st-VGG with the paper's hyperparameters, which are those of small_mammals."""
    paper = dataclasses.replace(
        small_mammals.get_config(), dataset=dataset, extents=extents, num_members=num_members
    )
    return Recipe("st_vgg", paper, _changes(hour, {**_NARROW, **quick}), too_large)


def _on_small_mammals(model: Model, *, hour: Mapping[str, Any], quick: Mapping[str, Any]) -> Recipe:
    """Every epoch is recorded, which figures 7b and 29 and accessibility scores want."""
    paper = dataclasses.replace(
        small_mammals.get_config(), model=model, extents=tuple(range(141)), probes=()
    )
    return Recipe(
        model.value,
        paper,
        _changes(
            {"num_members": 8, "extents": _EVERY_EPOCH_TO_30, **hour},
            {"train_fraction": 0.5, **quick},
        ),
    )


def _of_superclass(dataset: str) -> Recipe:
    return _st_vgg(
        dataset,
        (0, 10, 30, 60, 90, 120, 140),
        hour={"num_members": 8, "extents": (0, 1, 5, 10, 20, 30)},
        quick={"train_fraction": 0.5},
    )


def _on_imagenet(model: str, *, hour: Mapping[str, Any], quick: Mapping[str, Any]) -> Recipe:
    """At the small scales batches, rates and decays are those of CIFAR and of fewer epochs."""
    paper = dataclasses.replace(imagenet.get_config(model), probes=("noise:5000",))
    smaller = {"num_members": 8, "probes": (), "batch_size": 50, "decay_epochs": 20}
    smaller |= {"decay_factor": 1.8, "l2": 0.0, "augmentation": (), "pool_images": 0}
    return Recipe(
        model,
        paper,
        _changes(
            {
                **smaller,
                "train_fraction": 0.002,
                "extents": (0, 1, 2, 3, 5, 8, 12, 16, 20, 25, 30),
                **hour,
            },
            {**smaller, "train_fraction": 0.0008, "num_members": 4, **quick},
        ),
        too_large=True,
    )


def _on_cifar(
    model: Model, paper: TrainConfig, hour: Mapping[str, Any], quick: Mapping[str, Any]
) -> list[Recipe]:
    """On CIFAR-10 and CIFAR-100; of these ten classes, and as many images of each, when smaller."""
    hour = {"num_members": 8, "extents": (0, 1, 2, 5, 10, 15, 20, 25, 30), **hour}
    ten = {"train_fraction": 0.05}, {"train_fraction": 0.04}
    ten_of_100 = (
        {"classes": TEN_CLASSES, "train_fraction": 0.5},
        {"classes": TEN_CLASSES, "train_fraction": 0.4},
    )
    num_members = {"cifar10": 19, "cifar100": 20} if model is Model.VGG19 else {}
    return [
        Recipe(
            model.value,
            dataclasses.replace(
                paper,
                dataset=dataset,
                model=model,
                num_members=num_members.get(dataset, paper.num_members),
            ),
            _changes(hour | of_hour, quick | of_quick),
        )
        for dataset, (of_hour, of_quick) in {"cifar10": ten, "cifar100": ten_of_100}.items()
    ]


_PARTS_OF_1000 = 0.0333334  # of Fashion-MNIST: two parts of 1,000 images
_CIFAR_ST_VGG = dataclasses.replace(
    small_mammals.get_config(), extents=(0, 1, 2, 5, 10, 20, 30, 40, 60, 80, 100)
)

_RECIPES = (
    _on_small_mammals(
        Model.ST_VGG,
        hour={"probes": ("noise:300", "test_of:household_furniture", "test_of:fish")},
        quick={**_NARROW, "probes": ("noise:300", "test_of:household_furniture", "test_of:fish")},
    ),
    _on_small_mammals(Model.LINEAR_ST_VGG, hour={}, quick=_NARROW),
    _on_small_mammals(Model.SMALL_ST_VGG, hour={}, quick=_NARROW),
    *map(_of_superclass, ("fish", "insects")),
    # Of some twenty settings each is to take minutes.
    Recipe(
        "narrow_st_vgg",
        small_mammals.get_config(),
        _changes(
            {
                **_NARROWEST,
                "num_members": 8,
                "batch_size": 50,
                "extents": (0, 1, 2, 5, 10, 20, 30),
            },
            {
                **_NARROWEST,
                "num_members": 4,
                "train_fraction": 0.4,
                "extents": (0, 1, 2, 4, 8),
            },
        ),
    ),
    Recipe(
        "random_labels",
        dataclasses.replace(
            random_labels.get_config(),
            extents=(0, 1, 5, 10, 20, 30, 40, 50, 60, 90, 120, 140),
        ),
        _changes(
            {"num_members": 8, "extents": (0, 1, 5, 10, 20, 30)},
            # Few images are known by heart within a few epochs.
            {**_NARROW, "train_fraction": 0.2, "extents": (0, 1, 5, 10, 20, 30, 40)},
        ),
    ),
    Recipe(
        "mnist_net",
        mnist.get_config(),
        # A twentieth of the data makes so few steps an epoch that the paper's 0.001 learns nothing.
        _changes(
            {
                "train_fraction": 0.05,
                "num_members": 8,
                "learning_rate": 1.0,
                "extents": (0, 1, 2, 3, 5, 10, 20, 30),
            },
            {
                "train_fraction": 0.02,
                "width": 8,
                "dense": 32,
                "learning_rate": 1.0,
                "extents": (0, 1, 2, 3, 5, 8),
            },
        ),
    ),
    Recipe(
        "st_vgg",
        fashion_mnist.get_config(),
        _changes(
            {"train_fraction": 0.05, "num_members": 8, "extents": (0, 1, 5, 10, 20, 30)},
            {"train_fraction": 0.02, **_NARROWEST, "extents": (0, 1, 2, 3, 5, 8)},
        ),
    ),
    Recipe(
        "parts",
        fashion_mnist_parts.get_config(),
        _changes(
            {
                "train_fraction": _PARTS_OF_1000,
                "partitions": 2,
                "num_members": 16,
                "extents": (0, 1, 5, 10, 20, 30),
            },
            {
                "train_fraction": _PARTS_OF_1000,
                "partitions": 2,
                "num_members": 8,
                **_NARROWEST,
                "extents": (0, 1, 2, 3, 5, 8),
            },
        ),
    ),
    Recipe(
        "st_vgg",
        gabor.get_config(),
        _changes(
            {"num_members": 8, "extents": (0, 1, 5, 10, 20, 40)},
            {**_NARROW, "extents": (0, 1, 2, 5, 10, 20)},
        ),
    ),
    Recipe(
        "fully_connected",
        gaussian.get_config(),
        _changes(
            {"num_members": 10},
            {"width": 256, "num_members": 10, "extents": (0, 1, 2, 3, 5, 10), "batch_size": 100},
        ),
    ),
    Recipe(
        "bilstm",
        dataclasses.replace(text.get_config(), dataset="stackoverflow", word_vectors=""),
        _changes(
            {"num_members": 8, "train_fraction": 0.2},
            {
                "width": 64,
                "dense": 64,
                "train_fraction": 0.07,
                "num_members": 6,
                "extents": (0, 1, 2, 3, 4, 5),
                "batch_size": 64,
            },
        ),
    ),
    _on_imagenet(
        "resnet50",
        hour={"width": 8, "learning_rate": 0.05},
        quick={"width": 8, "depth": 1, "learning_rate": 0.05},
    ),
    _on_imagenet(
        "alexnet",
        hour={"width": 24, "learning_rate": 0.02},
        quick={"width": 16, "learning_rate": 0.02},
    ),
    _on_imagenet(
        "densenet121",
        hour={"growth": 8, "depth": 4, "learning_rate": 0.05},
        quick={"growth": 6, "depth": 2, "learning_rate": 0.05},
    ),
    *_on_cifar(
        Model.VGG19,
        cifar_vgg19.get_config(),
        hour={"width": 8, "batch_size": 50},
        quick={"width": 8, "num_members": 4},
    ),
    *_on_cifar(Model.ST_VGG, _CIFAR_ST_VGG, hour={}, quick=_NARROW),
    _st_vgg(
        "cats_and_dogs",
        (0, 10, 30, 60, 90, 120, 140),
        hour={"num_members": 8, "train_fraction": 0.25, "extents": (0, 1, 5, 10, 20, 30)},
        quick={"train_fraction": 0.1},
    ),
    _st_vgg(
        "vggface2",
        (0, 1, 10, 20, 30, 40, 60),
        num_members=20,
        hour={"num_members": 8, "train_fraction": 0.5, "extents": (0, 1, 5, 10, 20, 30)},
        quick={"train_fraction": 0.2},
    ),
    _st_vgg(
        "tiny_imagenet",
        (0, 1, 5, 10, 20, 50, 70),
        hour={"num_members": 8, "train_fraction": 0.025, "extents": (0, 1, 5, 10, 20, 30)},
        quick={"train_fraction": 0.0125},
        too_large=True,
    ),
)

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _RECIPES}
"""All of them, by the name of the collection in the paper."""

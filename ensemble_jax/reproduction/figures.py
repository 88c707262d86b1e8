"""The figures of the paper, what each needs and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ensemble_jax.cli import binary
from ensemble_jax.cli.sweep_config import SweepConfig
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.reproduction import examples, histograms, pairs, robustness
from ensemble_jax.reproduction.material import Drawing, Material
from ensemble_jax.reproduction.recipes import Scale


@dataclass(frozen=True)
class Figure:
    """A figure of the paper.

    Attributes:
        number: as on the command line; a letter behind it is a part.
        shows: what it shows in the paper, in a sentence.
        recipes: the names of what is trained for it.
        draw: from what was trained to displays and numbers.
        other_recipes: what is trained for it at other scales than the paper's, where it is other.
        sweeps: what is trained beside the first recipe, by the option that varies.
    """

    number: str
    shows: str
    recipes: tuple[str, ...]
    draw: Callable[[Material], Drawing]
    other_recipes: Mapping[Scale, tuple[str, ...]] = field(default_factory=dict)
    sweeps: Callable[[TrainConfig, Scale], dict[str, SweepConfig]] | None = None

    def needs(self, scale: Scale) -> tuple[str, ...]:
        """The names of the recipes at a scale."""
        return self.other_recipes.get(scale, self.recipes)

    @property
    def title(self) -> str:
        """What it is called."""
        return f"figure {self.number}" if self.number[0].isdigit() else self.number


_ST_VGG, _LINEAR, _SMALL = (
    f"small_mammals_{ending}" for ending in ("st_vgg", "linear_st_vgg", "small_st_vgg")
)
_RANDOM = "small_mammals_random_labels"
_RESNET, _ALEXNET, _DENSENET = (
    f"imagenet2012_{ending}" for ending in ("resnet50", "alexnet", "densenet121")
)
_TO_140 = (0, 10, 30, 60, 90, 120, 140)
_TO_100 = (0, 1, 10, 30, 60, 80, 100)


def _consistency(number: str, shows: str, *recipes: str, extents, **others) -> Figure:
    return Figure(
        number, shows, recipes, histograms.consistency(*recipes, extents=extents), **others
    )


_FIGURES = (
    _consistency(
        "1",
        "Consistency of ResNet-50 on ImageNet is bi-modal, that of independent classifiers not.",
        _RESNET,
        extents=(1, 2, 5, 30, 40, 70, 100),
    ),
    _consistency(
        "2",
        "Consistency of VGG-19 on CIFAR-100 is bi-modal.",
        "cifar100_vgg19",
        extents=_TO_100,
    ),
    Figure(
        "3",
        "Consensus of ResNet-50 on ImageNet is near 1, above that of independent classifiers.",
        (_RESNET,),
        histograms.consensus(_RESNET, (1, 2, 5, 30, 40, 70, 100)),
    ),
    _consistency(
        "4",
        "Consistency of BiLSTM with attention on texts of Stack Overflow is bi-modal.",
        "stackoverflow_bilstm",
        extents=(0, 1, 2, 3, 4, 5, 10),
    ),
    Figure(
        "5",
        "Consensus rises from random classes over noise and other images to the test set.",
        (_RESNET,),
        histograms.probes(_RESNET, _ST_VGG),
        dict.fromkeys((Scale.HOUR, Scale.QUICK), (_ST_VGG,)),
    ),
    Figure(
        "6",
        "ResNet-50, AlexNet and DenseNet learn ImageNet in the same order.",
        (_RESNET, _ALEXNET, _DENSENET),
        lambda material: (
            pairs.cross_consistency((_RESNET, _ALEXNET))(material)
            | pairs.accessibility((_RESNET, _RESNET), (_RESNET, _ALEXNET), (_RESNET, _DENSENET))(
                material
            )
        ),
    ),
    Figure(
        "7",
        "Linear st-VGG is still more bi-modal; what is easy for it is easy for st-VGG, too.",
        (_ST_VGG, _LINEAR),
        pairs.linear_and_not((_ST_VGG, _LINEAR), (0, 10, 30, 90, 140)),
    ),
    _consistency(
        "8",
        "Consistency of st-VGG on Gabor patches is not bi-modal; its mean moves to 1.",
        "gabor_st_vgg",
        extents=(0, 1, 5, 10, 20, 40, 100),
    ),
    _consistency(
        "9",
        "With random labels consistency is not bi-modal, and the train labels are learned.",
        _RANDOM,
        extents=(0, 1, 5, 20, 30, 40, 50),
    ),
    _consistency(
        "10",
        "Consistency of fully connected networks on Gaussian classes is as that of independent "
        "classifiers.",
        "gaussian_fully_connected",
        extents=(0, 1, 2, 3, 5, 10, 20),
    ),
    _consistency(
        "11",
        "Consistency of a small network on MNIST is bi-modal.",
        "mnist_mnist_net",
        extents=(0, 1, 2, 3, 5, 10, 20),
    ),
    _consistency(
        "12",
        "Consistency of st-VGG on Fashion-MNIST is bi-modal.",
        "fashion_mnist_st_vgg",
        extents=(0, 1, 5, 10, 15, 20, 25),
    ),
    _consistency(
        "13",
        "Consistency of st-VGG on superclasses of CIFAR-100 is bi-modal.",
        "fish_st_vgg",
        "insects_st_vgg",
        _ST_VGG,
        extents=_TO_140,
        # A third set would take longer than an hour.
        other_recipes={Scale.HOUR: ("fish_st_vgg", _ST_VGG)},
    ),
    _consistency(
        "14",
        "Consistency of st-VGG on the cats and dogs of CIFAR-10 is bi-modal.",
        "cats_and_dogs_st_vgg",
        extents=_TO_140,
    ),
    _consistency(
        "15",
        "Consistency of VGG-19 on CIFAR-10 is bi-modal.",
        "cifar10_vgg19",
        extents=_TO_100,
    ),
    _consistency(
        "16",
        "Consistency of st-VGG on faces, a subset of VGGFace2, is bi-modal.",
        "vggface2_st_vgg",
        extents=(0, 1, 10, 20, 30, 40, 60),
    ),
    _consistency(
        "17",
        "Consistency of st-VGG on CIFAR-10 and on CIFAR-100 is bi-modal.",
        "cifar10_st_vgg",
        "cifar100_st_vgg",
        extents=(0, 1, 2, 5, 10, 20, 40),
    ),
    _consistency(
        "18",
        "Consistency of st-VGG on Tiny ImageNet is bi-modal.",
        "tiny_imagenet_st_vgg",
        extents=(0, 1, 5, 10, 20, 50, 70),
    ),
    _consistency(
        "19",
        "Consistency of small st-VGG on small_mammals is bi-modal.",
        _SMALL,
        extents=_TO_140,
    ),
    _consistency(
        "20",
        "With random labels consistency is not bi-modal, to the end of the training.",
        _RANDOM,
        extents=_TO_140,
    ),
    _consistency(
        "21",
        "Consistency of linear st-VGG on small_mammals is bi-modal.",
        _LINEAR,
        extents=_TO_140,
    ),
    Figure(
        "22",
        "Collections that learn other parts of Fashion-MNIST are bi-modal on the same test set.",
        ("fashion_mnist_parts",),
        histograms.parts("fashion_mnist_parts", (0, 1, 5, 10, 20, 30, 40)),
    ),
    Figure(
        "23",
        "Cross-consistency of each two of ResNet-50, AlexNet and DenseNet is bi-modal.",
        (_RESNET, _ALEXNET, _DENSENET),
        pairs.cross_consistency((_DENSENET, _ALEXNET), (_RESNET, _ALEXNET), (_RESNET, _DENSENET)),
    ),
    Figure(
        "24",
        "DenseNet learns ImageNet in the order of ResNet-50 and in that of AlexNet.",
        (_RESNET, _ALEXNET, _DENSENET),
        pairs.accessibility((_RESNET, _DENSENET), (_ALEXNET, _DENSENET)),
    ),
    Figure(
        "25a",
        "st-VGG and VGG-19 learn CIFAR-10 in the same order.",
        ("cifar10_st_vgg", "cifar10_vgg19"),
        pairs.accessibility(("cifar10_st_vgg", "cifar10_vgg19")),
    ),
    Figure(
        "25b",
        "st-VGG and VGG-19 learn CIFAR-100 in the same order.",
        ("cifar100_st_vgg", "cifar100_vgg19"),
        pairs.accessibility(("cifar100_st_vgg", "cifar100_vgg19")),
    ),
    Figure(
        "25c",
        "st-VGG and small st-VGG learn small_mammals in the same order.",
        (_ST_VGG, _SMALL),
        pairs.accessibility((_ST_VGG, _SMALL)),
    ),
    _consistency(
        "26",
        "Consistency of AlexNet and of DenseNet on ImageNet is bi-modal.",
        _ALEXNET,
        _DENSENET,
        extents=(1, 2, 10, 30, 50, 70, 100),
    ),
    Figure(
        "27",
        "At first only images of two classes are known to all members; others follow.",
        (_ST_VGG,),
        examples.classes(_ST_VGG, (1, 2, 30, 140)),
    ),
    Figure(
        "28",
        "The consistency of five images by epoch; the paper numbers the same picture as 29.",
        (_ST_VGG,),
        examples.typical_examples(_ST_VGG),
    ),
    Figure(
        "29",
        "Consistency of an image stays 1, dips and rises, rises late, or falls.",
        (_ST_VGG,),
        examples.typical_examples(_ST_VGG),
    ),
    Figure(
        "30",
        "What networks find easy, boosted linear classifiers find easy, too.",
        (_ST_VGG,),
        examples.boosting(_ST_VGG),
    ),
    Figure(
        "31",
        "Other classifiers get right what networks learn first.",
        (_ST_VGG,),
        examples.classifiers(_ST_VGG),
    ),
    Figure(
        "robustness",
        "Consistency of st-VGG on small_mammals is bi-modal, whatever the hyper-parameters.",
        (_ST_VGG,),
        robustness.draw,
        dict.fromkeys((Scale.HOUR, Scale.QUICK), ("small_mammals_narrow_st_vgg",)),
        sweeps=robustness.sweeps,
    ),
)

FIGURES: Mapping[str, Figure] = {figure.number: figure for figure in _FIGURES}
"""All of them, by number."""


def choose_figures(wanted: list[str]) -> list[Figure]:
    """The figures of these numbers, each once; a number without a letter is all its parts.

    Raises:
        ValueError: if there is none of that number, or nothing is wanted.
    """
    if not wanted:
        raise ValueError("--figure must name at least one figure; --list shows them")
    chosen: dict[str, Figure] = {}
    for given in wanted:
        if given == "all":
            chosen |= FIGURES
            continue
        parts = {n: f for n, f in FIGURES.items() if n.rstrip("abc") == given or n == given}
        if not parts:
            known = {number: number for number in FIGURES}
            raise ValueError(
                f"--figure must be of {', '.join(FIGURES)} or all, got {given!r}"
                f"{binary.suggestion(given, known)}"
            )
        chosen |= parts
    return list(chosen.values())

"""What can be chosen. Nothing of JAX is imported here, so a wrong choice is answered at once."""

import dataclasses
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Model(Enum):
    """The architectures of the paper (Section 3 and Appendix B)."""

    ST_VGG = "st_vgg"
    SMALL_ST_VGG = "small_st_vgg"
    LINEAR_ST_VGG = "linear_st_vgg"
    MNIST_NET = "mnist_net"
    FULLY_CONNECTED = "fully_connected"
    VGG16 = "vgg16"
    VGG19 = "vgg19"
    ALEXNET = "alexnet"
    RESNET50 = "resnet50"
    DENSENET121 = "densenet121"
    BILSTM = "bilstm"


class Optimizer(Enum):
    """How gradients become updates."""

    SGD = "sgd"
    MOMENTUM = "momentum"
    ADAM = "adam"
    ADADELTA = "adadelta"
    ADAMW = "adamw"
    LION = "lion"
    MUON = "muon"
    RMSPROP = "rmsprop"


class Schedule(Enum):
    """How the learning rate changes during a training."""

    STEP = "step"
    CONSTANT = "constant"
    COSINE = "cosine"
    LINEAR = "linear"


class ConvolutionAlgorithm(Enum):
    """How convolutions are computed; the results agree to float32 rounding.

    `patches` multiplies the matrix of all windows. `winograd` has tiles of 2x2 outputs and rounds
    several times as much as the others. `direct` is `xla` with gradients that stay fast in loops.
    `fused` is `winograd` in one piece, for CPUs with a C compiler.
    """

    XLA = "xla"
    PATCHES = "patches"
    WINOGRAD = "winograd"
    DIRECT = "direct"
    FUSED = "fused"


class Precision(Enum):
    """How products are rounded; parameters, their sums, statistics and losses are float32.

    `float32` multiplies float32 numbers as they are, which takes a TPU six products. For
    `tensorfloat32` 10 bits of each number's fraction remain on a GPU, and a TPU makes three
    products. For `bfloat16` 7 bits remain; on a TPU everything but the products is in float32,
    elsewhere the layers compute in bfloat16 and sum products in float32.
    """

    FLOAT32 = "float32"
    TENSORFLOAT32 = "tensorfloat32"
    BFLOAT16 = "bfloat16"


AUTO_PRECISION = "auto"
"""What is fast on the device at hand: float32, on a GPU tensorfloat32, on a TPU bfloat16."""


def check_precision(name: str) -> None:
    """See that a precision is one that there is.

    Raises:
        ValueError: if it is not.
    """
    names = [AUTO_PRECISION, *(precision.value for precision in Precision)]
    if name not in names:
        raise ValueError(f"precision must be one of {', '.join(names)}, got {name!r}")


class Protocol(Enum):
    """How a collection is measured at several extents (Hacohen & Weinshall 2019, Appendix D)."""

    TRAJECTORY = "trajectory"
    INDEPENDENT = "independent"


class Source(Enum):
    """The sources of randomness that make members differ."""

    INITIALISATION = "initialisation"
    ORDER = "order"
    DROPOUT = "dropout"
    AUGMENTATION = "augmentation"
    SUBSET = "subset"
    LABELS = "labels"


class Activation(Enum):
    """What is applied to every entry after a layer."""

    ELU = "elu"
    RELU = "relu"
    LEAKY_RELU = "leaky_relu"
    GELU = "gelu"
    TANH = "tanh"
    SIGMOID = "sigmoid"
    IDENTITY = "identity"


class Initialiser(Enum):
    """The distribution that kernels are drawn from; means are 0.

    With `in` and `out` for the entries that one output and one input take part in (a kernel's
    window times its channels), the stds are `sqrt(2 / (in + out))` for Glorot (Glorot and
    Bengio, 2010; also called Xavier), `sqrt(2 / in)` for He (He et al., 2015), `sqrt(1 / in)` for
    LeCun (1998), and 0.05, as Keras has it, for the truncated normal distribution. All normal ones
    are cut off at two stds. The first three are widened, so that they have their std after the cut;
    the last is not.
    """

    GLOROT_UNIFORM = "glorot_uniform"
    GLOROT_NORMAL = "glorot_normal"
    HE_UNIFORM = "he_uniform"
    HE_NORMAL = "he_normal"
    LECUN_UNIFORM = "lecun_uniform"
    LECUN_NORMAL = "lecun_normal"
    TRUNCATED_NORMAL = "truncated_normal"


class ImageForm(Enum):
    """Which of its two forms an architecture takes: for small images or for large ones."""

    CIFAR = "cifar"
    IMAGENET = "imagenet"


@dataclass(frozen=True)
class ArchitectureOptions:
    """Where an architecture may differ from the published one; None keeps what is published.

    No architecture has all of these. `ensemble_jax.zoo` says what they mean for each.

    Attributes:
        width: filters of the first convolutions, the others in proportion; units of the hidden
            layers of FULLY_CONNECTED, units of each direction of BILSTM.
        depth: hidden layers of FULLY_CONNECTED, pairs of convolutions of the stripped VGG networks;
            else convolutions, blocks or layers of every stage.
        kernel_size: height and width of the kernels of all convolutions.
        dense: units of the hidden dense layers after the convolutions or the recurrence.
        growth: filters that each layer of a DenseNet adds.
        activation: after every hidden layer.
        initialiser: of all kernels.
        linear: identity activations, and average instead of max pooling.
        form: for small or for large images; by default the size of the images decides.

    Raises:
        ValueError: naming the option, if a number is below 1.
    """

    width: int | None = None
    depth: int | None = None
    kernel_size: int | None = None
    dense: int | None = None
    growth: int | None = None
    activation: Activation | None = None
    initialiser: Initialiser | None = None
    linear: bool = False
    form: ImageForm | None = None

    def __post_init__(self) -> None:
        for name in ("width", "depth", "kernel_size", "dense", "growth"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.linear and self.activation not in (None, Activation.IDENTITY):
            raise ValueError(
                f"activation must be identity or not given with linear, got {self.activation.value}"
            )

    @property
    def given(self) -> dict[str, object]:
        """The options that make a difference, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }


class AugmentationKind(Enum):
    """How images are changed at random whenever a member is trained on them."""

    CROP = "crop"
    FLIP = "flip"
    RESIZED_CROP = "resized_crop"


class Augmentation(NamedTuple):
    """A change of images.

    Attributes:
        kind: see `ensemble_jax.ops.augmentation`.
        pixels: for CROP, the width of the border around an image before it is cropped.
    """

    kind: AugmentationKind
    pixels: int = 0


_MOST_BORDER = 1024


def parse_augmentations(texts: Sequence[str]) -> tuple[Augmentation, ...]:
    """What the texts `crop:PIXELS`, `flip` and `resized_crop` ask for, in that order.

    Raises:
        ValueError: if a text is none of these, or there twice.

    >>> [augmentation.pixels for augmentation in parse_augmentations(["crop:4", "flip"])]
    [4, 0]
    """
    parsed = []
    for text in texts:
        name, colon, pixels = text.partition(":")
        kinds = [kind.value for kind in AugmentationKind]
        needs_pixels = name == AugmentationKind.CROP.value
        valid = re.fullmatch(r"[1-9]\d{0,3}", pixels, re.ASCII) and int(pixels) <= _MOST_BORDER
        if name not in kinds or bool(colon) != needs_pixels or (needs_pixels and not valid):
            raise ValueError(
                f"augmentation must be of crop:PIXELS (1..{_MOST_BORDER}), flip and resized_crop, "
                f"got {text!r}"
            )
        kind = AugmentationKind(name)
        if kind in [augmentation.kind for augmentation in parsed]:
            raise ValueError(f"augmentation must have {name} only once, got {', '.join(texts)}")
        parsed.append(Augmentation(kind, int(pixels) if needs_pixels else 0))
    return tuple(parsed)


class Quantity(Enum):
    """What an extent can keep of every member and example, beside the predicted class.

    With the outputs of a network as logits `z`, K of them, `p = softmax(z)` and the label `y` that
    the data set has for the example:

    | | what | shape | needs labels |
    |---|---|---|---|
    | `label_probability` | `p[y]`, in 0..1 | `[N, M]` | yes |
    | `margin` | `z[y] - max over k != y of z[k]` | `[N, M]` | yes |
    | `loss` | what is minimised in training; by default `-log p[y]`, in nats | `[N, M]` | yes |
    | `entropy` | `-sum over k of p[k] log p[k]`, in nats, in 0..log K | `[N, M]` | no |
    | `probabilities` | `p` | `[N, M, K]` | no |
    | `logits` | `z` | `[N, M, K]` | no |

    All are float16. The labels are those by which predictions count as correct, also for members
    with noisy train labels (`label_noise` of `members`).
    """

    LABEL_PROBABILITY = "label_probability"
    MARGIN = "margin"
    LOSS = "loss"
    ENTROPY = "entropy"
    PROBABILITIES = "probabilities"
    LOGITS = "logits"

    @property
    def needs_labels(self) -> bool:
        """Whether it is defined for labelled examples only."""
        return self in (Quantity.LABEL_PROBABILITY, Quantity.MARGIN, Quantity.LOSS)

    @property
    def of_classes(self) -> bool:
        """Whether there are K numbers of every example instead of one."""
        return self in (Quantity.PROBABILITIES, Quantity.LOGITS)


RECORD = (Quantity.LABEL_PROBABILITY.value,)
"""What is recorded unless something else is asked for."""


class RecordRequest(NamedTuple):
    """What is to be recorded of the examples, and of which.

    Attributes:
        quantity: what.
        of: the name of a split or probe; None for all that have it.
    """

    quantity: Quantity
    of: str | None


def parse_record(texts: Sequence[str]) -> tuple[RecordRequest, ...]:
    """What the texts `QUANTITY` and `QUANTITY:SET` ask for; a set is a split or probe.

    Raises:
        ValueError: if there is no such quantity.

    >>> [request.of for request in parse_record(["margin", "logits:test"])]
    [None, 'test']
    """
    if isinstance(texts, str):
        raise ValueError(f"record must be several texts, such as ('margin',), got {texts!r}")
    known = [quantity.value for quantity in Quantity]
    requests = []
    for text in texts:
        name, colon, of = str(text).partition(":")
        if name not in known or bool(colon) != bool(of):
            raise ValueError(
                f"record must be of {', '.join(known)}, of all sets or as QUANTITY:SET, "
                f"got {text!r}"
            )
        requests.append(RecordRequest(Quantity(name), of or None))
    return tuple(requests)


def recorded_of_sets(
    texts: Sequence[str], splits: Collection[str], probes: Collection[str]
) -> dict[str, tuple[Quantity, ...]]:
    """What is to be recorded of each split and probe, in the order of `Quantity`.

    Raises:
        ValueError: if there is no such quantity or set, or it needs labels that a set has not.

    >>> recorded = recorded_of_sets(["margin", "entropy"], ["train"], ["noise"])
    >>> [quantity.value for quantity in recorded["noise"]]
    ['entropy']
    """
    asked: dict[str, set[Quantity]] = {name: set() for name in (*splits, *probes)}
    for quantity, of in parse_record(texts):
        if of is not None and of not in asked:
            raise ValueError(
                f"record must be of the sets {', '.join(asked)}, got {quantity.value}:{of}"
            )
        if of in probes and quantity.needs_labels:
            raise ValueError(
                f"record must not be {quantity.value} of the probe {of}, which has no labels"
            )
        for name in (splits if quantity.needs_labels else asked) if of is None else (of,):
            asked[name].add(quantity)
    return {name: tuple(q for q in Quantity if q in some) for name, some in asked.items()}

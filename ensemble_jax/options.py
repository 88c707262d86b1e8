"""What can be chosen by name. Nothing is imported here, so a wrong name is answered at once."""

from enum import Enum


class Model(Enum):
    """The architectures of the paper (Appendix B)."""

    ST_VGG = "st_vgg"
    SMALL_ST_VGG = "small_st_vgg"
    LINEAR_ST_VGG = "linear_st_vgg"
    MNIST_NET = "mnist_net"
    FULLY_CONNECTED = "fully_connected"


class Optimizer(Enum):
    """How gradients become updates."""

    SGD = "sgd"
    MOMENTUM = "momentum"
    ADAM = "adam"
    ADADELTA = "adadelta"


class ConvolutionAlgorithm(Enum):
    """How convolutions are computed; the results agree to float32 rounding."""

    XLA = "xla"
    PATCHES = "patches"
    WINOGRAD = "winograd"


class Protocol(Enum):
    """How a collection is measured at several extents (Hacohen & Weinshall 2019, Appendix D)."""

    TRAJECTORY = "trajectory"
    INDEPENDENT = "independent"


class Source(Enum):
    """The sources of randomness that make members differ."""

    INITIALISATION = "initialisation"
    ORDER = "order"
    DROPOUT = "dropout"
    SUBSET = "subset"
    LABELS = "labels"

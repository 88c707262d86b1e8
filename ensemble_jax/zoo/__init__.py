"""The paper's architectures, as ordinary modules of flax.linen."""

from ensemble_jax.zoo.alexnet import AlexNet
from ensemble_jax.zoo.architecture import Architecture, ImageNetwork
from ensemble_jax.zoo.architectures import check_word_vectors, make_architecture
from ensemble_jax.zoo.bilstm import BiLSTM
from ensemble_jax.zoo.densenet import DenseNet
from ensemble_jax.zoo.fully_connected import FullyConnected
from ensemble_jax.zoo.mnist_net import MnistNet
from ensemble_jax.zoo.resnet import ResNet
from ensemble_jax.zoo.stripped_vgg import StrippedVGG
from ensemble_jax.zoo.vgg import VGG

__all__ = [
    "VGG",
    "AlexNet",
    "Architecture",
    "BiLSTM",
    "DenseNet",
    "FullyConnected",
    "ImageNetwork",
    "MnistNet",
    "ResNet",
    "StrippedVGG",
    "check_word_vectors",
    "make_architecture",
]

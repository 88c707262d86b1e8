import numpy as np
import pytest

from ensemble_jax.models import Network, count_parameters, make_network
from ensemble_jax.options import Model


def build(model: Model, **sizes: int) -> Network:
    return make_network(
        model,
        num_classes=10,
        input_shape=(8, 8, 1),
        mean=np.zeros(1, np.float32),
        deviation=np.ones(1, np.float32),
        sizes=sizes,
    )


def test_width_and_depth_of_fully_connected():
    network = build(Model.FULLY_CONNECTED, width=7, depth=3)
    assert count_parameters(network) == (64 * 7 + 7) + 2 * (7 * 7 + 7) + (7 * 10 + 10)


def test_dense_units_of_small_st_vgg():
    more = count_parameters(build(Model.SMALL_ST_VGG, dense=129))
    assert more - count_parameters(build(Model.SMALL_ST_VGG)) == 2 * 2 * 64 + 1 + 10


@pytest.mark.parametrize(
    ("model", "sizes", "message"),
    [
        (Model.SMALL_ST_VGG, {"width": 7}, "sizes of model small_st_vgg are dense, got 'width'"),
        (Model.MNIST_NET, {"dense": 7}, "sizes of model mnist_net are fixed, got 'dense'"),
        (Model.FULLY_CONNECTED, {"num_classes": 7}, "are width, depth, got 'num_classes'"),
        (Model.FULLY_CONNECTED, {"width": 0}, "width of model fully_connected must be at least 1"),
    ],
)
def test_other_sizes_are_refused(model, sizes, message):
    with pytest.raises(ValueError, match=message):
        build(model, **sizes)

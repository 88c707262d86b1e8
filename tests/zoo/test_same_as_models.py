"""The architectures have the names, initial bits and logits that `ensemble_jax.models` gives."""

from functools import partial

import jax
import numpy as np
import pytest

from ensemble_jax.models import make_network
from ensemble_jax.networks import as_network, prepared
from ensemble_jax.options import ArchitectureOptions, ConvolutionAlgorithm, ImageForm, Model
from ensemble_jax.zoo import make_architecture

quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

LINEAR = ArchitectureOptions(linear=True)
LARGE = ArchitectureOptions(form=ImageForm.IMAGENET, width=4, dense=8)
CASES = [
    *((model, 32, ArchitectureOptions()) for model in Model if model is not Model.BILSTM),
    (Model.VGG16, 33, LARGE),
    (Model.ALEXNET, 80, LARGE),
    (Model.ALEXNET, 80, ArchitectureOptions(form=ImageForm.IMAGENET, dense=8, linear=True)),
    (Model.RESNET50, 45, ArchitectureOptions(form=ImageForm.IMAGENET, depth=1, width=4)),
    (Model.RESNET50, 45, ArchitectureOptions(form=ImageForm.IMAGENET, depth=1, linear=True)),
    (Model.DENSENET121, 45, ArchitectureOptions(form=ImageForm.IMAGENET, depth=2, growth=4)),
    (Model.MNIST_NET, 13, LINEAR),
    (Model.BILSTM, 7, ArchitectureOptions()),
]


@pytest.mark.parametrize(("model", "size", "options"), CASES)
def test_initial_bits_and_logits(model, size, options):
    text = model is Model.BILSTM
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 5)).astype(np.float32) if text else None
    shape = (size,) if text else (size, size + 1, 3)
    inputs = rng.integers(0, 9, (2, *shape)).astype(np.int32)
    common = {"num_classes": 3, "input_shape": shape, "options": options}
    old = make_network(
        model, word_vectors=vectors, convolution=ConvolutionAlgorithm.XLA, mean=4.0, **common
    )
    new = prepared(as_network(make_architecture(model, **common)), word_vectors=vectors, mean=4.0)
    theirs = quick_jit(old.init)(jax.random.key(3))
    ours = quick_jit(new.init)(jax.random.key(3), inputs)
    assert ours.state == {} or set(ours.state) == {"batch_stats"}
    jax.tree.map(
        np.testing.assert_array_equal,
        (ours.params, ours.state.get("batch_stats", {})),
        (theirs.params, theirs.batch_stats),
    )
    logits, _ = quick_jit(partial(new.apply, key=None, train=False))(ours, inputs)
    expected = quick_jit(old.evaluate)(theirs, inputs)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())

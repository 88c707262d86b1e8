"""The published ImageNet forms against torchvision's, with its weights."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from importlib.util import find_spec
from types import ModuleType

import jax
import numpy as np
import pytest

from ensemble_jax.networks import Variables, as_network
from ensemble_jax.options import ArchitectureOptions, ImageForm, Model
from ensemble_jax.zoo import make_architecture

torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
if find_spec("torchvision") is None:
    pytest.skip("torchvision, the reference, is not installed", allow_module_level=True)
# A build for another PyTorch (CUDA's beside one for CPU) lacks the compiled operators that this
# module describes. No architecture needs them.
sys.modules.setdefault("torchvision._meta_registrations", ModuleType("_meta_registrations"))
import torchvision  # noqa: E402

NUM_CLASSES = 5
# Sizes that are quick, and of which the adaptive averages of VGG and AlexNet make another.
CASES = [
    (Model.RESNET50, torchvision.models.resnet50, 64),
    (Model.DENSENET121, torchvision.models.densenet121, 45),
    (Model.VGG16, partial(torchvision.models.vgg16, init_weights=False), 96),
    (Model.ALEXNET, torchvision.models.alexnet, 100),
]


def randomise(module: torch.nn.Module) -> None:
    """Let no number be without effect: not batch statistics of 0 and 1, nor kernels too small."""
    generator = torch.Generator().manual_seed(0)
    normalised = any(isinstance(layer, torch.nn.BatchNorm2d) for layer in module.modules())
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (layer.bias.data, layer.running_mean):
                tensor.uniform_(-0.2, 0.2, generator=generator)
        elif isinstance(layer, torch.nn.Conv2d) and not normalised:
            layer.weight.data *= 6**0.5  # from PyTorch's default to He's


def to_variables(module: torch.nn.Module, last_size: int) -> Variables:
    """torchvision's layers are listed in the order in which they are computed, as ours are."""
    params, kept, numbers = {}, {}, Counter()

    def add(kind, **tensors):
        name = f"{kind}_{numbers[kind]}"
        numbers[kind] += 1
        return name, {k: t.detach().numpy() for k, t in tensors.items() if t is not None}

    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            name, tensors = add("Conv", kernel=layer.weight.permute(2, 3, 1, 0), bias=layer.bias)
        elif isinstance(layer, torch.nn.Linear):
            kernel = layer.weight.T
            if numbers["Dense"] == 0 and last_size > 1:
                # The first dense layer reads pixels: their channels come last here.
                kernel = kernel.reshape(-1, last_size, last_size, kernel.shape[1])
                kernel = kernel.permute(1, 2, 0, 3).flatten(0, 2)
            name, tensors = add("Dense", kernel=kernel, bias=layer.bias)
        elif isinstance(layer, torch.nn.BatchNorm2d):
            name, tensors = add("BatchNorm", scale=layer.weight, bias=layer.bias)
            averages = {"mean": layer.running_mean, "var": layer.running_var}
            kept[name] = {k: t.numpy() for k, t in averages.items()}
        else:
            continue
        params[name] = tensors
    return Variables(params, {"batch_stats": kept} if kept else {})


@pytest.mark.parametrize(("model", "make", "size"), CASES, ids=[c[0].value for c in CASES])
def test_logits_are_torchvisions(model, make, size):
    module = make(num_classes=NUM_CLASSES)
    module.eval()
    randomise(module)
    variables = to_variables(module, {Model.VGG16: 7, Model.ALEXNET: 6}.get(model, 1))
    network = as_network(
        make_architecture(
            model,
            num_classes=NUM_CLASSES,
            input_shape=(size, size, 3),
            options=ArchitectureOptions(form=ImageForm.IMAGENET),
        )
    )
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, shapes)

    evaluate = jax.jit(
        partial(network.apply, key=None, train=False),
        compiler_options={"xla_backend_optimization_level": 0},
    )
    ours, _ = evaluate(variables, images)
    with torch.no_grad():
        theirs = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    assert np.abs(theirs[0] - theirs[1]).max() > 1e-3 * np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())

"""Training steps against PyTorch: an implementation that shares no line with this one.

Ours is in float32, the reference in float64. Tensors are compared by `|a - b| / |b|` with the
Frobenius norm of one whole tensor: entries that are small against their tensor may differ by more,
because they are sums that cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ensemble_jax.hyperparameters import Hyperparameters
from ensemble_jax.losses import cross_entropy
from ensemble_jax.networks import Network, Variables, as_network, prepared, with_fast_layers
from ensemble_jax.ops import CONVOLUTIONS, fast_key
from ensemble_jax.optimizers import named_optimizer
from ensemble_jax.options import ConvolutionAlgorithm, Model, Optimizer, Schedule
from ensemble_jax.training import NOT_DIVERGED, MemberState, Recipe
from ensemble_jax.training.member import _StepOfMember
from ensemble_jax.zoo import make_architecture

torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
functional = torch.nn.functional

TOLERANCE = 1e-4
STEPS = 3
BATCH_SIZE = 16
NUM_CLASSES = 5
LARGE, SMALL = (32, 32, 3), (8, 8, 3)
MEAN = np.array([120.0, 128.0, 110.0], np.float32)
STD = np.array([60.0, 70.0, 65.0], np.float32)

Tensors = Mapping[str, np.ndarray]
Forward = Callable[..., Any]


class Batch(NamedTuple):
    """What one step reads."""

    inputs: np.ndarray
    labels: np.ndarray


class Trace(NamedTuple):
    """A training, and of each step the loss, the gradients without L2 and the new parameters."""

    start: Variables
    batches: list[Batch]
    losses: list[float]
    gradients: list[Tensors]
    params: list[Tensors]


def build(model: Model, convolution: ConvolutionAlgorithm | None = None) -> Network:
    shape = LARGE if model is Model.ST_VGG else SMALL
    architecture = make_architecture(model, num_classes=NUM_CLASSES, input_shape=shape)
    network = prepared(as_network(architecture), mean=MEAN, std=STD)
    return network if convolution is None else with_fast_layers(network, CONVOLUTIONS[convolution])


def init(model: Model) -> Variables:
    # Compile time is all the time there is, so nothing is optimised that is run once.
    quick = {"xla_backend_optimization_level": 0}
    images = np.zeros((1, *(LARGE if model is Model.ST_VGG else SMALL)), np.uint8)
    return jax.jit(build(model).init, compiler_options=quick)(jax.random.key(3), images)


def make_hyperparameters(learning_rate: float, momentum: float = 0.0) -> Hyperparameters:
    values = {
        "learning_rate": learning_rate,
        "momentum": momentum,
        "l2": 0.01,
        "dropout_scale": 0.0,
    }
    return Hyperparameters(values, num_steps=STEPS, steps_per_epoch=STEPS)


def recording(rule: optax.GradientTransformation) -> optax.GradientTransformation:
    """The rule, with the gradient that it was last given in its state."""

    def update(gradient, state, params):
        updates, inner = rule.update(gradient, state[1], params)
        return updates, (gradient, inner)

    return optax.GradientTransformation(
        lambda params: (jax.tree.map(jnp.zeros_like, params), rule.init(params)), update
    )


def train_here(
    network: Network,
    optimizer: Optimizer,
    hp: Hyperparameters,
    start: Variables,
    batches: list[Batch],
) -> Trace:
    rule = recording(named_optimizer(optimizer, Schedule.CONSTANT)(hp))
    state = MemberState(start, rule.init(start.params), jnp.int32(NOT_DIVERGED))
    recipe = Recipe(network, lambda hp: rule, cross_entropy, BATCH_SIZE, STEPS, STEPS)
    step_of_member = _StepOfMember(recipe, rule, cross_entropy, hp)

    @jax.jit
    def step(state, batch):
        return step_of_member(state, batch.inputs, batch.labels, fast_key(jax.random.key(0)))

    trace = Trace(start, batches, [], [], [])
    for batch in batches:
        state, loss, _ = step(state, batch)
        trace.losses.append(float(loss))
        trace.gradients.append(by_name(state.optimizer[0]))
        trace.params.append(by_name(state.variables.params))
    return trace


def train_in_torch(
    start: Variables,
    forward: Forward,
    make_optimizer: Callable[[list[torch.Tensor]], torch.optim.Optimizer],
    make_batch: Callable[[np.random.Generator, Forward], Batch],
    l2: float,
) -> Trace:
    params = {name: to_torch(x).requires_grad_() for name, x in by_name(start.params).items()}
    optimizer = make_optimizer(list(params.values()))
    rng = np.random.default_rng(0)
    trace = Trace(start, [], [], [], [])
    for _ in range(STEPS):
        batch = make_batch(rng, partial(forward, params))
        loss = functional.cross_entropy(
            forward(params, normalise(batch.inputs)), torch.from_numpy(batch.labels).long()
        )
        optimizer.zero_grad()
        loss.backward()
        trace.batches.append(batch)
        trace.losses.append(loss.item())
        trace.gradients.append({name: from_torch(x.grad) for name, x in params.items()})
        penalty = sum(x.square().sum() for name, x in params.items() if name.endswith("kernel"))
        (l2 * penalty).backward()
        optimizer.step()
        trace.params.append({name: from_torch(x.detach()) for name, x in params.items()})
    return trace


def st_vgg_in_torch(params, images, pool=functional.max_pool2d):
    x = images
    for i in range(8):
        kernel = params[f"Conv_{i}.kernel"]
        # 'same' as Keras and XLA have it: of an odd sum the larger half goes after.
        before, after = (kernel.shape[-1] - 1) // 2, kernel.shape[-1] // 2
        x = functional.pad(x, (before, after, before, after))
        x = functional.elu(functional.conv2d(x, kernel, params[f"Conv_{i}.bias"]))
        if i % 2:
            x = pool(x, 2)
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = functional.elu(functional.linear(x, params["Dense_0.kernel"], params["Dense_0.bias"]))
    return functional.linear(x, params["Dense_1.kernel"], params["Dense_1.bias"])


def fully_connected_in_torch(params, images):
    x = images.permute(0, 2, 3, 1).flatten(1)
    for i in range(2):
        x = functional.linear(x, params[f"Dense_{i}.kernel"], params[f"Dense_{i}.bias"])
        x = functional.elu(x)
    return functional.linear(x, params["Dense_2.kernel"], params["Dense_2.bias"])


def random_batch(rng: np.random.Generator, _: Forward) -> Batch:
    return to_batch(rng, rng.integers(0, 256, (BATCH_SIZE, *SMALL), np.uint8))


def clear_batch(rng: np.random.Generator, forward: Forward) -> Batch:
    """The images whose pooling windows all have a clear largest entry.

    Where the two largest entries differ by less than rounding, which of them gets the gradient is
    a matter of chance, and one such window changes the first gradients by more than the tolerance.
    """
    images = rng.integers(0, 256, (2 * BATCH_SIZE, *LARGE), np.uint8)
    gaps = []

    def pool(x, _):
        columns = x[..., ::2], x[..., 1::2]
        upper, lower = (
            torch.stack([half[:, :, i::2] for half in columns for i in (0, 1)][k::2])
            for k in (0, 1)
        )
        winners = torch.stack([upper.amax(0), lower.amax(0)])
        others = torch.stack([upper.amin(0), lower.amin(0), winners.amin(0)])
        gap = (winners.amax(0) - others.amax(0)) / x.std()
        gaps.append(gap.flatten(1).amin(1).numpy())
        return winners.amax(0)

    with torch.no_grad():
        forward(normalise(images), pool)
    clearest = np.argsort(np.min(gaps, axis=0))[-BATCH_SIZE:]
    assert np.min(gaps, axis=0)[clearest].min() > 1e-5
    return to_batch(rng, images[clearest])


def to_batch(rng: np.random.Generator, images: np.ndarray) -> Batch:
    labels = rng.integers(0, NUM_CLASSES, BATCH_SIZE, np.int32)
    return Batch(images, labels)


def normalise(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(((images - MEAN.astype(float)) / STD).transpose(0, 3, 1, 2).copy())


def by_name(params: Any) -> dict[str, np.ndarray]:
    return {
        f"{layer}.{kind}": np.asarray(tensor)
        for layer, tensors in params.items()
        for kind, tensor in tensors.items()
    }


def to_torch(array: np.ndarray) -> torch.Tensor:
    """HWIO to OIHW for convolutions, `[in, out]` to `[out, in]` for dense layers."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
    return torch.from_numpy(array.transpose(axes).astype(np.float64))


def from_torch(tensor: torch.Tensor) -> np.ndarray:
    axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[tensor.ndim]
    return tensor.numpy().transpose(axes).copy()


def distances(ours: Tensors, theirs: Tensors) -> dict[str, float]:
    assert ours.keys() == theirs.keys()
    return {
        name: float(np.linalg.norm(ours[name] - theirs[name]) / np.linalg.norm(theirs[name]))
        for name in ours
    }


def assert_equal_training(ours: Trace, theirs: Trace) -> None:
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=TOLERANCE)
    for step in range(STEPS):
        for kind in ("gradients", "params"):
            far = {
                name: distance
                for name, distance in distances(
                    getattr(ours, kind)[step], getattr(theirs, kind)[step]
                ).items()
                if not distance < TOLERANCE
            }
            assert not far, f"{kind} of step {step}"


@pytest.fixture(scope="module")
def st_vgg_reference() -> Trace:
    return train_in_torch(
        init(Model.ST_VGG),
        st_vgg_in_torch,
        lambda params: torch.optim.SGD(params, lr=0.05),
        clear_batch,
        l2=0.01,
    )


# Each algorithm is compared with XLA's for itself; two of them short of all.
@pytest.mark.parametrize(
    "convolution",
    [
        each
        if each in (ConvolutionAlgorithm.PATCHES, ConvolutionAlgorithm.FUSED)
        else pytest.param(each, marks=pytest.mark.slow)
        for each in ConvolutionAlgorithm
    ],
)
def test_three_steps_of_st_vgg(convolution, st_vgg_reference):
    network = build(Model.ST_VGG, convolution)
    start, batches, *_ = st_vgg_reference
    ours = train_here(network, Optimizer.SGD, make_hyperparameters(0.05), start, batches)
    assert ours.params[0]["Conv_6.kernel"].shape == (2, 2, 128, 256)
    assert_equal_training(ours, st_vgg_reference)


@pytest.mark.parametrize(
    ("optimizer", "hp", "make_optimizer"),
    [
        (Optimizer.SGD, make_hyperparameters(0.04), partial(torch.optim.SGD, lr=0.04)),
        (
            Optimizer.MOMENTUM,
            make_hyperparameters(0.01, momentum=0.9),
            partial(torch.optim.SGD, lr=0.01, momentum=0.9),
        ),
        (Optimizer.ADAM, make_hyperparameters(0.001), partial(torch.optim.Adam, lr=0.001)),
        (
            Optimizer.ADADELTA,
            make_hyperparameters(1.0),
            partial(torch.optim.Adadelta, lr=1.0, rho=0.95, eps=1e-7),
        ),
    ],
    ids=["sgd", "momentum", "adam", "adadelta"],
)
def test_three_steps_of_each_optimizer(optimizer, hp, make_optimizer):
    start = init(Model.FULLY_CONNECTED)
    theirs = train_in_torch(start, fully_connected_in_torch, make_optimizer, random_batch, hp.l2)
    network = build(Model.FULLY_CONNECTED)
    ours = train_here(network, optimizer, hp, start, theirs.batches)
    assert_equal_training(ours, theirs)
    initial = by_name(start.params)
    kernels = [name for name in initial if name.endswith("kernel")]
    moved = distances(*({name: x[name] for name in kernels} for x in (ours.params[-1], initial)))
    assert min(moved.values()) > 10 * TOLERANCE, "too little to be compared"

"""What a member of an architecture costs, counted from shapes and measured here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.environment import provenance
from benchmarks.jax_networks import (
    Planned,
    forced_plan,
    make_kit,
    make_members,
    temporary_bytes,
    tree_bytes,
)
from benchmarks.matrix_product import MatrixProduct
from benchmarks.operations import network_operations
from benchmarks.summary import markdown
from ensemble_jax.kit import Kit
from ensemble_jax.networks import (
    Network,
    Variables,
    as_network,
    count_parameters,
    scaled_dropout,
    variable_shapes,
)
from ensemble_jax.ops import CONVOLUTIONS
from ensemble_jax.options import ConvolutionAlgorithm, Model, Optimizer
from ensemble_jax.training import make_member_training, place_examples
from ensemble_jax.zoo import make_architecture

# Of one call: XLA would turn a loop of one step into no loop, which is faster.
_STEPS = 2
_PEAK_STEPS = 4
_WORDS, _WORD_SIZE, _VOCABULARY = 100, 300, 1000
_SMALL, _LARGE, _MNIST = (32, 32, 3), (224, 224, 3), (28, 28, 1)
_MIB = 2**20
# So little that no network of any architecture diverges.
_LEARNING_RATE = 1e-6


class Trained(NamedTuple):
    """An architecture as it is trained.

    Attributes:
        model: which.
        input_shape: of an example.
        num_classes: K.
        optimizer: how.
        batch_size: examples of a step.
        measured_batch_size: of the step that is compiled and timed; 0 where none is.
    """

    model: Model
    input_shape: tuple[int, ...]
    num_classes: int
    optimizer: Optimizer
    batch_size: int
    measured_batch_size: int

    def make_kit(self, batch_size: int) -> Kit:
        """How it is trained, with random words where it reads texts."""
        words = None
        if self.model is Model.BILSTM:
            rng = np.random.default_rng(0)
            words = rng.standard_normal((_VOCABULARY, _WORD_SIZE), np.float32)
        module = make_architecture(
            self.model, num_classes=self.num_classes, input_shape=self.input_shape
        )
        return make_kit(
            as_network(module),
            self.optimizer,
            batch_size,
            mean=128.0,
            std=64.0,
            word_vectors=words,
        )

    def make_inputs(self, num_examples: int) -> np.ndarray:
        """Random images or texts."""
        rng = np.random.default_rng(0)
        if self.model is Model.BILSTM:
            return rng.integers(1, _VOCABULARY, (num_examples, *self.input_shape), np.int32)
        return rng.integers(0, 256, (num_examples, *self.input_shape), np.uint8)


# Batches, optimizers and classes: of the stripped networks, the MNIST network, fully connected
# layers and texts those of the paper, Appendix B; of the others on small images those of
# kuangliu/pytorch-cifar (AlexNet: bearpaw/pytorch-classification) on CIFAR-100, on ImageNet those
# of the papers that published them.
TRAINED: Mapping[str, Trained] = {
    "st_vgg": Trained(Model.ST_VGG, _SMALL, 10, Optimizer.SGD, 100, 100),
    "small_st_vgg": Trained(Model.SMALL_ST_VGG, _SMALL, 10, Optimizer.SGD, 100, 100),
    "linear_st_vgg": Trained(Model.LINEAR_ST_VGG, _SMALL, 10, Optimizer.SGD, 100, 100),
    "mnist_net": Trained(Model.MNIST_NET, _MNIST, 10, Optimizer.ADADELTA, 100, 100),
    "fully_connected": Trained(Model.FULLY_CONNECTED, _SMALL, 2, Optimizer.SGD, 100, 100),
    "bilstm": Trained(Model.BILSTM, (_WORDS,), 20, Optimizer.ADAM, 256, 256),
    "alexnet": Trained(Model.ALEXNET, _SMALL, 100, Optimizer.MOMENTUM, 128, 128),
    "vgg16": Trained(Model.VGG16, _SMALL, 100, Optimizer.MOMENTUM, 128, 32),
    "vgg19": Trained(Model.VGG19, _SMALL, 100, Optimizer.MOMENTUM, 128, 32),
    "resnet50": Trained(Model.RESNET50, _SMALL, 100, Optimizer.MOMENTUM, 128, 16),
    "densenet121": Trained(Model.DENSENET121, _SMALL, 100, Optimizer.MOMENTUM, 128, 16),
    "alexnet_imagenet": Trained(Model.ALEXNET, _LARGE, 1000, Optimizer.MOMENTUM, 128, 0),
    "vgg16_imagenet": Trained(Model.VGG16, _LARGE, 1000, Optimizer.MOMENTUM, 256, 0),
    "vgg19_imagenet": Trained(Model.VGG19, _LARGE, 1000, Optimizer.MOMENTUM, 256, 0),
    "resnet50_imagenet": Trained(Model.RESNET50, _LARGE, 1000, Optimizer.MOMENTUM, 256, 0),
    "densenet121_imagenet": Trained(Model.DENSENET121, _LARGE, 1000, Optimizer.MOMENTUM, 256, 0),
}


class Counted(NamedTuple):
    """What follows from shapes, of one member.

    Attributes:
        parameters: trained numbers.
        state_bytes: of all that training changes.
        kept_bytes: activations of one example that the backward pass needs.
        operations: useful ones to train on one example.
    """

    parameters: int
    state_bytes: int
    kept_bytes: int
    operations: int


class Measured(NamedTuple):
    """What a compiled epoch needs and gives.

    Attributes:
        num_members: that were trained together.
        temporary_bytes: of one member.
        compile_seconds: of init and epoch.
        examples_per_second: of all members together.
        peak_fraction: of the speed of matrix products that the useful operations reach.
    """

    num_members: int
    temporary_bytes: int
    compile_seconds: float
    examples_per_second: float
    peak_fraction: float


def measure_peak() -> float:
    """The operations per second of matrix products."""
    product = MatrixProduct()
    amount = product.prepare(_PEAK_STEPS).amount
    started = time.perf_counter()
    product.train()
    return amount / (time.perf_counter() - started)


def count(trained: Trained) -> Counted:
    """What follows from shapes alone; nothing is computed."""
    kit = trained.make_kit(trained.batch_size)
    network = kit.member_network(None)
    example, two = (jax.eval_shape(partial(trained.make_inputs, n)) for n in (1, 2))
    member = jax.tree.map(lambda x: x[0], make_members(1, _LEARNING_RATE))
    state = jax.eval_shape(make_member_training(kit.recipe(None)).init, member, example)
    kept = partial(kept_bytes, kit.member_network(CONVOLUTIONS[ConvolutionAlgorithm.XLA]))
    return Counted(
        count_parameters(network, example),
        tree_bytes(state),
        kept(two) - kept(example),
        network_operations(network, example),
    )


def kept_bytes(network: Network, inputs: Any) -> int:
    """What a forward pass of training keeps for the backward pass."""

    def backward(variables, inputs):
        def forward(params):
            with scaled_dropout(1.0):
                given = Variables(params, variables.state)
                return network.apply(given, inputs, key=jax.random.key(0), train=True)[0]

        return jax.vjp(forward, variables.params)[1]

    variables = variable_shapes(network, inputs)
    return tree_bytes(jax.eval_shape(backward, variables, inputs))


def measure(
    trained: Trained, operations: int, *, peak: float, plan: str, seconds: float
) -> Measured:
    """Compile and time some epochs of one member on each CPU core, or on one accelerator.

    Args:
        trained: the architecture.
        operations: useful ones to train on one example.
        peak: operations per second of matrix products.
        plan: as `--config.plan` of the main job; never measured.
        seconds: for how long epochs are repeated after the first; one is in any case.
    """
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        devices = devices[:1]
    num_members, batch_size = len(devices), trained.measured_batch_size
    chosen = forced_plan(plan, num_members, devices)
    planned = Planned.of(trained.make_kit(batch_size), chosen, num_members, devices)
    inputs = trained.make_inputs(_STEPS * batch_size)
    labels = np.arange(len(inputs)) % trained.num_classes
    members = make_members(num_members, _LEARNING_RATE, decay_factor=1.0, momentum=0.9)
    training = planned.compile(members, place_examples(planned.placement, inputs, labels))
    state = jax.block_until_ready(training.epoch(training.init(), 0)[0])
    spent: list[float] = []
    while not spent or sum(spent) < seconds:
        started = time.perf_counter()
        state, _ = jax.block_until_ready(training.epoch(state, len(spent) + 1))
        spent.append(time.perf_counter() - started)
    speed = training.num_images / min(spent)
    return Measured(
        num_members,
        temporary_bytes(training.compiled_epoch) // planned.placement.members_at_once,
        training.compile_seconds,
        speed,
        speed * operations / peak,
    )


def describe(content: Mapping[str, Any]) -> str:
    """What the table was measured on, in Markdown."""
    environment, peak = content["environment"], content["peak_operations_per_second"]
    speed = (
        "nothing was timed" if peak is None else f"matrix products reach {peak / 1e9:.4g} GFLOP/s"
    )
    return (
        f"{provenance(environment)}\n\n"
        f"{environment['processor']}, {environment['cores']} cores; load average before the start "
        f"{environment['load_average'][0]:.2f}. JAX {environment['versions']['jax']} on "
        f"{environment['device']}, plan {content['plan']}; {speed}."
    )


def make_table(content: Mapping[str, Any]) -> list[str]:
    """The lines of the table."""
    header = (
        "architecture",
        "example",
        "K",
        "optimizer, batch",
        "parameters",
        "state",
        "kept of an example",
        "training operations of an example",
        "temporaries of a member",
        "examples/s",
        "of matrix peak",
    )
    return markdown(header, [_row(name, of) for name, of in content["architectures"].items()])


def _row(name, row):
    counted, measured = Counted(**row["counted"]), row["measured"]
    of_epoch = ("", "", "")
    if measured:
        measured = Measured(**measured)
        of_epoch = (
            f"{measured.temporary_bytes / _MIB:,.0f} MiB, batch {row['measured_batch_size']}",
            f"{measured.examples_per_second:,.4g}",
            f"{measured.peak_fraction:.0%}",
        )
    return (
        name,
        "x".join(map(str, row["input_shape"])) + (" words" if len(row["input_shape"]) == 1 else ""),
        str(row["num_classes"]),
        f"{row['optimizer']}, {row['batch_size']}",
        f"{counted.parameters:,}",
        f"{counted.state_bytes / _MIB:,.2f} MiB",
        f"{counted.kept_bytes / _MIB:,.2f} MiB",
        f"{counted.operations / 1e9:,.3g} GFLOP",
        *of_epoch,
    )

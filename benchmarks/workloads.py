"""What is trained: an architecture, the images in memory, and how many members and images a step.

Nothing here imports JAX, so that a worker of PyTorch holds PyTorch alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, UInt8

from ensemble_jax.data import channel_statistics, load_dataset
from ensemble_jax.options import ArchitectureOptions, Model

LEAST_STEPS = 2
"""Of one call of a contender: XLA would turn a loop of one step into no loop, which is faster."""

_SYNTHETIC_SEED = 5


class TrainingSet(NamedTuple):
    """What every contender holds in memory before it is timed."""

    images: UInt8[np.ndarray, "M height width channels"]
    labels: Int[np.ndarray, " M"]
    num_classes: int
    mean: Float32[np.ndarray, " channels"]
    deviation: Float32[np.ndarray, " channels"]


@dataclass(frozen=True)
class Workload:
    """A collection to train.

    Attributes:
        title: for tables and figures; `{N}` and `{B}` stand for members and batch size.
        model: the architecture.
        dataset: `digits`, or empty for random images of the shape of small_mammals.
        num_images: held in memory; an epoch reads as many whole batches of them as there are.
        num_members: N.
        batch_size: images of one member's step.
        learning_rate: of plain SGD.
        options: what of the architecture is not the paper's.
        lax_map_members: how many members `lax.map` trains. They run one after another, so that
            the number does not change the speed, and eight st-VGG would take minutes.
    """

    title: str
    model: Model
    dataset: str
    num_images: int
    num_members: int
    batch_size: int
    learning_rate: float
    options: ArchitectureOptions = field(default_factory=ArchitectureOptions)
    lax_map_members: int | None = None

    @property
    def has_images(self) -> bool:
        """Whether the architecture has convolutions, and so a memory format and an algorithm."""
        return self.model is not Model.FULLY_CONNECTED

    @property
    def most_steps(self) -> int:
        """The whole batches in memory."""
        return self.num_images // self.batch_size

    @property
    def full_title(self) -> str:
        """The title with its numbers."""
        return self.title.format(N=self.num_members, B=self.batch_size)


WORKLOADS: Mapping[str, Workload] = {
    # The paper's network for small_mammals, on as many of its 2,500 images as a measurement reads.
    # No time depends on what they show.
    "st_vgg": Workload(
        "st-VGG, 32x32x3, 5 classes, batch {B}, N = {N}",
        Model.ST_VGG,
        dataset="",
        num_images=400,
        num_members=8,
        batch_size=100,
        learning_rate=0.05,
        lax_map_members=2,
    ),
    "small_cnn_digits": Workload(
        "small st-VGG on digits (8x8), batch {B}, N = {N}",
        Model.SMALL_ST_VGG,
        dataset="digits",
        num_images=1400,
        num_members=20,
        batch_size=100,
        learning_rate=0.05,
    ),
    # Two layers of 128, which is what 64 pixels call for.
    "mlp_digits": Workload(
        "MLP 64-128-128-10 on digits, batch {B}, N = {N}",
        Model.FULLY_CONNECTED,
        dataset="digits",
        num_images=1400,
        num_members=100,
        batch_size=100,
        learning_rate=0.04,
        options=ArchitectureOptions(width=128),
    ),
    # The paper's two layers of 1024: a member's 1.1 million weights no longer fit beside others.
    "wide_mlp_digits": Workload(
        "MLP 64-1024-1024-10 on digits, batch {B}, N = {N}",
        Model.FULLY_CONNECTED,
        dataset="digits",
        num_images=1400,
        num_members=20,
        batch_size=100,
        learning_rate=0.04,
    ),
}


@dataclass(frozen=True)
class Task:
    """What a contender is asked to train; plain values, because it is sent to another process.

    Attributes:
        contender: a name of `benchmarks.contenders.CONTENDERS`.
        workload_name: a name of `WORKLOADS`.
        num_members: N, in place of the workload's.
        batch_size: in place of the workload's.
        plan: what is forced of this project's plan, as `--config.plan` of the main job has it.
        cores: the processor cores to run on; all where it is None.
    """

    contender: str
    workload_name: str
    num_members: int
    batch_size: int
    plan: str = "auto"
    cores: tuple[int, ...] | None = None

    @property
    def workload(self) -> Workload:
        """The workload with this task's numbers."""
        return replace(
            WORKLOADS[self.workload_name],
            num_members=self.num_members,
            batch_size=self.batch_size,
        )


def load_training_set(workload: Workload) -> TrainingSet:
    """The images and labels of a workload, the same in every process."""
    if workload.dataset:
        dataset = load_dataset(workload.dataset)
        images = dataset.train.inputs[: workload.num_images]
        labels = dataset.train.labels[: workload.num_images]
        num_classes = dataset.num_classes
    else:
        num_classes = 5
        images, labels = _random_images((workload.num_images, 32, 32, 3), num_classes)
    return TrainingSet(images, labels, num_classes, *channel_statistics(images))


def _random_images(shape, num_classes):
    """Noise that is brighter for some classes, so that training is ordinary training."""
    rng = np.random.default_rng(_SYNTHETIC_SEED)
    labels = rng.integers(0, num_classes, shape[0], np.int32)
    noise = rng.integers(0, 156, shape, np.uint8)
    return noise + (labels * 20).astype(np.uint8)[:, None, None, None], labels

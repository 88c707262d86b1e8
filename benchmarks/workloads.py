"""What is trained: an architecture, the images in memory, and how many members and images a step.

Nothing here imports JAX, so that a worker of PyTorch holds PyTorch alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, UInt8

from ensemble_jax.data import as_array, channel_statistics, load_dataset
from ensemble_jax.data.subsets import subset_indices
from ensemble_jax.options import ArchitectureOptions, ImageForm, Model

LEAST_STEPS = 2
"""Of one call of a contender: XLA would turn a loop of one step into no loop, which is faster."""

_SYNTHETIC_SEED = 5
_SUBSET_SEED = 6


class TrainingSet(NamedTuple):
    """What every contender holds in memory before it is timed."""

    images: UInt8[np.ndarray, "M height width channels"]
    labels: Int[np.ndarray, " M"]
    num_classes: int
    mean: Float32[np.ndarray, " channels"]
    std: Float32[np.ndarray, " channels"]


@dataclass(frozen=True)
class Workload:
    """A collection to train.

    Attributes:
        title: for tables and figures; `{N}` and `{B}` stand for members and batch size.
        model: the architecture.
        dataset: `digits`, or empty for random images.
        num_images: held in memory; an epoch reads as many whole batches of them as there are.
        num_members: N.
        batch_size: images of one member's step.
        learning_rate: of plain SGD.
        options: what of the architecture is not the paper's.
        hidden_units: of the dense layers of another network than the paper's fully connected one,
            with ReLU and without dropout; empty where it is the paper's.
        image_shape: of random images, by default that of small_mammals.
        num_classes: of random images.
        subset_fraction: how much of the images a member sees. If not all, each has a random subset
            of its own.
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
    hidden_units: tuple[int, ...] = ()
    image_shape: tuple[int, int, int] = (32, 32, 3)
    num_classes: int = 5
    subset_fraction: float = 1.0
    lax_map_members: int | None = None

    @property
    def has_images(self) -> bool:
        """Whether the architecture has convolutions, and so a memory format and an algorithm."""
        return self.model is not Model.FULLY_CONNECTED

    @property
    def images_per_member(self) -> int:
        """The images that a member may see."""
        return round(self.subset_fraction * self.num_images)

    @property
    def most_steps(self) -> int:
        """The whole batches of a member."""
        return self.images_per_member // self.batch_size

    def member_images(self, num_members: int, steps: int) -> Int[np.ndarray, "N m"]:
        """Which images each member reads, once each, in so many steps.

        The first ones, the same for all, or as many of all images drawn for each member.
        """
        size = steps * self.batch_size
        if self.subset_fraction == 1:
            return np.tile(np.arange(size, dtype=np.int32), (num_members, 1))
        fraction = size / self.num_images
        return np.stack(
            [
                subset_indices(_SUBSET_SEED, member, self.num_images, fraction)
                for member in range(num_members)
            ]
        )

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
    # The network and the subsets of MNIST of which C-scores are estimated (Jiang et al., 2021).
    "c_score_mlp": Workload(
        "C-score's MLP 784-512-256-10, half of the images each, batch {B}, N = {N}",
        Model.FULLY_CONNECTED,
        dataset="",
        num_images=4000,
        num_members=16,
        batch_size=100,
        learning_rate=0.05,
        hidden_units=(512, 256),
        image_shape=(28, 28, 1),
        num_classes=10,
        subset_fraction=0.5,
    ),
    # ResNet-50 with an eighth of its filters and a block a stage: statistics of batches, kernels of
    # one pixel, strides.
    "small_resnet": Workload(
        "small ResNet, 32x32x3, 5 classes, batch {B}, N = {N}",
        Model.RESNET50,
        dataset="",
        num_images=400,
        num_members=4,
        batch_size=50,
        learning_rate=0.05,
        options=ArchitectureOptions(width=8, depth=1, form=ImageForm.CIFAR),
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
        images = as_array(dataset.train.inputs)[: workload.num_images]
        labels = dataset.train.labels[: workload.num_images]
        num_classes = dataset.num_classes
    else:
        num_classes = workload.num_classes
        images, labels = _random_images((workload.num_images, *workload.image_shape), num_classes)
    return TrainingSet(images, labels, num_classes, *channel_statistics(images))


def _random_images(shape, num_classes):
    """Noise that is brighter for some classes, so that training is ordinary training."""
    rng = np.random.default_rng(_SYNTHETIC_SEED)
    labels = rng.integers(0, num_classes, shape[0], np.int32)
    noise = rng.integers(0, 156, shape, np.uint8)
    brightness = labels * (100 // num_classes)
    return noise + brightness.astype(np.uint8)[:, None, None, None], labels

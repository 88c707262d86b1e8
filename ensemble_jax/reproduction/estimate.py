"""How long trainings will take on this device: a guess from operations and a measured speed."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.machine import use_compilation_cache
from ensemble_jax.options import Model, Protocol
from ensemble_jax.reproduction.recipes import RECIPES, Scale
from ensemble_jax.reproduction.robustness import sweeps
from ensemble_jax.runs import Run, load_run

# Training on an example takes as long as three forward passes, evaluating it takes one.
_EVALUATION_SHARE = 1 / 3
_MEASURED_BATCH = 100
# The recipe whose settings vary at small scales; at the paper's they are as many operations.
_VARIED = "small_mammals_narrow_st_vgg"
SWEEPS = "robustness"
"""The name of `work_of_sweeps` among what is stored."""
NOMINAL_SPEED = 45e9
"""Operations per second of a CPU core, where nothing was measured: half of what `measure_speed`
says of two AVX-512 cores."""


class SetSize(NamedTuple):
    """What an estimate needs to know of a data set.

    Attributes:
        train: examples.
        test: examples.
        input_shape: of one example.
        num_classes: K.
    """

    train: int
    test: int
    input_shape: tuple[int, ...]
    num_classes: int


# So that an estimate needs no data: appendix C, and for texts the lengths of the stand-in.
_SIZES = {
    "mnist": SetSize(60_000, 10_000, (28, 28, 1), 10),
    "fashion_mnist": SetSize(60_000, 10_000, (28, 28, 1), 10),
    "cifar10": SetSize(50_000, 10_000, (32, 32, 3), 10),
    "cifar100": SetSize(50_000, 10_000, (32, 32, 3), 100),
    "cats_and_dogs": SetSize(10_000, 2_000, (32, 32, 3), 2),
    "vggface2": SetSize(6_000, 1_500, (64, 64, 3), 10),
    "tiny_imagenet": SetSize(100_000, 10_000, (64, 64, 3), 200),
    "imagenet2012": SetSize(1_281_167, 50_000, (224, 224, 3), 1000),
    "stackoverflow": SetSize(39_000, 1_000, (200,), 20),
    "gabor": SetSize(960, 240, (32, 32, 3), 12),
    "gaussian": SetSize(5_000, 1_000, (32, 32, 3), 2),
}
_SUPERCLASS = SetSize(2_500, 500, (32, 32, 3), 5)
_TEXTS = SetSize(5_452, 500, (16,), 6)
_WORDS, _WORD_LENGTH = 1000, 300
_SHAPING = ("width", "depth", "kernel_size", "dense", "growth")


def estimated_seconds(config: TrainConfig, operations_per_second: float) -> float:
    """How long a training takes at a speed, compiling and writing left out."""
    return training_work(config) / operations_per_second


def training_work(config: TrainConfig) -> float:
    """The floating-point operations of a training, evaluations included."""
    size = _size_of(config)
    train = size.train * config.train_fraction * config.subset_fraction
    per_epoch = train / max(1, config.partitions)
    whole = config.protocol is Protocol.TRAJECTORY
    epochs = config.extents[-1] if whole else sum(config.extents)
    evaluated = (train + size.test) * len(config.extents)
    images = len(config.member_ids) * (per_epoch * epochs + _EVALUATION_SHARE * evaluated)
    return images * operations_per_example(config)


def known_work(name: str, scale: Scale) -> float:
    """The `training_work` of a recipe at a scale as it is stored: JAX is not imported for it.

    Args:
        name: of the recipe, or `SWEEPS` for what the figure of robustness trains beside one.
        scale: of both.
    """
    return _stored_work()[name][scale.value]


def work_of_sweeps(scale: Scale) -> float:
    """The floating-point operations of all settings of the figure of robustness."""
    base = RECIPES[_VARIED].config(scale)
    return sum(
        training_work(sweep.with_values(values))
        for sweep in sweeps(base, scale).values()
        for values in sweep.settings
    )


@functools.cache
def _stored_work() -> Mapping[str, Mapping[str, float]]:
    return json.loads(Path(__file__).with_name("work.json").read_text("utf-8"))


def operations_per_example(config: TrainConfig) -> float:
    """To train a member on one example."""
    size = _size_of(config)
    return _operations(
        config.model, config.architecture_options, size.input_shape, size.num_classes
    )


def speed_of_runs(folders: Iterable[Path]) -> float | None:
    """The operations per second of finished runs, the median; None if there is none."""
    speeds = []
    for folder in folders:
        if (folder / "run.json").is_file():
            speeds += _speeds_of_run(load_run(folder))
    return float(np.median(speeds)) if speeds else None


def measure_speed() -> float:
    """The operations per second of a few training steps of small st-VGG on this device."""
    import jax

    from ensemble_jax.cli.translate import training_of
    from ensemble_jax.data import Dataset, Split
    from ensemble_jax.kit import make_kit
    from ensemble_jax.membership import on_dataset
    from ensemble_jax.planning import PlanningTask, default_plan, try_plan

    config = TrainConfig(model=Model.SMALL_ST_VGG, num_members=2, batch_size=_MEASURED_BATCH)
    images = np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), dtype=np.uint8)
    split = Split(images, np.arange(400, dtype=np.int32) % 5, np.arange(400))
    dataset = Dataset("noise", split, split, tuple("abcde"))
    use_compilation_cache()
    devices = jax.local_devices()
    training = training_of([config])
    task = PlanningTask(
        make_kit(training, dataset).recipe,
        on_dataset(training.members, dataset, training.batch_size).members,
        images,
        split.labels,
        dataset.num_bytes,
        devices,
    )
    trial = try_plan(default_plan(config.num_members, devices), task)
    operations = _operations(config.model, config.architecture_options, (32, 32, 3), 5)
    return trial.images_per_second * operations


def describe_seconds(seconds: float) -> str:
    """A time as people say it.

    >>> describe_seconds(42), describe_seconds(4000), describe_seconds(1e6)
    ('1 minute', '1.1 hours', '11.6 days')
    """
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    hours = seconds / 3600
    return f"{hours:.2g} hours" if hours < 48 else f"{hours / 24:.3g} days"


def _speeds_of_run(run: Run) -> list[float]:
    """The run's median speed in operations, if it was trained here by one of these binaries."""
    speeds = run.train_images_per_second[~np.isnan(run.train_images_per_second)]
    if not len(speeds):
        return []
    known = {name: run.config[name] for name in _SHAPING if name in run.config}
    config = TrainConfig(model=Model(run.config["model"]), **known)
    shape = tuple(run.manifest.data.input_shape)
    operations = _operations(config.model, config.architecture_options, shape, run.num_classes)
    return [float(np.median(speeds)) * operations]


@functools.cache
def _operations(model, options, input_shape, num_classes) -> float:
    import jax

    from ensemble_jax.networks import linen_network, prepared
    from ensemble_jax.planning.of_training import training_operations
    from ensemble_jax.zoo import make_architecture

    of_texts = model is Model.BILSTM
    architecture = make_architecture(
        model, num_classes=num_classes, input_shape=input_shape, options=options
    )
    words = np.zeros((_WORDS, _WORD_LENGTH), np.float32) if of_texts else None
    network = prepared(linen_network(architecture), word_vectors=words)
    kind = np.int32 if of_texts else np.uint8
    return training_operations(network, jax.ShapeDtypeStruct((1, *input_shape), kind))


def _size_of(config: TrainConfig) -> SetSize:
    """Of the examples of a config, before a part of them is taken."""
    size = _TEXTS if config.model is Model.BILSTM else _SUPERCLASS
    size = _SIZES.get(config.dataset, size)
    if not config.classes:
        return size
    share = len(config.classes) / size.num_classes
    return size._replace(
        train=round(size.train * share),
        test=round(size.test * share),
        num_classes=len(config.classes),
    )

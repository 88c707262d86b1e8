r"""Reading images piece by piece does not hold back the training of N members.

Run: python -m benchmarks.input_pipeline
Takes about 10 minutes on two cores that do nothing else (an estimate). On a GPU, with real images:
python -m benchmarks.input_pipeline --dataset=imagenet2012 --data_dir=DIR --size=224 \
    --images=16384 --pool_images=4096 --batch_size=256

What is measured: ResNet-50 in ImageNet's form on JPEG files of 500x375 pixels, each decoded,
cropped and resized whenever it is read, as the main job does. By default the files are made here
and held in memory, so that the disk is left out; with `--dataset=imagenet2012` they come from the
records.
In every round, for each N:

- 'pipeline': an epoch of pools read, decoded and copied to the devices, with nothing else to do;
- 'in memory': an epoch of training with all images on the devices, decoded before;
- 'in pools': an epoch of training in pools, the next one read while one is trained on.

What the numbers mean: images/s of the data, each of which all N members train on. The pipeline
keeps up where it is faster than training in memory; its speed over that of training is the
'headroom'. 'Slower by' is the time of an epoch in pools over one in memory, less one: the first
pool of an epoch is waited for, and where devices are CPU cores, decoding takes its time from the
training. Medians (least-largest) of the rounds.

Results: `input_pipeline.json` with every measurement and `input_pipeline.md` in `--output`.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
import PIL.Image
from absl import app, flags

from benchmarks.environment import (
    define_output,
    describe_environment,
    usable_cores,
    write_page,
)
from benchmarks.jax_networks import Planned, forced_plan, make_kit, make_members
from benchmarks.summary import Spread, markdown
from ensemble_jax.collection import use_all_cores
from ensemble_jax.data import StoredInputs, load_dataset
from ensemble_jax.data.image_files import ImageSpec, fit_encoded_image
from ensemble_jax.data.pools import Pools
from ensemble_jax.networks import as_network
from ensemble_jax.ops import make_augmentation
from ensemble_jax.options import (
    ArchitectureOptions,
    Model,
    Optimizer,
    parse_augmentations,
)
from ensemble_jax.options import (
    ImageForm as NetworkForm,
)
from ensemble_jax.pool_feed import PoolFeed, PoolName, Shuffle
from ensemble_jax.training import place_examples
from ensemble_jax.zoo import make_architecture

_DATASET = flags.DEFINE_string("dataset", "", "imagenet2012; empty for files made here.")
_DATA_DIR = flags.DEFINE_string("data_dir", "", "Where that is prepared.")
_MODEL = flags.DEFINE_enum_class("model", Model.RESNET50, Model, "What to train.")
_FORM = flags.DEFINE_enum(
    "form", "imagenet", ["imagenet", "cifar", "none"], "Of the model; none where it has but one."
)
_WIDTH = flags.DEFINE_integer("width", 0, "Of the model; 0 is as published.", lower_bound=0)
_SIZE = flags.DEFINE_integer("size", 64, "Height and width of decoded images.", lower_bound=1)
_IMAGES = flags.DEFINE_integer("images", 256, "Of an epoch.", lower_bound=1)
_POOL_IMAGES = flags.DEFINE_integer("pool_images", 64, "As of the main job.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images of a step.", lower_bound=1)
_WORKERS = flags.DEFINE_integer("workers", 0, "As of the main job.", lower_bound=0)
_MEMBERS = flags.DEFINE_list("members", ["1", "2", "4", "8"], "The N to measure.")
_AUGMENTATION = flags.DEFINE_list("augmentation", ["flip"], "As of the main job.")
_PLAN = flags.DEFINE_string("plan", "default", "As of the main job; never measured here.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Measurements.", lower_bound=1)
_OUTPUT = define_output("input_pipeline")

_FILE_SIZE = (500, 375)
_FILES = 64  # different ones
_NUM_CLASSES = 1000


class Seconds(NamedTuple):
    """Wall time of an epoch: read only, trained on in memory, trained on in pools."""

    pipeline: float
    in_memory: float
    in_pools: float


def main(_: Sequence[str]) -> None:
    """Measure every N in every round, then write."""
    use_all_cores()
    environment = describe_environment()
    inputs, labels = _load_images()
    with contextlib.ExitStack() as held:
        contenders = {int(n): _Contender(int(n), inputs, labels, held) for n in _MEMBERS.value}
        measured: dict[int, list[Seconds]] = {n: [] for n in contenders}
        for _round in range(_ROUNDS.value):
            for num_members, contender in contenders.items():
                measured[num_members].append(contender.measure())
                print(f"N = {num_members}: {measured[num_members][-1]}", flush=True)
    content = {
        "kind": "ensemble_jax input pipeline",
        "environment": environment,
        "images": len(labels),
        "plans": {n: contender.plan for n, contender in contenders.items()},
        "rounds": {n: [seconds._asdict() for seconds in of] for n, of in measured.items()},
    }
    conditions = (
        f"JAX on {jax.devices()[0].device_kind}. Images/s of the data, {len(labels)} an epoch in "
        f"pools of {_POOL_IMAGES.value}; {_MODEL.value.value}, {_SIZE.value}x{_SIZE.value}, "
        f"batches of {_BATCH_SIZE.value}."
    )
    table = _table(measured, len(labels))
    names = "input_pipeline.json", "input_pipeline.md"
    write_page(_OUTPUT.value, content, "Input in pools", conditions, table, names)


class _Contender:
    """N members, compiled to train in memory and in pools."""

    def __init__(
        self,
        num_members: int,
        inputs: StoredInputs,
        labels: np.ndarray,
        held: contextlib.ExitStack,
    ) -> None:
        devices = jax.local_devices()
        plan = forced_plan(_PLAN.value, num_members, devices)
        network = make_architecture(
            _MODEL.value,
            num_classes=_NUM_CLASSES,
            input_shape=inputs.example_shape,
            options=ArchitectureOptions(
                width=_WIDTH.value or None,
                form=None if _FORM.value == "none" else NetworkForm(_FORM.value),
            ),
        )
        kit = make_kit(
            as_network(network),
            Optimizer.MOMENTUM,
            _BATCH_SIZE.value,
            mean=127.0,
            std=64.0,
            steps_per_epoch=-(-len(inputs) // _BATCH_SIZE.value),
            augment=make_augmentation(
                parse_augmentations(_AUGMENTATION.value), inputs.example_shape
            ),
        )
        planned = Planned.of(kit, plan, num_members, devices)
        members = make_members(num_members, 0.01)
        pools = Pools.of_at_most(len(inputs), _POOL_IMAGES.value, _BATCH_SIZE.value)
        workers = _WORKERS.value or len(usable_cores())
        self.plan = f"{plan}; {pools}, {workers} workers"
        self._feed = held.enter_context(PoolFeed(inputs, labels, pools, planned.placement, workers))
        examples = place_examples(planned.placement, inputs, labels, workers)
        self._in_memory = planned.compile(members, examples)
        self._in_pools = planned.compile(members, self._feed)
        # The first epochs pay for what happens once.
        self._states = [
            jax.block_until_ready(t.epoch(t.init(), 0)[0])
            for t in (self._in_memory, self._in_pools)
        ]

    def measure(self) -> Seconds:
        """One epoch of each."""
        count = self._feed.pools.count
        names = [PoolName(number, Shuffle(0, 1)) for number in range(count)]
        started = time.perf_counter()
        for name, following in zip(names, [*names[1:], None], strict=True):
            self._feed.take(name, following)
        seconds = [time.perf_counter() - started]
        for i, training in enumerate((self._in_memory, self._in_pools)):
            started = time.perf_counter()
            self._states[i], _ = jax.block_until_ready(training.epoch(self._states[i], 1))
            seconds.append(time.perf_counter() - started)
        return Seconds(*seconds)


def _load_images() -> tuple[StoredInputs, np.ndarray]:
    """Images that are decoded whenever they are read, and their labels."""
    if _DATASET.value:
        name = f"{_DATASET.value}?size={_SIZE.value}"
        train = load_dataset(name, data_dir=_DATA_DIR.value or None).train
        rows = np.arange(min(_IMAGES.value, len(train)))
        assert isinstance(train.inputs, StoredInputs)
        return train.inputs[rows], train.labels[rows]
    rng = np.random.default_rng(0)
    files = [_make_file(rng) for _ in range(_FILES)]
    form = ImageSpec((_SIZE.value, _SIZE.value), channels=3)

    def read(rows: np.ndarray) -> np.ndarray:
        return np.stack([fit_encoded_image(files[row % _FILES], form) for row in rows])

    inputs = StoredInputs(read, np.arange(_IMAGES.value), (_SIZE.value, _SIZE.value, 3))
    return inputs, rng.integers(0, _NUM_CLASSES, _IMAGES.value, np.int32)


def _make_file(rng: np.random.Generator) -> bytes:
    """A JPEG file about as large as those of ImageNet: a coarse picture with some noise."""
    width, height = _FILE_SIZE
    coarse = PIL.Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(_FILE_SIZE, PIL.Image.Resampling.BICUBIC), np.float32)
    noisy = smooth + 20 * rng.standard_normal((height, width, 3))
    file = io.BytesIO()
    PIL.Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _table(measured, num_images):
    rows = []
    for num_members, rounds in measured.items():
        headroom = Spread.of(r.in_memory / r.pipeline for r in rounds)
        rows.append(
            (
                str(num_members),
                Spread.of(num_images / r.pipeline for r in rounds).written("{:,.0f}"),
                Spread.of(num_images / r.in_memory for r in rounds).written("{:,.1f}"),
                Spread.of(num_images / r.in_pools for r in rounds).written("{:,.1f}"),
                headroom.written("{:.1f}"),
                Spread.of(r.in_pools / r.in_memory - 1 for r in rounds).written("{:.1%}"),
                "PASS" if headroom.median >= 1 else "SHORT",
            )
        )
    header = ("N", "pipeline", "in memory", "in pools", "headroom", "slower by", "keeps up")
    return markdown(header, rows)


if __name__ == "__main__":
    app.run(main)

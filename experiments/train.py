r"""The main job: train a collection and record what every member does with every example.

python -m experiments.train --config=experiments/configs/digits.py --config.num_members=20 \
    --workdir=runs/digits

The same command continues a run that was interrupted.
"""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from ensemble_jax.data import Dataset, channel_statistics, load_dataset
from ensemble_jax.options import ConvolutionAlgorithm
from ensemble_jax.plan import Plan
from ensemble_jax.runs import (
    DataSummary,
    ExtentRecord,
    Manifest,
    RunWriter,
    SplitRecord,
    claim_folder,
    config_differences,
    load_run,
)
from experiments import binary
from experiments.config_option import config_path, define_config, get_config
from experiments.train_config import TrainConfig

if TYPE_CHECKING:
    from ensemble_jax.collection import Placement
    from ensemble_jax.models import Network
    from ensemble_jax.training import (
        Checkpoints,
        CollectionTraining,
        Measurement,
        Member,
        MemberState,
    )

_CHECKPOINTS = "checkpoints"

define_config(TrainConfig, Path(__file__).parent / "configs" / "digits.py")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run directory; by default runs/ and the name of the config."
)


def main() -> None:
    """Train, or continue, or say that there is nothing left to do."""
    config: TrainConfig = get_config(TrainConfig)
    config.validate()
    workdir = Path(_WORKDIR.value or Path("runs") / Path(config_path()).stem)
    resumed = (workdir / "run.json").exists()
    if resumed:
        _check_same_config(workdir, config)
        if load_run(workdir).finished:
            print(f"{workdir} is finished: {_describe(config)}")
            _report(workdir)
            return
    dataset = load_dataset(config.dataset, data_dir=config.data_dir or None)
    _check_batch_size(config, dataset)
    binary.use_compilation_cache()
    _train(config, dataset, workdir, resumed)
    _report(workdir)


def _train(config: TrainConfig, dataset: Dataset, workdir: Path, resumed: bool) -> None:
    # JAX comes after all that can be answered without it: a wrong option is answered at once.
    import jax

    from ensemble_jax.collection import place, use_all_cores
    from ensemble_jax.evaluation import CollectionEvaluation, make_evaluator
    from ensemble_jax.training import (
        Checkpoints,
        CollectionTraining,
        make_member_training,
        place_examples,
        train,
    )
    from experiments.planning import plan_of_run, plan_training
    from experiments.progress import TrainingProgress

    use_all_cores()
    members = _make_members(config)
    make_network = functools.partial(_make_network, config, dataset)
    if resumed:
        _check_same_examples(workdir, dataset)
        writer = RunWriter.open(workdir)
        plan, reason, _ = plan_of_run(writer.manifest.plan)
    else:
        # What the user may have got wrong comes before what takes time.
        make_network(ConvolutionAlgorithm.XLA)
        claim_folder(workdir)
        plan, reason, _ = plan_training(config, dataset, members, make_network)
    placement = place(plan, len(config.member_ids), jax.local_devices())
    network = make_network(plan.convolution)
    member_training = make_member_training(
        network, config.optimizer, config.batch_size, plan.passes_per_step
    )
    if not resumed:
        manifest = _make_manifest(config, dataset, members, plan, placement)
        writer = RunWriter.create(workdir, manifest, dataset.splits)
    checkpoints = Checkpoints(workdir / _CHECKPOINTS)
    # What Orbax cannot do it raises, and logs the same with its tracebacks.
    logging.getLogger("absl").setLevel(logging.CRITICAL)

    print(f"{_describe(config)}\nplan: {plan} ({reason})\ncompiling", flush=True)
    examples = {
        name: place_examples(placement, split.inputs, split.labels)
        for name, split in dataset.splits.items()
    }
    training = CollectionTraining(
        member_training, placement, members, config.seed, examples["train"]
    )
    first_epoch, state, extents = _start(config, training, checkpoints, placement)
    _check_nothing_lost(writer, [e for e in config.extents if e not in extents])
    evaluator = make_evaluator(network, dataset.num_classes, config.evaluation_batch_size)
    evaluation = CollectionEvaluation(evaluator, placement, state.variables, examples)
    seconds = training.compile_seconds + evaluation.compile_seconds
    print(f"compiled in {seconds:.1f} s", flush=True)
    if resumed:
        print(f"continuing {workdir} after epoch {first_epoch}", flush=True)

    sizes = {name: len(split) for name, split in dataset.splits.items()}
    progress = TrainingProgress(first_epoch, config.extents[-1], config.member_ids, sizes)
    try:
        train(
            training,
            state,
            first_epoch=first_epoch,
            extents=extents,
            evaluate=lambda state: evaluation(state.variables),
            to_host=placement.gather,
            write=lambda measurement: _write(measurement, writer, checkpoints),
            observer=progress,
        )
    finally:
        progress.close()
        checkpoints.close()


def _check_same_config(workdir: Path, config: TrainConfig) -> None:
    stored = load_run(workdir).config
    differences = config_differences(stored, config.effective())
    if differences:
        raise ValueError(
            f"{workdir} holds a run with another config, continue it with its own or choose "
            f"another --workdir; stored -> wanted: {'; '.join(differences)}"
        )


def _check_same_examples(workdir: Path, dataset: Dataset) -> None:
    run = load_run(workdir)
    for name, split in dataset.splits.items():
        if not (
            np.array_equal(run.labels[name], split.labels)
            and np.array_equal(run.ids[name], split.ids)
        ):
            raise ValueError(
                f"{workdir} was trained on other {name} examples than {dataset.name} has now: "
                f"choose another --workdir"
            )


def _check_batch_size(config: TrainConfig, dataset: Dataset) -> None:
    if config.batch_size > len(dataset.train):
        raise ValueError(
            f"batch_size must lie in 1..{len(dataset.train)} (the training examples of "
            f"{config.dataset}), got {config.batch_size}"
        )


def _make_network(
    config: TrainConfig, dataset: Dataset, convolution: ConvolutionAlgorithm
) -> Network:
    from ensemble_jax.models import make_network

    mean, deviation = channel_statistics(dataset.train.inputs)
    return make_network(
        config.model,
        num_classes=dataset.num_classes,
        input_shape=dataset.input_shape,
        mean=mean,
        deviation=deviation,
        convolution=convolution,
    )


def _make_members(config: TrainConfig) -> Member:
    """All members with their settings, `[N]` each."""
    from ensemble_jax.training import Member, Settings

    ids = np.array(config.member_ids, np.uint32)
    settings = Settings(
        learning_rate=np.full(len(ids), config.learning_rate, np.float32),
        decay_factor=np.full(len(ids), config.decay_factor, np.float32),
        decay_epochs=np.full(len(ids), config.decay_epochs, np.int32),
        momentum=np.full(len(ids), config.momentum, np.float32),
        l2=np.full(len(ids), config.l2, np.float32),
        dropout_scale=np.full(len(ids), config.dropout_scale, np.float32),
    )
    return Member(ids, settings)


def _make_manifest(
    config: TrainConfig, dataset: Dataset, members: Member, plan: Plan, placement: Placement
) -> Manifest:
    return Manifest(
        config=config.effective(),
        data=DataSummary(
            dataset.name,
            dataset.class_names,
            {name: len(split) for name, split in dataset.splits.items()},
            dataset.input_shape,
        ),
        members=list(config.member_ids),
        extents=config.extents,
        settings={name: values.tolist() for name, values in members.settings._asdict().items()},
        plan=plan.as_plain(),
        devices=[str(device) for device in placement.devices],
    )


def _start(
    config: TrainConfig,
    training: CollectionTraining,
    checkpoints: Checkpoints,
    placement: Placement,
) -> tuple[int, MemberState, Sequence[int]]:
    """The epochs completed, the state to go on from, and the extents that are still to measure."""
    latest = checkpoints.restore_latest(training.state_shape)
    if latest is None:
        return 0, training.init(), config.extents
    completed, state = latest
    return completed, placement.spread(state), [e for e in config.extents if e > completed]


def _check_nothing_lost(writer: RunWriter, completed: Sequence[int]) -> None:
    lost = sorted(set(completed) - set(writer.extents))
    if lost:
        raise ValueError(
            f"{writer.directory} lacks the records of the extents {lost}, from before its last "
            f"checkpoint: remove {writer.directory / _CHECKPOINTS} to compute them again"
        )


def _write(measurement: Measurement, writer: RunWriter, checkpoints: Checkpoints) -> None:
    """Make an extent permanent: the record first, so that a checkpoint never runs ahead of it."""
    speed = measurement.train_images_per_second
    record = ExtentRecord(
        measurement.extent,
        {
            name: SplitRecord(*split._asdict().values())
            for name, split in measurement.evaluation.items()
        },
        np.asarray(measurement.state.diverged_at),
        float("nan") if speed is None else speed,
    )
    try:
        writer.write_extent(record)
        _check_room(writer.directory, measurement.state)
        checkpoints.save(measurement.extent, measurement.state)
    except (OSError, ValueError) as error:  # Orbax makes a ValueError of a full disk
        raise OSError(
            f"cannot write epoch {measurement.extent} to {writer.directory}, the same command "
            f"continues before it: {error}"
        ) from error


def _check_room(directory: Path, state: MemberState) -> None:
    """Orbax would end with a page of tracebacks."""
    import jax

    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise OSError(
            f"the disk is full, a checkpoint takes {needed / 1e6:.1f} MB and {free / 1e6:.1f} MB "
            f"are free"
        )


def _report(workdir: Path) -> None:
    from experiments.report import write_report

    run = load_run(workdir)
    written = write_report(run, workdir)
    accuracy = run.metrics["test_accuracy"][-1]
    print(
        f"test accuracy after epoch {run.extents[-1]}: {accuracy.mean():.4f} "
        f"(members {accuracy.min():.4f} to {accuracy.max():.4f})"
    )
    for path in written:
        print(f"wrote {path}")


def _describe(config: TrainConfig) -> str:
    return (
        f"{len(config.member_ids)} members of {config.model.value} on {config.dataset}, "
        f"{config.extents[-1]} epochs"
    )


if __name__ == "__main__":
    binary.run(main)

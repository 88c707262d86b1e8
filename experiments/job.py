"""One collection, from its config to a finished run directory; what is finished is never lost."""

from __future__ import annotations

import dataclasses
import functools
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ensemble_jax.data import Dataset, channel_statistics
from ensemble_jax.options import ConvolutionAlgorithm, Precision, Protocol
from ensemble_jax.plan import Plan
from ensemble_jax.runs import (
    DataSummary,
    ExtentRecord,
    Manifest,
    Run,
    RunWriter,
    SplitRecord,
    claim_folder,
    config_differences,
    load_run,
)
from experiments import binary
from experiments.dataset import load_data
from experiments.roster import Roster, make_roster
from experiments.train_config import TrainConfig

if TYPE_CHECKING:
    from ensemble_jax.collection import Placement
    from ensemble_jax.evaluation import Evaluations
    from ensemble_jax.models import Network
    from ensemble_jax.training import (
        Checkpoints,
        CollectionTraining,
        Measurement,
        MemberState,
    )

_CHECKPOINTS = "checkpoints"


@dataclasses.dataclass(frozen=True)
class Job:
    """A collection to train.

    Attributes:
        settings: one config for each group of members. They differ in nothing but what may differ
            from member to member, `train_config.PER_MEMBER`.
        effective: what is written as the run's config, and compared when it is continued.
    """

    settings: tuple[TrainConfig, ...]
    effective: Mapping[str, Any]

    @classmethod
    def of(cls, config: TrainConfig) -> Job:
        """One config for all members."""
        return cls((config,), config.effective())

    @property
    def shared(self) -> TrainConfig:
        """A config that is right in everything that all members share."""
        return self.settings[0]

    @property
    def num_members(self) -> int:
        """N."""
        return sum(len(config.member_ids) for config in self.settings)

    def __str__(self) -> str:
        config = self.shared
        return (
            f"{self.num_members} members of {config.model.value} on {config.dataset}, "
            f"{config.extents[-1]} epochs"
        )


def run_job(job: Job, workdir: Path) -> Run:
    """Train, or continue, or say that there is nothing left to do; returns the finished run.

    Raises:
        ValueError: if the folder holds anything but this job, or the data do not fit the config.
        OSError: if it cannot be written; what was finished before stays.
    """
    resumed = (workdir / "run.json").exists()
    if resumed:
        _check_same_config(workdir, job)
        run = load_run(workdir)
        if run.finished:
            print(f"{workdir} is finished: {job}")
            return run
    dataset = load_data(job.shared)
    roster = make_roster(job.settings, dataset)
    for line in roster.remarks:
        print(line)
    binary.use_compilation_cache()
    _train(job, roster, dataset, workdir, resumed)
    return load_run(workdir)


def _train(job: Job, roster: Roster, dataset: Dataset, workdir: Path, resumed: bool) -> None:
    # JAX comes after all that can be answered without it: a wrong option is answered at once.
    import jax

    from ensemble_jax.collection import place, use_all_cores
    from ensemble_jax.evaluation import (
        CollectionEvaluation,
        Evaluations,
        make_evaluator,
        make_predictor,
    )
    from ensemble_jax.training import CollectionTraining, make_member_training, place_examples
    from experiments.planning import plan_of_run, plan_training

    use_all_cores()
    config = job.shared
    make_network = functools.partial(_make_network, config, dataset)
    if resumed:
        _check_same_examples(workdir, dataset)
        writer = RunWriter.open(workdir)
        plan, reason, _ = plan_of_run(writer.manifest.plan)
    else:
        # What the user may have got wrong comes before what takes time.
        make_network(ConvolutionAlgorithm.XLA)
        claim_folder(workdir)
        plan, reason, _ = plan_training(config, dataset, roster.members, make_network)
    placement = place(plan, len(roster.ids), jax.local_devices())
    network = make_network(plan.convolution, plan.precision)
    member_training = make_member_training(
        network, config.optimizer, config.batch_size, plan.passes_per_step
    )
    if not resumed:
        manifest = _make_manifest(job, dataset, roster, plan, placement)
        writer = RunWriter.create(
            workdir, manifest, dataset.splits, roster.training_sets, dataset.probes
        )
    # What Orbax cannot do it raises, and logs the same with its tracebacks.
    logging.getLogger("absl").setLevel(logging.CRITICAL)

    print(f"{job}\nplan: {plan} ({reason})\ncompiling", flush=True)
    examples = {
        name: place_examples(placement, split.inputs, split.labels)
        for name, split in dataset.splits.items()
    }
    training = CollectionTraining(member_training, placement, roster.members, examples["train"])
    probe_inputs = {n: (placement.share(probe.inputs),) for n, probe in dataset.probes.items()}
    evaluation_size = plan.evaluation_batch_size(config.batch_size, config.evaluation_batch_size)
    of_data = (network, dataset.num_classes, evaluation_size)
    variables = training.placed_state_shape.variables
    splits = CollectionEvaluation(make_evaluator(*of_data), placement, variables, examples)
    probes = CollectionEvaluation(make_predictor(*of_data), placement, variables, probe_inputs)
    seconds = training.compile_seconds + splits.compile_seconds + probes.compile_seconds
    print(f"compiled in {seconds:.1f} s", flush=True)

    def evaluate(state: MemberState) -> Evaluations:
        return Evaluations(splits(state.variables), probes(state.variables))

    compiled = _Compiled(training, evaluate, placement)
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    _PROTOCOLS[config.protocol](compiled, roster, config.extents, writer, sizes)


class _Compiled(NamedTuple):
    """The programs of a collection."""

    training: CollectionTraining
    evaluate: Callable[[MemberState], Evaluations]
    placement: Placement


def _train_trajectory(
    compiled: _Compiled,
    roster: Roster,
    wanted: Sequence[int],
    writer: RunWriter,
    split_sizes: Mapping[str, int],
) -> None:
    """One collection, measured at every extent; goes on from its last checkpoint."""
    from ensemble_jax.training import Checkpoints, train
    from experiments.progress import TrainingProgress

    training, evaluate, placement = compiled
    checkpoints = Checkpoints(writer.directory / _CHECKPOINTS)
    try:
        first_epoch, state, extents = _start(wanted, training, checkpoints, placement)
        _check_nothing_lost(writer, [e for e in wanted if e not in extents])
        if writer.extents:
            print(f"continuing {writer.directory} after epoch {first_epoch}", flush=True)
        with TrainingProgress(wanted[-1], first_epoch, roster.ids, split_sizes) as progress:
            train(
                training,
                state,
                first_epoch=first_epoch,
                extents=extents,
                evaluate=evaluate,
                to_host=placement.gather,
                write=lambda measurement: _write(measurement, writer, checkpoints),
                observer=progress,
            )
    finally:
        checkpoints.close()


def _train_independent(
    compiled: _Compiled,
    roster: Roster,
    wanted: Sequence[int],
    writer: RunWriter,
    split_sizes: Mapping[str, int],
) -> None:
    """For each extent a collection of its own; goes on with the first that is not finished."""
    from ensemble_jax.training import independent_seeds, train
    from experiments.progress import TrainingProgress

    training, evaluate, placement = compiled
    missing = [extent for extent in wanted if extent not in writer.extents]
    done = sum(wanted) - sum(missing)
    if len(missing) < len(wanted):
        print(f"continuing {writer.directory} with the collection of {missing[0]} epochs")
    with TrainingProgress(sum(wanted), done, roster.ids, split_sizes) as progress:
        for extent in missing:
            progress.begin_collection()
            seeds = independent_seeds(np.asarray(roster.members.seed), extent)
            fresh = training.of(roster.members._replace(seed=seeds))
            train(
                fresh,
                fresh.init(),
                first_epoch=0,
                extents=[extent],
                evaluate=evaluate,
                to_host=placement.gather,
                write=lambda measurement: _write(measurement, writer, None),
                observer=progress,
            )


_PROTOCOLS = {
    Protocol.TRAJECTORY: _train_trajectory,
    Protocol.INDEPENDENT: _train_independent,
}


def _check_same_config(workdir: Path, job: Job) -> None:
    # A field that the stored config lacks is newer than the run, which was as its default is.
    defaults = TrainConfig().effective()
    known = {name: value for name, value in defaults.items() if name in job.effective}
    stored = {**known, **load_run(workdir).config}
    differences = config_differences(stored, job.effective)
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
    for name, probe in dataset.probes.items():
        if not np.array_equal(run.ids[name], probe.ids):
            raise ValueError(
                f"{workdir} has other examples of the probe {name} than there are now: "
                f"choose another --workdir"
            )


def _make_network(
    config: TrainConfig,
    dataset: Dataset,
    convolution: ConvolutionAlgorithm,
    precision: Precision = Precision.FLOAT32,
) -> Network:
    from ensemble_jax.models import make_network

    if dataset.word_vectors is None:
        mean, deviation = channel_statistics(dataset.train.inputs)
    else:  # the inputs are ids of words, which stay as they are
        mean, deviation = np.zeros(1, np.float32), np.ones(1, np.float32)
    return make_network(
        config.model,
        num_classes=dataset.num_classes,
        input_shape=dataset.input_shape,
        mean=mean,
        deviation=deviation,
        word_vectors=dataset.word_vectors,
        convolution=convolution,
        options=config.architecture_options,
        precision=precision,
    )


def _make_manifest(
    job: Job, dataset: Dataset, roster: Roster, plan: Plan, placement: Placement
) -> Manifest:
    return Manifest(
        config=job.effective,
        data=DataSummary(
            dataset.name,
            dataset.class_names,
            {name: len(split) for name, split in dataset.splits.items()},
            dataset.input_shape,
            {name: len(probe) for name, probe in dataset.probes.items()},
        ),
        members=roster.ids,
        extents=job.shared.extents,
        settings=roster.settings,
        plan=plan.as_plain(),
        protocol=job.shared.protocol.value,
        devices=[str(device) for device in placement.devices],
    )


def _start(
    wanted: Sequence[int],
    training: CollectionTraining,
    checkpoints: Checkpoints,
    placement: Placement,
) -> tuple[int, MemberState, Sequence[int]]:
    """The epochs completed, the state to go on from, and the extents that are still to measure."""
    latest = checkpoints.restore_latest(training.state_shape)
    if latest is None:
        return 0, training.init(), wanted
    completed, state = latest
    return completed, placement.spread(state), [e for e in wanted if e > completed]


def _check_nothing_lost(writer: RunWriter, completed: Sequence[int]) -> None:
    lost = sorted(set(completed) - set(writer.extents))
    if lost:
        raise ValueError(
            f"{writer.directory} lacks the records of the extents {lost}, from before its last "
            f"checkpoint: remove {writer.directory / _CHECKPOINTS} to compute them again"
        )


def _write(measurement: Measurement, writer: RunWriter, checkpoints: Checkpoints | None) -> None:
    """Make an extent permanent: the record first, so that a checkpoint never runs ahead of it."""
    speed = measurement.train_images_per_second
    record = ExtentRecord(
        measurement.extent,
        {
            name: SplitRecord(*split._asdict().values())
            for name, split in measurement.evaluation.splits.items()
        },
        np.asarray(measurement.state.diverged_at),
        float("nan") if speed is None else speed,
        measurement.evaluation.probes,
    )
    try:
        writer.write_extent(record)
        if checkpoints is not None:
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

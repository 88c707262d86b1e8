"""One collection, from its config to a finished run directory; what is finished is never lost."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ensemble_jax.cli.dataset import load_data
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.data import Dataset, channel_statistics
from ensemble_jax.interruption import Deferral
from ensemble_jax.machine import use_compilation_cache
from ensemble_jax.options import (
    ConvolutionAlgorithm,
    Precision,
    Protocol,
    parse_augmentations,
)
from ensemble_jax.processes.group import check_on_its_own
from ensemble_jax.processes.waiting import await_begun
from ensemble_jax.roster import Roster, make_roster
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
    lock_run,
)

if TYPE_CHECKING:
    from ensemble_jax.collection import Placement
    from ensemble_jax.evaluation import Evaluations
    from ensemble_jax.models import Network
    from ensemble_jax.ops import Convolution
    from ensemble_jax.planning import PlanChoice
    from ensemble_jax.training import (
        Checkpoints,
        CollectionTraining,
        Measurement,
        MemberState,
        Progress,
    )

_CHECKPOINTS = "checkpoints"

Lock = Callable[[Path], contextlib.AbstractContextManager[None]]


@dataclasses.dataclass(frozen=True)
class Job:
    """A collection to train.

    Attributes:
        settings: one config for each group of members. They differ in nothing but what may differ
            from member to member, `train_config.PER_MEMBER`.
        effective: what is written as the run's config, and compared when it is continued.
        whole: the run that this is a part of, whose plan it takes; None if it is its own.
        parts: members that further folders of this run hold from its beginning, first and end.
    """

    settings: tuple[TrainConfig, ...]
    effective: Mapping[str, Any]
    whole: Path | None = None
    parts: Sequence[tuple[int, int]] = ()

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


def run_job(job: Job, workdir: Path, lock: Lock = lock_run) -> Run:
    """Train, or continue, or say that there is nothing left to do; returns the finished run.

    It is about the folder's own members: the parts of a run are a job each. A run is also continued
    to other extents than it was begun with, as long as those that are finished stay and the others
    come later.

    Args:
        job: what to train.
        workdir: the folder.
        lock: keeps other processes out, if the caller does not.

    Raises:
        ValueError: if the folder holds anything but this job or another process works on it, or the
            data do not fit the config.
        OSError: if it cannot be written; what was finished before stays.
        Interrupted: if a signal asked for an end; what was finished stays.
    """
    with contextlib.ExitStack() as held:
        resumed = (workdir / "run.json").exists()
        if resumed:
            if (run := _finished_run(workdir, job)) is not None:
                return run
            held.enter_context(lock(workdir))
            # Another process may have gone on with it in between.
            if (run := _finished_run(workdir, job)) is not None:
                return run
            if (run := _without_unfinished(workdir, job)) is not None:
                return run
        dataset = load_data(job.shared)
        roster = make_roster(job.settings, dataset)
        for line in roster.remarks:
            print(line)
        use_compilation_cache()
        _train(job, roster, dataset, workdir, resumed, held, lock)
    return load_run(workdir, own_part=True)


def _finished_run(workdir: Path, job: Job) -> Run | None:
    """The run, if it has all that the job asks for.

    Raises:
        ValueError: if it cannot be continued as this job.
    """
    run = load_run(workdir, own_part=True)
    check_continuable(run, job)
    if not has_all(run, job):
        return None
    print(f"{workdir} is finished: {job}")
    return run


def _without_unfinished(workdir: Path, job: Job) -> Run | None:
    """The run without its unfinished extents, if these are all that the job does not ask for."""
    if not set(job.shared.extents) <= set(load_run(workdir, own_part=True).extents):
        return None
    RunWriter.open(workdir).ask_for(job.shared.extents)
    return load_run(workdir, own_part=True)


def check_continuable(run: Run, job: Job) -> None:
    """See that a run can be continued as this job.

    Raises:
        ValueError: if it was begun with another config, or the extents cannot be those of the job.
    """
    _check_same_config(run, job)
    _check_extents(run, job.shared)


def has_all(run: Run, job: Job) -> bool:
    """Whether a run has every extent of the job, and asks for no other."""
    return run.finished and run.extents == tuple(job.shared.extents)


def tell_diverged(run: Run) -> None:
    """Name the members that diverged."""
    if run.diverged:
        members = ", ".join(f"{member} (epoch {epoch})" for member, epoch in run.diverged.items())
        print(
            f"{len(run.diverged)} of {run.manifest.num_members} members diverged and are left out "
            f"of the scores: {members}"
        )


def _train(
    job: Job,
    roster: Roster,
    dataset: Dataset,
    workdir: Path,
    resumed: bool,
    held: contextlib.ExitStack,
    lock: Lock,
) -> None:
    # JAX comes after all that can be answered without it: a wrong option is answered at once.
    import jax

    from ensemble_jax.collection import place, use_all_cores
    from ensemble_jax.evaluation import (
        CollectionEvaluation,
        Evaluations,
        join_evaluations,
        make_evaluator,
        make_predictor,
    )
    from ensemble_jax.feeding import num_workers, place_splits
    from ensemble_jax.ops import convolution_by_layer, make_augmentation
    from ensemble_jax.planning.of_training import (
        check_plan_request,
        plan_of_run,
        plan_training,
        told_if_out_of_memory,
    )
    from ensemble_jax.training import CollectionTraining, make_member_training

    use_all_cores()
    check_on_its_own()
    config = job.shared
    statistics = input_statistics(dataset, num_workers(config))
    make_network = functools.partial(make_network_of, config, dataset, statistics)
    augment = make_augmentation(parse_augmentations(config.augmentation), dataset.input_shape)
    if resumed:
        _check_same_examples(workdir, dataset)
        writer = RunWriter.open(workdir)
        if list(config.extents) != list(writer.manifest.extents):
            writer.ask_for(config.extents)
        choice = plan_of_run(writer.manifest.plan)
    else:
        # What the user may have got wrong comes before what takes time.
        make_network(ConvolutionAlgorithm.XLA)
        check_plan_request(config)
        claim_folder(workdir)
        held.enter_context(lock(workdir))
        if job.whole is None:
            choice = plan_training(config, dataset, roster.members, make_network, augment)
        else:
            await_begun(job.whole)
            _check_same_examples(job.whole, dataset)
            whole = load_run(job.whole, own_part=True)
            choice = plan_of_run(whole.manifest.plan)
    plan = choice.plan
    placement = place(plan, len(roster.ids), jax.local_devices())
    convolution = convolution_by_layer(plan.convolution, plan.layer_convolutions)
    network = make_network(convolution, plan.precision)
    member_training = make_member_training(
        network, config.optimizer, config.batch_size, plan.passes_per_step, augment
    )
    if not resumed:
        manifest = _make_manifest(job, dataset, roster, choice, placement)
        writer = RunWriter.create(
            workdir, manifest, dataset.splits, roster.training_sets, dataset.probes
        )
    held.enter_context(told_if_out_of_memory(plan, config))
    print(f"{job}\nplan: {plan} ({choice.reason})\ncompiling", flush=True)
    placed = place_splits(config, dataset, plan.pool_images, placement, held)
    training = CollectionTraining(member_training, placement, roster.members, placed.train)
    probe_inputs = {n: (placement.share(probe.inputs),) for n, probe in dataset.probes.items()}
    evaluation_size = plan.evaluation_batch_size(config.batch_size, config.evaluation_batch_size)
    of_data = (network, dataset.num_classes, evaluation_size)
    variables = training.placed_state_shape.variables
    splits = CollectionEvaluation(
        make_evaluator(*of_data), placement, variables, placed.evaluated, join_evaluations
    )
    probes = CollectionEvaluation(make_predictor(*of_data), placement, variables, probe_inputs)
    seconds = training.compile_seconds + splits.compile_seconds + probes.compile_seconds
    print(f"compiled in {seconds:.1f} s", flush=True)

    def evaluate(state: MemberState) -> Evaluations:
        return Evaluations(splits(state.variables), probes(state.variables))

    compiled = _Compiled(training, evaluate, placement)
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    _PROTOCOLS[config.protocol](compiled, roster, config, writer, sizes)


class _Compiled(NamedTuple):
    """The programs of a collection."""

    training: CollectionTraining
    evaluate: Callable[[MemberState], Evaluations]
    placement: Placement


def _loop(compiled: _Compiled, writer: RunWriter) -> Callable[..., Progress]:
    """The host loop, but for the members that it trains and how far."""
    from ensemble_jax.training import train

    return functools.partial(
        train,
        evaluate=compiled.evaluate,
        to_host=compiled.placement.gather,
        write=lambda measurement: _write(measurement, writer),
    )


def _train_trajectory(
    compiled: _Compiled,
    roster: Roster,
    config: TrainConfig,
    writer: RunWriter,
    split_sizes: Mapping[str, int],
) -> None:
    """One collection, measured at every extent; goes on from its last checkpoint."""
    from ensemble_jax.progress import TrainingProgress
    from ensemble_jax.training import Checkpoints, Saving

    training, placement = compiled.training, compiled.placement
    checkpoints = Checkpoints(writer.directory / _CHECKPOINTS)
    saving = Saving(
        lambda pools, state: _save(
            pools, pools // training.num_pools, state, writer.directory, checkpoints
        ),
        config.checkpoint_extents,
        60 * config.checkpoint_minutes or math.inf,
    )
    try:
        missing = [extent for extent in config.extents if extent not in writer.extents]
        start = _start(missing[0], training, writer, checkpoints, placement)
        if writer.extents or start.pool:
            print(f"continuing {writer.directory}{_where(start, training)}", flush=True)
        with (
            Deferral() as deferral,
            TrainingProgress(missing[-1], start.epoch, roster.ids, split_sizes) as progress,
        ):
            reached = _loop(compiled, writer)(
                training,
                start.state,
                first_epoch=start.epoch,
                first_pool=start.pool,
                extents=missing,
                observer=progress,
                saving=saving,
                stop_asked=lambda: deferral.asked,
            )
        deferral.raise_if_asked(_where(reached, training))
    finally:
        checkpoints.close()


def _train_independent(
    compiled: _Compiled,
    roster: Roster,
    config: TrainConfig,
    writer: RunWriter,
    split_sizes: Mapping[str, int],
) -> None:
    """For each extent a collection of its own; goes on with the first that is not finished."""
    from ensemble_jax.progress import TrainingProgress
    from ensemble_jax.training import independent_seeds

    wanted = config.extents
    missing = [extent for extent in wanted if extent not in writer.extents]
    done = sum(wanted) - sum(missing)
    if len(missing) < len(wanted):
        print(f"continuing {writer.directory} with the collection of {missing[0]} epochs")
    with (
        Deferral() as deferral,
        TrainingProgress(sum(wanted), done, roster.ids, split_sizes) as progress,
    ):
        for extent in missing:
            if deferral.asked:
                break
            progress.begin_collection()
            seeds = independent_seeds(np.asarray(roster.members.seed), extent)
            fresh = compiled.training.of(roster.members._replace(seed=seeds))
            _loop(compiled, writer)(
                fresh,
                fresh.init(),
                first_epoch=0,
                extents=[extent],
                observer=progress,
                stop_asked=lambda: deferral.asked,
            )
    deferral.raise_if_asked(f" with {len(writer.extents)} of {len(wanted)} collections finished")


_PROTOCOLS = {
    Protocol.TRAJECTORY: _train_trajectory,
    Protocol.INDEPENDENT: _train_independent,
}


def _check_same_config(run: Run, job: Job) -> None:
    """The extents may differ."""
    # A field that the stored config lacks is newer than the run, which was as its default is.
    defaults = TrainConfig().effective()
    known = {name: value for name, value in defaults.items() if name in job.effective}
    stored = {**known, **run.config, "extents": job.effective["extents"]}
    differences = config_differences(stored, job.effective)
    if differences:
        raise ValueError(
            f"{run.directory} holds a run with another config, continue it with its own or choose "
            f"another --workdir; stored -> wanted: {'; '.join(differences)}"
        )


def _check_extents(run: Run, config: TrainConfig) -> None:
    """Extents can be added after the finished ones, where each is a training of its own anywhere.

    Those that are asked for but not finished can be left out again.
    """
    finished, wanted = run.extents, config.extents
    after = max(finished, default=-1)
    anywhere = config.protocol is Protocol.INDEPENDENT
    too_early = [e for e in wanted if e not in run.manifest.extents and e <= after and not anywhere]
    dropped = [e for e in finished if e not in wanted]
    if too_early or dropped:
        rule = "anywhere" if anywhere else f"after {after}"
        raise ValueError(
            f"{run.directory} is continued only with extents that hold the finished ones, "
            f"{list(finished)}, and new ones {rule}, got {list(wanted)}: choose another --workdir"
        )


def _check_same_examples(workdir: Path, dataset: Dataset) -> None:
    run = load_run(workdir, own_part=True)
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


def input_statistics(dataset: Dataset, max_threads: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean and deviation by which inputs are normalised."""
    if dataset.word_vectors is not None:  # the inputs are ids of words, which stay as they are
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    return channel_statistics(dataset.train.inputs, max_threads)


def make_network_of(
    config: TrainConfig,
    dataset: Dataset,
    statistics: tuple[np.ndarray, np.ndarray],
    convolution: ConvolutionAlgorithm | Convolution,
    precision: Precision = Precision.FLOAT32,
) -> Network:
    """The network of one member of a config, for the examples of its data set."""
    from ensemble_jax.models import make_network

    mean, deviation = statistics
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
    job: Job, dataset: Dataset, roster: Roster, choice: PlanChoice, placement: Placement
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
        plan=choice.plan.as_plain(),
        plan_reason=choice.reason,
        protocol=job.shared.protocol.value,
        devices=[str(device) for device in placement.devices],
        parts=job.parts,
    )


def _start(
    missing: int,
    training: CollectionTraining,
    writer: RunWriter,
    checkpoints: Checkpoints,
    placement: Placement,
) -> Progress:
    """Where to go on from, before the first missing extent; checkpoints are named by pools."""
    from ensemble_jax.training import Progress

    first_too_late = missing * training.num_pools
    if checkpoints.epochs and min(checkpoints.epochs) >= first_too_late:
        raise ValueError(
            f"{writer.directory} lacks the record of the extent {missing}, from before its "
            f"checkpoints: remove {writer.directory / _CHECKPOINTS} to train again from the start"
        )
    latest = checkpoints.restore_latest(training.state_shape, up_to=first_too_late - 1)
    if latest is None:
        return Progress(0, training.init())
    done, state = latest
    epoch, pool = divmod(done, training.num_pools)
    return Progress(epoch, placement.spread(state), pool)


def _where(progress: Progress, training: CollectionTraining) -> str:
    """How far a training came, for a message."""
    pools = f" and {progress.pool} of {training.num_pools} pools" if progress.pool else ""
    return f" after epoch {progress.epoch}{pools}"


@contextlib.contextmanager
def _told(epoch: int, directory: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # Orbax makes a ValueError of a full disk
        raise OSError(
            f"cannot write epoch {epoch} to {directory}, the same command continues before it: "
            f"{error}"
        ) from error


def _write(measurement: Measurement, writer: RunWriter) -> None:
    """Make an extent permanent."""
    speed = measurement.train_images_per_second
    record = ExtentRecord(
        measurement.extent,
        {
            name: SplitRecord(*split._asdict().values())
            for name, split in measurement.evaluation.splits.items()
        },
        np.asarray(measurement.diverged_at),
        float("nan") if speed is None else speed,
        measurement.evaluation.probes,
    )
    with _told(measurement.extent, writer.directory):
        writer.write_extent(record)


def _save(
    pools: int, epoch: int, state: MemberState, directory: Path, checkpoints: Checkpoints
) -> None:
    """Make a checkpoint permanent."""
    with _told(epoch, directory):
        _check_room(directory, state)
        checkpoints.save(pools, state)


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

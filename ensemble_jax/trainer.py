"""Training a collection: from a network, data and members to a finished run directory.

`train` is the one verb. What is finished is never lost: the same call continues a run that was
interrupted, to the same bits as if it had not been.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import tempfile
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble_jax.data import Dataset
from ensemble_jax.extent import Evaluations
from ensemble_jax.machine import use_compilation_cache
from ensemble_jax.membership import Members, TrainedOn, on_dataset
from ensemble_jax.numerics import PRNG, own_jax_options, unusual_options
from ensemble_jax.options import AUTO_PRECISION, RECORD, Quantity, recorded_of_sets
from ensemble_jax.resuming import (
    check_continuable,
    check_same_examples,
    has_all,
)
from ensemble_jax.runs import (
    DataSummary,
    Manifest,
    Run,
    RunWriter,
    claim_folder,
    describe_records,
    load_run,
    lock_run,
)
from ensemble_jax.runs.parts import read_part
from ensemble_jax.task import Training, make_training

if TYPE_CHECKING:
    from ensemble_jax.collection import Placement
    from ensemble_jax.kit import Kit
    from ensemble_jax.launch.rank import Rank
    from ensemble_jax.losses import Loss
    from ensemble_jax.planning import PlanChoice
    from ensemble_jax.training import (
        MemberState,
        Observer,
    )


Lock = Callable[[Path], contextlib.AbstractContextManager[None]]


def train(
    network: Any,
    data: Dataset | str,
    *,
    members: Members | int = 20,
    optimizer: Any = "adam",
    loss: Loss | None = None,
    batch_size: int = 100,
    extents: Sequence[int] = (0, 1, 2, 5, 10),
    augment: Sequence[str] = (),
    record: Sequence[str] = RECORD,
    plan: str = "auto",
    precision: str = AUTO_PRECISION,
    workdir: str | Path | None = None,
    observer: Observer | None = None,
    protocol: str = "trajectory",
    normalise: bool = True,
    evaluation_batch_size: int = 500,
    pool_images: int = 0,
    workers: int = 0,
    checkpoint_extents: int = 1,
    checkpoint_minutes: float = 10.0,
    launcher: Rank | None = None,
) -> Run:
    """Train many networks at once and record what each says of every example.

    The same call with the same `workdir` continues a run that was interrupted, to the same bits;
    with later extents it trains on, and with more members it grows the run.

    Several processes, such as one for each host or GPU, divide the members of one run if each makes
    the same call with its own `launch.Rank` or after `jax.distributed.initialize()`; see
    docs/many_hosts.md.

    Args:
        network: of one member. A `flax.linen` module; a function `rngs -> flax.nnx.Module`; a pure
            pair `Network(init, apply)`; or the name of an architecture of the paper, such as
            `st_vgg`. It maps a batch `[B, ...]` of examples, normalised, to outputs `[B, K]`.
        data: what members are trained and evaluated on, such as `Dataset.from_arrays(...)`; or a
            name that `load_dataset` knows, such as `digits` or `folder:PATH`.
        members: N, or `members(N, seed=0, learning_rate=...)` with what they differ in.
        optimizer: a function of the hyperparameters of a member, `hp -> optax transformation`; a
            transformation; or a name of `options.Optimizer`, which reads `hp.learning_rate`.
        loss: `(outputs [B, K], labels [B]) -> [B]`, of which the mean is minimised; by default
            softmax cross-entropy, smoothed by the hyperparameter `label_smoothing` where members
            have one. With a third argument it is given the hyperparameters, and what is recorded
            is the cross-entropy.
        batch_size: examples per step. The last step of an epoch has those that are left.
        extents: increasing numbers of epochs after which all members are evaluated and recorded; 0
            is at initialisation.
        augment: changes of images before they are trained on: `crop:PIXELS`, `flip`,
            `resized_crop`; each member draws its own.
        record: what each extent keeps of every member and example beside correctness and predicted
            class: any of `label_probability`, `margin`, `loss`, `entropy`, `probabilities` and
            `logits`, see `options.Quantity`. Of all splits and probes, or as `logits:test` of one;
            what needs labels, of splits. `Run.recorded` reads it.
        plan: how members are computed, which changes speed, memory and rounding: `auto` measures,
            `default` does not, `NAME=VALUE,...` forces entries; see `parse_plan_request`.
        precision: how products of layers are rounded: `float32` not at all, `tensorfloat32` (not on
            a CPU) or `bfloat16`, see `options.Precision`; `auto` is what is fast on the device:
            float32, on a GPU tensorfloat32, on a TPU bfloat16. The run records it.
        workdir: the run directory; None for a temporary one that is removed with the run object.
        observer: is told of every epoch and extent; see `training.Observer`.
        protocol: `trajectory` measures one collection at all extents, `independent` trains a fresh
            one for each (Hacohen & Weinshall 2019, Appendix D).
        normalise: whether examples are normalised by the mean and std of the training examples.
        evaluation_batch_size: the most examples of a forward pass in evaluation.
        pool_images: the most images on a device at once; 0 for all, or as many as fit.
        workers: threads that read and decode images; 0 for one per core.
        checkpoint_extents: a checkpoint is due after so many extents, 0 for never.
        checkpoint_minutes: one is also due whenever so many minutes have passed, 0 for never.
        launcher: where the members are trained: None for here, or as one of the processes that
            `jax.distributed` has connected; `launch.Rank(r, P)` for slice r of P of them.

    Returns:
        The finished run. Its `predict` knows the network. By rank the run of this process's own
        members, where the others are not finished yet.

    Raises:
        ValueError: before anything is compiled, naming what was given and what is allowed; or if
            the folder holds anything but this run, or another process works on it.
        OSError: if the folder cannot be written; what was finished before stays.
        Interrupted: if a signal asked for an end; what was finished stays.
    """
    from ensemble_jax.launch.by_rank import train_collection
    from ensemble_jax.launch.rank import jax_rank

    training = make_training(
        network,
        data,
        members=members,
        optimizer=optimizer,
        loss=loss,
        batch_size=batch_size,
        extents=extents,
        augment=augment,
        record=record,
        plan=plan,
        precision=precision,
        observer=observer,
        protocol=protocol,
        normalise=normalise,
        evaluation_batch_size=evaluation_batch_size,
        pool_images=pool_images,
        workers=workers,
        checkpoint_extents=checkpoint_extents,
        checkpoint_minutes=checkpoint_minutes,
    )
    temporary = None
    if workdir is None:
        temporary = tempfile.TemporaryDirectory(prefix="ensemble_jax-", ignore_cleanup_errors=True)
        workdir = Path(temporary.name, "run")
    rank = jax_rank() if launcher is None else launcher
    if temporary is not None and rank.count > 1:
        raise ValueError("workdir must be given, a folder that all processes share")
    run = train_collection(training, Path(workdir), rank).run
    if not isinstance(network, str):
        run = dataclasses.replace(run, network=network)
    if temporary is not None:
        weakref.finalize(run, temporary.cleanup)
    return run


def run_training(training: Training, workdir: Path, lock: Lock = lock_run) -> Run:
    """Train, or continue, or say that there is nothing left to do; returns the finished run.

    It trains the folder's own members only: each part of a run is a training by itself. A run can
    be continued to other extents than those it was begun with, if the finished ones stay and the
    new ones come later.

    Args:
        training: what to train.
        workdir: the folder.
        lock: keeps other processes out, if the caller does not.

    Raises:
        ValueError: if the folder holds anything but this training or another process works on it,
            or the data do not fit.
        OSError: if it cannot be written; what was finished before stays.
        Interrupted: if a signal asked for an end; what was finished stays.
    """
    with contextlib.ExitStack() as held:
        resumed = (workdir / "run.json").exists()
        if resumed:
            if (run := _finished_run(workdir, training)) is not None:
                return run
            held.enter_context(lock(workdir))
            # Another process may have gone on with it in between.
            if (run := _finished_run(workdir, training)) is not None:
                return run
            if (run := _without_unfinished(workdir, training)) is not None:
                return run
        dataset = training.load_data()
        trained_on = on_dataset(training.members, dataset, training.batch_size)
        for line in trained_on.remarks:
            print(line)
        use_compilation_cache()
        _train(training, trained_on, dataset, workdir, resumed, held, lock)
    return load_run(workdir, own_part=True)


def begin_run(training: Training, workdir: Path, lock: Lock = lock_run) -> None:
    """Make the run directory with its plan, and train nothing yet; as `run_training` would.

    Raises:
        ValueError, OSError: as `run_training` does.
    """
    with contextlib.ExitStack() as held:
        dataset = training.load_data()
        trained_on = on_dataset(training.members, dataset, training.batch_size)
        use_compilation_cache()
        kit = _make_kit(training, dataset, held)
        _create(training, trained_on, dataset, kit, workdir, held, lock)


def _finished_run(workdir: Path, training: Training) -> Run | None:
    """The run, if it has all that is asked for.

    Raises:
        ValueError: if it cannot be continued as this training.
    """
    run = load_run(workdir, own_part=True)
    check_continuable(run, training)
    if not has_all(run, training):
        return None
    print(f"{workdir} is finished: {training}")
    return run


def _without_unfinished(workdir: Path, training: Training) -> Run | None:
    """Drop the unfinished extents and return the run, if all that is asked for is finished."""
    if not set(training.extents) <= set(load_run(workdir, own_part=True).extents):
        return None
    RunWriter.open(workdir).ask_for(training.extents)
    return load_run(workdir, own_part=True)


def tell_diverged(run: Run) -> None:
    """Name the members that diverged."""
    if run.diverged:
        members = ", ".join(f"{member} (epoch {epoch})" for member, epoch in run.diverged.items())
        print(
            f"{len(run.diverged)} of {run.manifest.num_members} members diverged and are left out "
            f"of the scores: {members}"
        )


def _train(
    training: Training,
    trained_on: TrainedOn,
    dataset: Dataset,
    workdir: Path,
    resumed: bool,
    held: contextlib.ExitStack,
    lock: Lock,
) -> None:
    # JAX is imported late, so that a wrong option is answered at once.
    import jax

    from ensemble_jax.collection import place
    from ensemble_jax.evaluation import (
        CollectionEvaluation,
        join_evaluations,
        make_evaluator,
        make_predictor,
    )
    from ensemble_jax.feeding import place_splits
    from ensemble_jax.ops import CONVOLUTIONS
    from ensemble_jax.planning.of_training import plan_of_run, told_if_out_of_memory
    from ensemble_jax.protocols import Compiled, train_by_protocol
    from ensemble_jax.training import CollectionTraining, make_member_training

    kit = _make_kit(training, dataset, held)
    if resumed:
        check_same_examples(workdir, dataset)
        print(dataset.summary(), flush=True)
        writer = RunWriter.open(workdir)
        if different := writer.note_continuation(unusual_options()):
            warnings.warn(
                f"{workdir} is continued with other software than before, which may round "
                f"differently: {'; '.join(different)}",
                stacklevel=2,
            )
        if list(training.extents) != list(writer.manifest.extents):
            writer.ask_for(training.extents)
        if "record" not in writer.manifest.config:
            print(f"{workdir} is of an older version: it goes on to record predictions alone")
        choice = plan_of_run(writer.manifest.plan)
    else:
        writer, choice = _create(training, trained_on, dataset, kit, workdir, held, lock)
    plan = choice.plan
    placement = place(plan, len(training.members), jax.local_devices())
    recipe = kit.recipe(CONVOLUTIONS[plan.convolution], plan.precision, plan.microbatches)
    held.enter_context(told_if_out_of_memory(plan, training))
    print(f"{training}\nplan: {plan} ({choice.reason})", flush=True)
    print(f"records: {describe_records(writer.manifest)}\ncompiling", flush=True)
    placed = place_splits(training, dataset, plan.pool_images, placement, held)
    collection = CollectionTraining(
        make_member_training(recipe), placement, trained_on.members, placed.train
    )
    probe_inputs = {n: (placement.share(probe.inputs),) for n, probe in dataset.probes.items()}
    evaluation_size = plan.evaluation_batch_size(
        training.batch_size, training.evaluation_batch_size
    )
    of_data = (recipe.network, dataset.num_classes, evaluation_size)
    variables = collection.placed_state_shape.variables

    def of_sets(make, sets):
        """The evaluator of each set; those that record the same share one."""
        of_quantities = functools.cache(make)
        recorded = writer.manifest.recorded
        return {
            n: of_quantities(quantities=tuple(map(Quantity, recorded.get(n, ())))) for n in sets
        }

    # Members may smooth their train labels. The recorded loss is by the labels as they are.
    evaluator_of = functools.partial(make_evaluator, *of_data, kit.recorded_loss)
    splits = CollectionEvaluation(
        of_sets(evaluator_of, placed.evaluated),
        placement,
        variables,
        placed.evaluated,
        join_evaluations,
    )
    predictors = of_sets(functools.partial(make_predictor, *of_data), probe_inputs)
    probes = CollectionEvaluation(predictors, placement, variables, probe_inputs)
    seconds = collection.compile_seconds + splits.compile_seconds + probes.compile_seconds
    print(f"compiled in {seconds:.1f} s", flush=True)

    def evaluate(state: MemberState) -> Evaluations:
        return Evaluations(splits(state.variables), probes(state.variables))

    speed = choice.images_per_second
    if resumed and len(known := load_run(workdir, own_part=True).train_images_per_second):
        speed = known[-1]
    compiled = Compiled(collection, evaluate, placement, trained_on, speed)
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    train_by_protocol(compiled, training, writer, sizes)


def _make_kit(training: Training, dataset: Dataset, held: contextlib.ExitStack) -> Kit:
    """What the programs are made of; JAX and its devices are ready then."""
    from ensemble_jax.collection import use_all_cores
    from ensemble_jax.kit import make_kit

    use_all_cores()
    _check_devices()
    held.enter_context(own_jax_options())
    return make_kit(training, dataset)


def _check_devices() -> None:
    """See that JAX finds devices.

    Raises:
        ValueError: if it does not.
    """
    import jax

    try:
        jax.local_devices()
    except (RuntimeError, AssertionError) as error:  # JAX's own, of which the second says nothing
        platforms = os.environ.get("JAX_PLATFORMS", "")
        raise ValueError(
            f"JAX has no devices here with JAX_PLATFORMS={platforms!r}: name a platform that this "
            f"machine has, such as cpu, or leave it out"
        ) from error


def _create(
    training: Training,
    trained_on: TrainedOn,
    dataset: Dataset,
    kit: Kit,
    workdir: Path,
    held: contextlib.ExitStack,
    lock: Lock,
) -> tuple[RunWriter, PlanChoice]:
    """Make the folder of a new run, with its plan; it is locked from then on."""
    import jax

    from ensemble_jax.collection import place
    from ensemble_jax.planning.of_training import (
        check_member_fits,
        check_plan_request,
        plan_of_run,
        plan_training,
    )

    # Mistakes of the user are found before anything that takes time.
    for line in kit.check(training, dataset, trained_on):
        print(line)
    asked = recorded_of_sets(training.record, dataset.splits, dataset.probes)
    recorded = {name: [q.value for q in some] for name, some in asked.items() if some}
    check_plan_request(training)
    check_member_fits(training, dataset, kit)
    claim_folder(workdir)
    held.enter_context(lock(workdir))
    print(dataset.summary(), flush=True)
    if training.whole is None:
        choice = plan_training(training, dataset, trained_on.members, kit)
    else:
        check_same_examples(training.whole, dataset)
        whole = read_part(training.whole).manifest
        choice = plan_of_run(whole.plan)
        recorded = whole.recorded
    placement = place(choice.plan, len(training.members), jax.local_devices())
    manifest = _make_manifest(training, dataset, kit, choice, placement, recorded)
    writer = RunWriter.create(
        workdir, manifest, dataset.splits, trained_on.training_sets, dataset.probes
    )
    return writer, choice


def _make_manifest(
    training: Training,
    dataset: Dataset,
    kit: Kit,
    choice: PlanChoice,
    placement: Placement,
    recorded: Mapping[str, Sequence[str]],
) -> Manifest:
    return Manifest(
        config=training.config,
        data=DataSummary(
            dataset.name,
            dataset.class_names,
            {name: len(split) for name, split in dataset.splits.items()},
            dataset.input_shape,
            {name: len(probe) for name, probe in dataset.probes.items()},
        ),
        members=training.members.ids,
        extents=training.extents,
        hyperparameters=training.members.recorded_values,
        plan=choice.plan.as_plain(),
        plan_reason=choice.reason,
        protocol=training.protocol.value,
        devices=[str(device) for device in placement.devices],
        parts=training.parts,
        normalisation={"mean": kit.mean, "std": kit.std},
        inputs=dataset.digests,
        prng=PRNG,
        environment=unusual_options(),
        recorded=recorded,
    )

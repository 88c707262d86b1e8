"""Training a collection: from a network, data and members to a finished run directory.

`train` is the one verb. What is finished is never lost: the same call continues a run that was
interrupted, to the same bits as if it had not been.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from ensemble_jax.data import Dataset, channel_statistics
from ensemble_jax.describing import describe
from ensemble_jax.interruption import Deferral
from ensemble_jax.machine import num_cores, use_compilation_cache
from ensemble_jax.membership import Members, TrainedOn, on_dataset
from ensemble_jax.membership import members as make_members
from ensemble_jax.options import Model, Precision, Protocol, parse_augmentations
from ensemble_jax.plan import parse_plan_request
from ensemble_jax.resuming import (
    check_continuable,
    check_same_examples,
    has_all,
    save_checkpoint,
    start_of,
    told,
    where,
)
from ensemble_jax.runs import (
    DataSummary,
    ExtentRecord,
    Manifest,
    Run,
    RunWriter,
    SplitRecord,
    claim_folder,
    load_run,
    lock_run,
)
from ensemble_jax.runs.layout import CHECKPOINTS

if TYPE_CHECKING:
    from ensemble_jax.collection import Placement
    from ensemble_jax.evaluation import Evaluations
    from ensemble_jax.losses import Loss
    from ensemble_jax.networks import Network
    from ensemble_jax.ops import Convolution
    from ensemble_jax.optimizers import OptimizerFactory
    from ensemble_jax.planning import PlanChoice
    from ensemble_jax.training import (
        CollectionTraining,
        Measurement,
        MemberState,
        Observer,
        Progress,
        Recipe,
    )


Lock = Callable[[Path], contextlib.AbstractContextManager[None]]


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """A collection to train: what `train` takes, checked and complete.

    Attributes:
        name: of what is trained, for messages.
        make_network: the network of one member for the examples of a data set.
        load_data: the data set, which is loaded when it is needed.
        members: all N.
        optimizer: from hyperparameters to an optax transformation.
        loss: of examples.
        batch_size: examples per step.
        extents: the numbers of epochs after which all members are evaluated and recorded.
        config: what is written with the run, and compared when it is continued; its `members` and
            `num_members` are those of `members`.
        augmentation: as `parse_augmentations` reads it.
        protocol: one collection measured at all extents, or one for each.
        plan: as `parse_plan_request` reads it.
        evaluation_batch_size: the most examples of a forward pass in evaluation.
        normalise: whether inputs are normalised by the mean and std of the training examples.
        pool_images: the most images on a device at once, 0 for as many as fit.
        workers: threads that read and decode images, at least 1.
        checkpoint_extents: a checkpoint is due after so many extents, 0 for never.
        checkpoint_minutes: and after so many minutes, 0 for never.
        observer: is told of progress beside the progress bar; None for nobody.
        defaults: what a field of the config was in runs whose config lacks it.
        whole: the run that this is a part of, whose plan it takes; None if it is its own.
        parts: members that further folders of this run hold from its beginning, first and end.
    """

    name: str
    make_network: Callable[[Dataset], Network]
    load_data: Callable[[], Dataset]
    members: Members
    optimizer: OptimizerFactory
    loss: Loss
    batch_size: int
    extents: tuple[int, ...]
    config: Mapping[str, Any]
    augmentation: tuple[str, ...] = ()
    protocol: Protocol = Protocol.TRAJECTORY
    plan: str = "auto"
    evaluation_batch_size: int = 500
    normalise: bool = True
    pool_images: int = 0
    workers: int = dataclasses.field(default_factory=num_cores)
    checkpoint_extents: int = 1
    checkpoint_minutes: float = 10.0
    observer: Observer | None = None
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    whole: Path | None = None
    parts: Sequence[tuple[int, int]] = ()

    def of_members(self, ids: range) -> Training:
        """The training of some of the members alone."""
        config = {**self.config, "members": list(ids), "num_members": len(ids)}
        return dataclasses.replace(self, members=self.members.of_ids(ids), config=config)

    @property
    def depends_on_end(self) -> bool:
        """Whether the optimizer reads how many steps there are in all, as some schedules do."""
        from ensemble_jax.collection import use_all_cores
        from ensemble_jax.hyperparameters import Hyperparameters

        use_all_cores()  # before the optimizer makes arrays
        values = {name: x[0] for name, x in self.members.hyperparameters.items()}
        hp = Hyperparameters(values, num_steps=1, steps_per_epoch=1)
        self.optimizer(hp)
        return "num_steps" in hp.read

    def __str__(self) -> str:
        return f"{len(self.members)} members of {self.name}, {self.extents[-1]} epochs"


def train(
    network: Any,
    data: Dataset,
    *,
    members: Members | int = 20,
    optimizer: Any = "adam",
    loss: Loss | None = None,
    batch_size: int = 100,
    extents: Sequence[int] = (0, 1, 2, 5, 10),
    augment: Sequence[str] = (),
    plan: str = "auto",
    workdir: str | Path | None = None,
    observer: Observer | None = None,
    protocol: str = "trajectory",
    normalise: bool = True,
    evaluation_batch_size: int = 500,
    pool_images: int = 0,
    workers: int = 0,
    checkpoint_extents: int = 1,
    checkpoint_minutes: float = 10.0,
) -> Run:
    """Train many networks at once and record what each says of every example.

    The same call with the same `workdir` continues a run that was interrupted, to the same bits;
    with later extents it trains on, and with more members it grows the run.

    Args:
        network: of one member. A `flax.linen` module; a function `rngs -> flax.nnx.Module`; a pure
            pair `Network(init, apply)`; or the name of an architecture of the paper, such as
            `st_vgg`. It maps a batch `[B, ...]` of examples, normalised, to outputs `[B, K]`.
        data: what members are trained and evaluated on, such as `Dataset.from_arrays(...)` or
            `load_dataset("cifar10")`.
        members: N, or `members(N, seed=0, learning_rate=...)` with what they differ in.
        optimizer: a function of the hyperparameters of a member, `hp -> optax transformation`; a
            transformation; or a name of `options.Optimizer`, which reads `hp.learning_rate`.
        loss: `(outputs [B, K], labels [B]) -> [B]`, of which the mean is minimised; softmax
            cross-entropy by default. With a third argument it is given the hyperparameters.
        batch_size: examples per step. The last step of an epoch has those that are left.
        extents: increasing numbers of epochs after which all members are evaluated and recorded; 0
            is at initialisation.
        augment: changes of images before they are trained on: `crop:PIXELS`, `flip`,
            `resized_crop`; each member draws its own.
        plan: how members are computed, which changes speed, memory and rounding: `auto` measures,
            `default` does not, `NAME=VALUE,...` forces entries; see `parse_plan_request`.
        workdir: the run directory; None for a temporary one that is removed with the run object.
        observer: is told of every epoch and extent; see `training.Observer`.
        protocol: `trajectory` measures one collection at all extents, `independent` trains a fresh
            one for each (Hacohen & Weinshall 2019, Appendix D).
        normalise: whether examples are normalised by the mean and std of the training examples.
        evaluation_batch_size: the most examples of a forward pass in evaluation.
        pool_images: the most images on a device at once; 0 for all, or as many as fit.
        workers: threads that read and decode images; 0 for one per core.
        checkpoint_extents: a checkpoint is due after so many extents, 0 for never.
        checkpoint_minutes: and whenever so many minutes have passed, 0 for never.

    Returns:
        The finished run, whose `predict` needs no further words.

    Raises:
        ValueError: before anything is compiled, naming what was given and what is allowed; or if
            the folder holds anything but this run, or another process works on it.
        OSError: if the folder cannot be written; what was finished before stays.
        Interrupted: if a signal asked for an end; what was finished stays.
    """
    from ensemble_jax.processes.group import Alone
    from ensemble_jax.processes.parts import train_collection

    training = make_training(
        network,
        data,
        members=members,
        optimizer=optimizer,
        loss=loss,
        batch_size=batch_size,
        extents=extents,
        augmentation=tuple(augment),
        plan=plan,
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
    run = train_collection(training, Path(workdir), Alone())
    assert run is not None
    if not isinstance(network, str):
        run = dataclasses.replace(run, network=network)
    if temporary is not None:
        weakref.finalize(run, temporary.cleanup)
    return run


def make_training(
    network: Any,
    data: Dataset | Callable[[], Dataset],
    *,
    members: Members | int,
    optimizer: Any,
    loss: Loss | None,
    batch_size: int,
    extents: Sequence[int],
    augmentation: tuple[str, ...],
    plan: str,
    observer: Observer | None,
    protocol: str,
    normalise: bool,
    evaluation_batch_size: int,
    pool_images: int,
    workers: int,
    checkpoint_extents: int,
    checkpoint_minutes: float,
) -> Training:
    """What `train` takes, checked and complete.

    Raises:
        ValueError: naming what was given and what is allowed.
    """
    from ensemble_jax.losses import check_loss, cross_entropy
    from ensemble_jax.optimizers import as_optimizer

    if not isinstance(members, Members):
        members = make_members(members, learning_rate=1e-3)
    loss = loss or cross_entropy
    check_loss(loss)
    _check_extents(extents)
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("evaluation_batch_size", evaluation_batch_size, 1),
        ("pool_images", pool_images, 0),
        ("workers", workers, 0),
        ("checkpoint_extents", checkpoint_extents, 0),
        ("checkpoint_minutes", checkpoint_minutes, 0),
    ):
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    parse_plan_request(plan)
    parse_augmentations(augmentation)
    protocols = [known.value for known in Protocol]
    if protocol not in protocols:
        raise ValueError(f"protocol must be one of {', '.join(protocols)}, got {protocol!r}")
    load_data = _check_data(data)
    config = {
        "network": describe(network),
        "dataset": data.name if isinstance(data, Dataset) else describe(data),
        "optimizer": describe(optimizer),
        "loss": describe(loss),
        "batch_size": batch_size,
        "extents": list(extents),
        "augmentation": list(augmentation),
        "plan": plan,
        "protocol": protocol,
        "normalise": normalise,
        "pool_images": pool_images,
        "evaluation_batch_size": evaluation_batch_size,
        "hyperparameters": sorted(members.hyperparameters),
        "partitions": members.partitions,
        "subset_fraction": members.subset_fraction,
        "members": list(members.ids),
        "num_members": len(members),
    }
    return Training(
        f"{describe(network)} on {config['dataset']}",
        functools.partial(network_for, network),
        load_data,
        members,
        as_optimizer(optimizer),
        loss,
        batch_size,
        tuple(extents),
        config,
        augmentation,
        Protocol(protocol),
        plan,
        evaluation_batch_size,
        normalise,
        pool_images,
        workers or num_cores(),
        checkpoint_extents,
        checkpoint_minutes,
        observer,
    )


def _check_data(data):
    if isinstance(data, Dataset):
        return lambda: data
    if not callable(data):
        raise ValueError(
            f"data must be a Dataset, such as Dataset.from_arrays(...) or load_dataset(name), "
            f"got {type(data).__name__}"
        )
    return data


def _check_extents(extents):
    if any(isinstance(e, bool) or not isinstance(e, int | np.integer) or e < 0 for e in extents):
        raise ValueError(f"extents must be numbers of epochs of at least 0, got {list(extents)}")
    if len(extents) == 0 or list(extents) != sorted(set(extents)):
        raise ValueError(f"extents must be increasing, got {list(extents)}")


def network_for(network: Any, dataset: Dataset) -> Network:
    """The network that an argument `network` stands for.

    Raises:
        ValueError: if it stands for none, or cannot take the examples of the data set.
    """
    from ensemble_jax.networks import as_network
    from ensemble_jax.zoo import make_architecture

    if isinstance(network, str):
        names = [known.value for known in Model]
        if network not in names:
            raise ValueError(f"network must be one of {', '.join(names)}, got {network!r}")
        network = Model(network)
    if isinstance(network, Model):
        network = make_architecture(
            network, num_classes=dataset.num_classes, input_shape=dataset.input_shape
        )
    return as_network(network)


def run_training(training: Training, workdir: Path, lock: Lock = lock_run) -> Run:
    """Train, or continue, or say that there is nothing left to do; returns the finished run.

    It is about the folder's own members: the parts of a run are a training each. A run is also
    continued to other extents than it was begun with, as long as those that are finished stay and
    the others come later.

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
    """The run without its unfinished extents, if these are all that is not asked for."""
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
    from ensemble_jax.feeding import place_splits
    from ensemble_jax.ops import convolution_by_layer
    from ensemble_jax.planning.of_training import (
        check_plan_request,
        plan_of_run,
        plan_training,
        told_if_out_of_memory,
    )
    from ensemble_jax.processes.group import check_on_its_own
    from ensemble_jax.processes.waiting import await_begun
    from ensemble_jax.training import CollectionTraining, make_member_training

    use_all_cores()
    check_on_its_own()
    kit = make_kit(training, dataset)
    if resumed:
        check_same_examples(workdir, dataset)
        writer = RunWriter.open(workdir)
        if list(training.extents) != list(writer.manifest.extents):
            writer.ask_for(training.extents)
        choice = plan_of_run(writer.manifest.plan)
    else:
        # What the user may have got wrong comes before what takes time.
        for line in kit.check(training, dataset, trained_on):
            print(line)
        check_plan_request(training)
        claim_folder(workdir)
        held.enter_context(lock(workdir))
        if training.whole is None:
            choice = plan_training(training, dataset, trained_on.members, kit)
        else:
            await_begun(training.whole)
            check_same_examples(training.whole, dataset)
            whole = load_run(training.whole, own_part=True)
            choice = plan_of_run(whole.manifest.plan)
    plan = choice.plan
    placement = place(plan, len(training.members), jax.local_devices())
    convolution = convolution_by_layer(plan.convolution, plan.layer_convolutions)
    recipe = kit.recipe(convolution, plan.precision, plan.microbatches)
    if not resumed:
        manifest = _make_manifest(training, dataset, kit, choice, placement)
        writer = RunWriter.create(
            workdir, manifest, dataset.splits, trained_on.training_sets, dataset.probes
        )
    held.enter_context(told_if_out_of_memory(plan, training))
    print(f"{training}\nplan: {plan} ({choice.reason})\ncompiling", flush=True)
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
    # Members may smooth the labels they are taught; what is recorded is the loss by the labels.
    splits = CollectionEvaluation(
        make_evaluator(*of_data, kit.recorded_loss),
        placement,
        variables,
        placed.evaluated,
        join_evaluations,
    )
    probes = CollectionEvaluation(make_predictor(*of_data), placement, variables, probe_inputs)
    seconds = collection.compile_seconds + splits.compile_seconds + probes.compile_seconds
    print(f"compiled in {seconds:.1f} s", flush=True)

    def evaluate(state: MemberState) -> Evaluations:
        return Evaluations(splits(state.variables), probes(state.variables))

    compiled = _Compiled(collection, evaluate, placement, trained_on)
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    _PROTOCOLS[training.protocol](compiled, training, writer, sizes)


class Kit(NamedTuple):
    """What a collection's programs are made of, on a data set.

    Attributes:
        network: of one member; its inputs are prepared.
        mean: subtracted from every example.
        std: what examples are divided by after that.
        word_vectors: of texts; None for everything else.
        recipe_of: the recipe of one member, but for its network and microbatches.
        recorded_loss: what evaluation records.
    """

    network: Network
    mean: np.ndarray
    std: np.ndarray
    word_vectors: np.ndarray | None
    recipe_of: Callable[..., Recipe]
    recorded_loss: Loss

    def member_network(
        self, convolution: Convolution | None, precision: Precision = Precision.FLOAT32
    ) -> Network:
        """The network of a member, which takes examples as they are stored.

        Args:
            convolution: how convolutions are computed; None for JAX's own layers, for shapes alone.
            precision: what layers compute in.
        """
        from ensemble_jax.networks import prepared, with_fast_layers

        network = prepared(
            self.network,
            mean=self.mean,
            std=self.std,
            word_vectors=self.word_vectors,
            precision=precision,
        )
        return network if convolution is None else with_fast_layers(network, convolution)

    def recipe(
        self,
        convolution: Convolution | None,
        precision: Precision = Precision.FLOAT32,
        microbatches: int = 1,
    ) -> Recipe:
        """How one member is trained under a plan."""
        network = self.member_network(convolution, precision)
        return self.recipe_of(network=network, microbatches=microbatches)

    def check(self, training: Training, dataset: Dataset, trained_on: TrainedOn) -> list[str]:
        """See that network, optimizer and loss fit together; what is slow, in lines.

        Nothing is computed.

        Raises:
            ValueError: if outputs are not `[B, K]` or losses not `[B]`.
        """
        import jax

        from ensemble_jax.networks import slow_layers

        batch = jax.ShapeDtypeStruct(
            (training.batch_size, *dataset.input_shape), dataset.train.inputs.dtype
        )
        recipe = self.recipe(None)
        member = jax.tree.map(lambda x: x[0], trained_on.members)
        key = jax.eval_shape(lambda: jax.random.key(0))
        variables = jax.eval_shape(recipe.network.init, key, batch)

        def outputs_of(variables, inputs, key):
            return recipe.network.apply(variables, inputs, key=key, train=True)[0]

        outputs = jax.eval_shape(outputs_of, variables, batch, key)
        wanted = (training.batch_size, dataset.num_classes)
        if getattr(outputs, "shape", None) != wanted:
            raise ValueError(
                f"network must map {list(batch.shape)} to outputs [B, K] = {list(wanted)} for the "
                f"{dataset.num_classes} classes of {dataset.name}, got "
                f"{list(getattr(outputs, 'shape', ())) or type(outputs).__name__}"
            )
        labels = jax.ShapeDtypeStruct((training.batch_size,), np.int32)
        hp = recipe.hyperparameters(member)
        from ensemble_jax.losses import loss_of_member

        losses = jax.eval_shape(loss_of_member(recipe.loss, hp), outputs, labels)
        if getattr(losses, "shape", None) != labels.shape:
            raise ValueError(
                f"loss must return one number for each example, [B] = {list(labels.shape)}, got "
                f"{list(getattr(losses, 'shape', ()))}"
            )
        rule = recipe.optimizer(hp)
        jax.eval_shape(rule.init, variables.params)
        slow = slow_layers(outputs_of, variables, batch, key)
        return [f"computed by XLA's own layers, which are slow here: {', '.join(slow)}"] * bool(
            slow
        )


def make_kit(training: Training, dataset: Dataset) -> Kit:
    """What the programs of a training are made of.

    Raises:
        ValueError: if the network cannot take the examples.
    """
    from ensemble_jax.losses import cross_entropy, smoothed_by_member
    from ensemble_jax.ops import make_augmentation
    from ensemble_jax.training import Recipe

    statistics = input_statistics(dataset, training.workers) if training.normalise else (0.0, 1.0)
    mean, std = (np.asarray(x, np.float32) for x in statistics)
    augmentations = parse_augmentations(training.augmentation)
    steps = -(-training.members.num_examples(len(dataset.train)) // training.batch_size)
    recipe_of = functools.partial(
        Recipe,
        optimizer=training.optimizer,
        loss=training.loss,
        batch_size=training.batch_size,
        num_steps=steps * training.extents[-1],
        steps_per_epoch=steps,
        augment=make_augmentation(augmentations, dataset.input_shape) if augmentations else None,
    )
    smoothed = training.loss is smoothed_by_member
    return Kit(
        training.make_network(dataset),
        mean,
        std,
        dataset.word_vectors,
        recipe_of,
        cross_entropy if smoothed else training.loss,
    )


def input_statistics(
    dataset: Dataset, max_threads: int
) -> tuple[Float32[np.ndarray, ...], Float32[np.ndarray, ...]]:
    """The mean and std by which inputs are normalised; 0 and 1 for texts, ids of words."""
    if dataset.word_vectors is not None:
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    return channel_statistics(dataset.train.inputs, max_threads)


class _Compiled(NamedTuple):
    """The programs of a collection, and its members as arrays."""

    training: CollectionTraining
    evaluate: Callable[[MemberState], Evaluations]
    placement: Placement
    trained_on: TrainedOn


def _loop(compiled: _Compiled, writer: RunWriter) -> Callable[..., Progress]:
    """The host loop, but for the members that it trains and how far."""
    from ensemble_jax.training import train_loop

    return functools.partial(
        train_loop,
        evaluate=compiled.evaluate,
        to_host=compiled.placement.gather,
        write=lambda measurement: _write(measurement, writer),
    )


def _train_trajectory(
    compiled: _Compiled,
    training: Training,
    writer: RunWriter,
    split_sizes: Mapping[str, int],
) -> None:
    """One collection, measured at every extent; goes on from its last checkpoint."""
    from ensemble_jax.progress import TrainingProgress
    from ensemble_jax.training import Checkpoints, Saving

    programs, placement = compiled.training, compiled.placement
    checkpoints = Checkpoints(writer.directory / CHECKPOINTS)
    saving = Saving(
        lambda pools, state: save_checkpoint(
            pools, pools // programs.num_pools, state, writer.directory, checkpoints
        ),
        training.checkpoint_extents,
        60 * training.checkpoint_minutes or math.inf,
    )
    try:
        missing = [extent for extent in training.extents if extent not in writer.extents]
        start = start_of(missing[0], programs, writer, checkpoints, placement)
        if writer.extents or start.pool:
            print(f"continuing {writer.directory}{where(start, programs)}", flush=True)
        with (
            Deferral() as deferral,
            TrainingProgress(
                missing[-1], start.epoch, training.members.ids, split_sizes, training.observer
            ) as progress,
        ):
            reached = _loop(compiled, writer)(
                programs,
                start.state,
                first_epoch=start.epoch,
                first_pool=start.pool,
                extents=missing,
                observer=progress,
                saving=saving,
                stop_asked=lambda: deferral.asked,
            )
        deferral.raise_if_asked(where(reached, programs))
    finally:
        checkpoints.close()


def _train_independent(
    compiled: _Compiled,
    training: Training,
    writer: RunWriter,
    split_sizes: Mapping[str, int],
) -> None:
    """For each extent a collection of its own; goes on with the first that is not finished."""
    from ensemble_jax.progress import TrainingProgress
    from ensemble_jax.training import independent_seeds

    wanted = training.extents
    missing = [extent for extent in wanted if extent not in writer.extents]
    done = sum(wanted) - sum(missing)
    if len(missing) < len(wanted):
        print(f"continuing {writer.directory} with the collection of {missing[0]} epochs")
    members = compiled.trained_on.members
    with (
        Deferral() as deferral,
        TrainingProgress(
            sum(wanted), done, training.members.ids, split_sizes, training.observer
        ) as progress,
    ):
        for extent in missing:
            if deferral.asked:
                break
            progress.begin_collection()
            seeds = independent_seeds(np.asarray(members.seed), extent)
            fresh = compiled.training.of(members._replace(seed=seeds))
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


def _make_manifest(
    training: Training, dataset: Dataset, kit: Kit, choice: PlanChoice, placement: Placement
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
        settings=training.members.settings,
        plan=choice.plan.as_plain(),
        plan_reason=choice.reason,
        protocol=training.protocol.value,
        devices=[str(device) for device in placement.devices],
        parts=training.parts,
        normalisation={"mean": kit.mean, "std": kit.std},
        inputs=dataset.digests,
    )


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
    with told(measurement.extent, writer.directory):
        writer.write_extent(record)

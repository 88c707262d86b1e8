"""The config of a training: its fields, their defaults and what they may be."""

# No `from __future__ import annotations`: command line overrides read the fields' types.
import dataclasses
import enum
import math
import re
import types
from typing import Any, get_args, get_origin

from ensemble_jax.data.probes import parse_probes
from ensemble_jax.data.sources import check_dataset_name, check_word_vectors
from ensemble_jax.options import (
    AUTO_PRECISION,
    RECORD,
    Activation,
    ArchitectureOptions,
    ImageForm,
    Initialiser,
    Model,
    Optimizer,
    Protocol,
    Schedule,
    Source,
    parse_augmentations,
    parse_record,
)
from ensemble_jax.plan import parse_plan_request
from ensemble_jax.runs.manifest import MOST_MEMBERS

_RANGE = re.compile(r"(\d+):(\d+)")
_MOST_SEED = 2**32 - 1
_MOST = 2**31 - 1  # of everything else that is counted: it becomes int32
_MOST_WORKERS = 1024
# What a config file may give where a field is declared with one type.
_ALLOWED_TYPES = {float: (float, int), tuple: (tuple, list)}

PER_MEMBER = (
    "seed",
    "learning_rate",
    "decay_factor",
    "decay_epochs",
    "warmup_epochs",
    "momentum",
    "l2",
    "weight_decay",
    "clip_norm",
    "label_smoothing",
    "dropout_scale",
    "tied",
    "member_label_noise",
)
"""The fields in which members of one collection may differ; the others change shapes or data."""

NOT_OF_THE_RUN = ("data_dir", "workers", "checkpoint_extents", "checkpoint_minutes")
"""The fields that change nothing of what is computed: a run may be continued with others."""


@dataclasses.dataclass
class TrainConfig:
    """What to train. Mutable, because command line overrides are assigned to it.

    Attributes:
        dataset: digits, mnist, fashion_mnist, cifar10, cifar100, a CIFAR-100 superclass such as
            small_mammals, cats_and_dogs, tiny_imagenet, vggface2, imagenet2012, gabor, gabor24,
            gaussian, stackoverflow, npz:PATH, folder:PATH, tsv:PATH or csv:PATH, as `load_dataset`
            has them; with options such as csv:PATH?text=post&label=tag or folder:PATH?size=64.
        classes: names of two or more classes; the others are left out. Label k is the k-th of them.
        train_fraction: the part of the train examples that is kept, for all members the same, drawn
            by the seed within each class; in (0, 1].
        label_noise: the part of the train labels that is replaced by wrong ones, drawn by the seed
            uniformly over the other classes; in [0, 1]. Test labels stay.
        random_labels: replaces all labels, of train and test, by random ones, drawn by the seed
            uniformly over all classes.
        probes: sets without labels, of which only predictions are recorded: noise[:M] (Gaussian, of
            the train images' mean and std), uniform_noise[:M], images:PATH (a folder of
            images, cropped and resized), test_of:DATASET; NAME=... gives one another name.
        data_dir: where tensorflow-datasets has prepared its sets; empty means its own default.
        word_vectors: a file of word vectors in GloVe's text format, for texts (stackoverflow,
            tsv:PATH, csv:PATH) and only for them.
        model: st_vgg, small_st_vgg, linear_st_vgg, mnist_net, fully_connected, vgg16, vgg19,
            alexnet, resnet50, densenet121 or bilstm.
        width: filters of the model's first convolutions, the others in proportion, or units of its
            hidden or recurrent layers; 0, as in the next four, means as published.
        depth: pairs of convolutions of the stripped VGG networks, hidden layers of fully_connected;
            of the others convolutions, blocks or layers of every stage.
        kernel_size: height and width of all kernels of the VGG networks and mnist_net.
        dense: units of the hidden dense layers after convolutions or recurrence.
        growth: filters that each layer of densenet121 adds.
        activation: elu, relu, leaky_relu, gelu, tanh, sigmoid or identity, instead of the model's.
        initialiser: glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform,
            lecun_normal or truncated_normal, instead of the model's.
        linear: identity activations, and average instead of max pooling.
        form: cifar or imagenet, for small or for large images; by default their size decides.
        num_members: N.
        members: a range FIRST:END of member numbers to train instead of 0:num_members, so that a
            collection can be grown or spread over machines and merged.
        extents: the numbers of epochs after which all members are evaluated and recorded; 0 is at
            initialisation.
        record: what each extent keeps of every member and example beside correctness and predicted
            class, in 16 bits: label_probability, margin, loss, entropy and, K numbers each,
            probabilities and logits; of all splits and probes, or as QUANTITY:SET of one.
        batch_size: examples per step.
        evaluation_batch_size: the most examples of a forward pass in evaluation; changes speed and
            memory. Where the plan trains a batch in parts, a part is evaluated at once.
        seed: of the whole run; member i depends on it and on i alone.
        optimizer: sgd, momentum, adam, adadelta, adamw, lion, muon or rmsprop.
        learning_rate: the largest; schedules begin with it, after the warm-up if there is one.
        schedule: step divides the learning rate by `decay_factor` every `decay_epochs` epochs,
            constant keeps it, cosine and linear lower it to 0 at the last extent.
        decay_factor: of the schedule step, at least 1.
        decay_epochs: of the schedule step, the epochs between two decays.
        warmup_epochs: for how many epochs, or what part of one, the learning rate rises linearly
            from 0 at first; 0 for no warm-up.
        momentum: of the optimizer momentum.
        l2: adds l2 * sum(kernel ** 2) to the loss.
        weight_decay: learning_rate * weight_decay * kernel is subtracted from the kernels at every
            step, beside the optimizer's update (decoupled: Loshchilov and Hutter, 2019). 0 is none,
            and with adamw, lion and muon 0.0001.
        clip_norm: gradients of a larger norm, over all parameters together, are scaled down to this
            one; 0 for never.
        label_smoothing: the part of each label, in [0, 1), that is spread evenly over all classes
            in the training loss (Szegedy et al., 2016).
        dropout_scale: multiplies the architecture's dropout rates; 0 switches dropout off.
        augmentation: what is done to images at random before they are trained on, each member
            drawing its own: crop:PIXELS (after a border of so many pixels of the mean), flip (left
            and right), resized_crop (a rectangle of 8 to 100 % of the area, resized).
        tied: the sources of randomness that all members share, of initialisation, order, dropout,
            augmentation, subset and labels; what differs between members comes from the others
            alone.
        partitions: P, into how many parts the training set is split at random; member i is trained
            on part i % P. 0 trains everyone on everything.
        folds: K, of a repeated cross-validation: member i is trained on all but fold i % K, and
            every K members draw folds of their own and hold out every example. 0 for none.
        subset_fraction: the share of the training set that each member is trained on, drawn at
            random for each.
        member_label_noise: the probability with which each train label of a member is replaced by a
            random class, drawn for each member; what is recorded as correct is still measured
            against the data set's labels.
        protocol: trajectory measures one collection at every extent; independent trains a fresh
            collection from scratch for each extent.
        plan: how the members are computed, which changes speed, memory and rounding. auto measures,
            default does not. NAME=VALUE,... forces entries and measures the others:
            num_devices, members_per_call (a number or all; fewer save memory), convolution (xla,
            patches, winograd, direct or, on CPUs with a C compiler, fused), microbatches (parts of
            a batch), after the word default without measuring.
        precision: how products of layers are rounded: float32 (not at all), tensorfloat32 (not on a
            CPU) or bfloat16. auto is what is fast on the device: float32, on a GPU tensorfloat32,
            on a TPU bfloat16.
        pool_images: where the devices do not hold all examples at once, the most images that come
            to them together; two such pools are in memory, and members shuffle within one. 0 for
            all at once, or as many as fit where not all do.
        workers: threads that read and decode images while others are trained on; 0 for one per
            core.
        checkpoint_extents: after every so many extents the state is saved, for an interrupted
            training to go on from; 0 for never.
        checkpoint_minutes: the state is also saved whenever so many minutes have passed, at the end
            of an epoch or of a pool; 0 for never.
    """

    dataset: str = "digits"
    classes: tuple[str, ...] = ()
    train_fraction: float = 1.0
    label_noise: float = 0.0
    random_labels: bool = False
    probes: tuple[str, ...] = ()
    data_dir: str = ""
    word_vectors: str = ""
    model: Model = Model.SMALL_ST_VGG
    width: int = 0
    depth: int = 0
    kernel_size: int = 0
    dense: int = 0
    growth: int = 0
    activation: Activation | None = None
    initialiser: Initialiser | None = None
    linear: bool = False
    form: ImageForm | None = None
    num_members: int = 20
    members: str = ""
    extents: tuple[int, ...] = (0, 1, 2, 5, 10)
    record: tuple[str, ...] = RECORD
    batch_size: int = 100
    evaluation_batch_size: int = 500
    seed: int = 0
    optimizer: Optimizer = Optimizer.SGD
    learning_rate: float = 0.05
    schedule: Schedule = Schedule.STEP
    decay_factor: float = 1.8
    decay_epochs: int = 20
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    l2: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    label_smoothing: float = 0.0
    dropout_scale: float = 1.0
    augmentation: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()
    partitions: int = 0
    folds: int = 0
    subset_fraction: float = 1.0
    member_label_noise: float = 0.0
    protocol: Protocol = Protocol.TRAJECTORY
    plan: str = "auto"
    precision: str = AUTO_PRECISION
    pool_images: int = 0
    workers: int = 0
    checkpoint_extents: int = 1
    checkpoint_minutes: float = 10.0

    @property
    def member_ids(self) -> range:
        """The members to train."""
        if not self.members:
            return range(self.num_members)
        match = _RANGE.fullmatch(self.members)
        if match is None:
            raise ValueError(
                f"members must be a range FIRST:END such as 0:10, got {self.members!r}"
            )
        return range(int(match[1]), int(match[2]))

    @property
    def draws_data(self) -> bool:
        """Whether the data set itself, or how it comes in pools, depends on the seed."""
        views = self.train_fraction < 1 or self.label_noise > 0 or self.random_labels
        return views or self.pool_images > 0

    @property
    def architecture_options(self) -> ArchitectureOptions:
        """What of the model is not as published."""
        return ArchitectureOptions(
            width=self.width or None,
            depth=self.depth or None,
            kernel_size=self.kernel_size or None,
            dense=self.dense or None,
            growth=self.growth or None,
            activation=self.activation,
            initialiser=self.initialiser,
            linear=self.linear,
            form=self.form,
        )

    def validate(self) -> None:
        """Check whatever can be checked without data or devices.

        Raises:
            ValueError: naming the field, its value and what is allowed.
        """
        for field in dataclasses.fields(self):
            _check_type(field, getattr(self, field.name))
        check_dataset_name(self.dataset)
        check_word_vectors(self.dataset, self.word_vectors)
        self._check_views()
        _check_at_least("num_members", self.num_members, 1)
        if not self.member_ids:
            raise ValueError(f"members must hold at least one member, got {self.members!r}")
        _check_at_most("members", self.member_ids[-1], _MOST)
        _check_at_most("num_members", len(self.member_ids), MOST_MEMBERS)
        self._check_extents()
        for name in ("width", "depth", "kernel_size", "dense", "growth"):
            _check_at_least(name, getattr(self, name), 0)
            _check_at_most(name, getattr(self, name), _MOST)
        _ = self.architecture_options  # which checks itself
        _check_at_least("batch_size", self.batch_size, 1)
        _check_at_least("evaluation_batch_size", self.evaluation_batch_size, 1)
        parse_plan_request(self.plan, self.precision)
        parse_augmentations(self.augmentation)
        parse_record(self.record)
        _check_at_least("pool_images", self.pool_images, 0)
        _check_at_most("pool_images", self.pool_images, _MOST)
        _check_at_least("workers", self.workers, 0)
        _check_at_most("workers", self.workers, _MOST_WORKERS)
        _check_at_least("checkpoint_extents", self.checkpoint_extents, 0)
        _check_at_least("checkpoint_minutes", self.checkpoint_minutes, 0)
        if not 0 <= self.seed <= _MOST_SEED:
            raise ValueError(f"seed must lie in 0..{_MOST_SEED}, got {self.seed}")
        self._check_optimization()
        # The largest rate of any architecture is 0.5, and a rate must stay below 1.
        if not 0 <= self.dropout_scale < 2:
            raise ValueError(f"dropout_scale must lie in [0, 2), got {self.dropout_scale}")
        self._check_shares()

    def _check_optimization(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        _check_at_least("decay_factor", self.decay_factor, 1)
        _check_at_least("decay_epochs", self.decay_epochs, 1)
        _check_at_most("decay_epochs", self.decay_epochs, _MOST)
        for name in ("warmup_epochs", "l2", "weight_decay", "clip_norm"):
            _check_at_least(name, getattr(self, name), 0)
        _check_at_most("warmup_epochs", self.warmup_epochs, _MOST)
        if self.schedule in (Schedule.COSINE, Schedule.LINEAR) and self.warmup_epochs:
            last = self.extents[-1]
            if self.warmup_epochs >= last:
                raise ValueError(
                    f"warmup_epochs must be below the last extent, {last}, with schedule "
                    f"{self.schedule.value}, got {self.warmup_epochs}"
                )
        for name in ("momentum", "label_smoothing"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {value}")

    def _check_shares(self) -> None:
        sources = [source.value for source in Source]
        for name in self.tied:
            if name not in sources:
                raise ValueError(f"tied must be of {', '.join(sources)}, got {name!r}")
        _check_at_least("partitions", self.partitions, 0)
        if not 0 < self.subset_fraction <= 1:
            raise ValueError(f"subset_fraction must lie in (0, 1], got {self.subset_fraction}")
        if self.folds < 0 or self.folds == 1:
            raise ValueError(f"folds must be 0 or at least 2, got {self.folds}")
        shares = (self.partitions, self.folds, self.subset_fraction)
        if sum((self.partitions > 0, self.folds > 0, self.subset_fraction != 1)) > 1:
            raise ValueError(
                f"only one of partitions, folds and subset_fraction can say what members are "
                f"trained on, got {shares[0]}, {shares[1]} and {shares[2]}"
            )
        if self.pool_images and shares != (0, 0, 1):
            raise ValueError(
                f"pool_images must be 0 (all examples at once) with partitions, folds or "
                f"subset_fraction, got {self.pool_images}"
            )
        if not 0 <= self.member_label_noise <= 1:
            raise ValueError(
                f"member_label_noise must lie in [0, 1], got {self.member_label_noise}"
            )

    def _check_views(self) -> None:
        if len(self.classes) == 1:
            raise ValueError(f"classes must be at least two, got {self.classes[0]}")
        if not 0 < self.train_fraction <= 1:
            raise ValueError(f"train_fraction must lie in (0, 1], got {self.train_fraction}")
        if not 0 <= self.label_noise <= 1:
            raise ValueError(f"label_noise must lie in [0, 1], got {self.label_noise}")
        if self.label_noise and self.random_labels:
            raise ValueError(
                f"label_noise must be 0 with random_labels, which replace every label, "
                f"got {self.label_noise}"
            )
        parse_probes(self.probes)

    def _check_extents(self) -> None:
        wrong = [e for e in self.extents if not isinstance(e, int) or not 0 <= e <= _MOST]
        if wrong:
            raise ValueError(f"extents must be numbers of epochs in 0..{_MOST}, got {wrong[0]!r}")
        if not self.extents or list(self.extents) != sorted(set(self.extents)):
            raise ValueError(f"extents must be increasing, got {self.extents}")

    def effective(self) -> dict[str, Any]:
        """What is written with the run: plain values, the members spelled out.

        Where a data set lies and when there are checkpoints is left out: it changes no run.
        """
        values = {
            field.name: _plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.name not in NOT_OF_THE_RUN
        }
        return values | {"members": list(self.member_ids), "num_members": len(self.member_ids)}


def _plain(value):
    return value.value if isinstance(value, enum.Enum) else value


def _check_at_least(name, value, least):
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def _check_at_most(name, value, most):
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")


def _check_type(field, value):
    """A config file is Python, so that a field can be given anything."""
    # Of `X | None` the first argument is X.
    optional = isinstance(field.type, types.UnionType)
    kind = get_args(field.type)[0] if optional else field.type
    expected = get_origin(kind) or kind
    if optional and value is None:
        return
    if not isinstance(value, _ALLOWED_TYPES.get(expected, expected)):
        raise ValueError(f"{field.name} must be of type {expected.__name__}, got {value!r}")
    if field.type == tuple[str, ...]:
        for text in value:
            if not isinstance(text, str):
                raise ValueError(f"{field.name} must be texts, got {text!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{field.name} must be finite, got {value}")

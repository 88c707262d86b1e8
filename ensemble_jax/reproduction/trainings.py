"""From a recipe to what is trained here: on the paper's data set, or on what stands in for it."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from ensemble_jax.cli.dataset import load_data
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.data import check_dataset_name
from ensemble_jax.data.folders import resolve_folders
from ensemble_jax.options import Model, Protocol
from ensemble_jax.reproduction.recipes import STAND_INS, Recipe, Scale, StandIn
from ensemble_jax.runs import Run

MODEL_NAMES: Mapping[str, str] = {
    Model.ST_VGG.value: "st-VGG",
    Model.SMALL_ST_VGG.value: "small st-VGG",
    Model.LINEAR_ST_VGG.value: "linear st-VGG",
    Model.MNIST_NET.value: "MNIST network",
    Model.FULLY_CONNECTED.value: "fully connected",
    Model.VGG16.value: "VGG-16",
    Model.VGG19.value: "VGG-19",
    Model.ALEXNET.value: "AlexNet",
    Model.RESNET50.value: "ResNet-50",
    Model.DENSENET121.value: "DenseNet-121",
    Model.BILSTM.value: "BiLSTM",
}
"""The models as the paper writes them."""


@dataclasses.dataclass(frozen=True)
class Sources:
    """What the user has.

    Attributes:
        data_dir: the folder of data sets; empty for the usual one.
        word_vectors: a file of GloVe's vectors, for texts.
        datasets: by the name of a set of the paper, the one to take in its place.
        probes: further ones of the collection of figure 5.
        protocol: how a collection is measured at several extents; the paper's figures have a fresh
            one for each extent.
    """

    data_dir: str = ""
    word_vectors: str = ""
    datasets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    probes: Sequence[str] = ()
    protocol: Protocol = Protocol.TRAJECTORY


@dataclasses.dataclass(frozen=True)
class Training:
    """A collection to be trained, or that has been.

    Attributes:
        name: of its folder.
        config: what is trained.
        in_place_of: the paper's data set, if another one is learned; else empty.
        reason: why another one is learned.
    """

    name: str
    config: TrainConfig
    in_place_of: str = ""
    reason: str = ""

    @property
    def title(self) -> str:
        """What is trained on what, and in place of what."""
        return " ".join(filter(None, (self.subject, self.stand_in_note)))

    @property
    def subject(self) -> str:
        """What is trained on what."""
        return f"{MODEL_NAMES[self.config.model.value]} on {self.set_name}"

    @property
    def stand_in_note(self) -> str:
        """`(in place of CIFAR-10)`; empty where it is the paper's data set that is learned."""
        return f"(in place of {self.in_place_of})" if self.in_place_of else ""

    @property
    def set_name(self) -> str:
        """The data set, with what is peculiar about its examples."""
        config = self.config
        # A path says little more than its end, and is long.
        name = re.sub(r"^(\w+):(?:.*/)?([^/?]+)(\?.*)?$", r"\2", config.dataset)
        if config.classes:
            shown = (
                config.classes if len(config.classes) < 4 else (f"{len(config.classes)} classes",)
            )
            name = f"{', '.join(shown)} of {name}"
        return f"{name}, random labels" if config.random_labels else name


def resolve(
    recipe: Recipe, scale: Scale, sources: Sources, trained: Container[str] = ()
) -> Training:
    """What is trained for a recipe.

    At the paper's scale it is the paper's data set. At the smaller scales it is the stand-in where
    that set cannot be loaded or is too large. A set that the user names is taken at every scale.

    Args:
        recipe: what the paper trains.
        scale: how much.
        sources: what the user has.
        trained: names of collections that exist, so that their data need not be there.

    Raises:
        ValueError: if neither can be loaded, with how to get them.
    """
    training = _resolve(recipe, scale, sources, trained)
    if sources.protocol is Protocol.TRAJECTORY:
        return training
    return dataclasses.replace(training, name=f"{training.name}_{sources.protocol.value}")


def _resolve(recipe: Recipe, scale: Scale, sources: Sources, trained: Container[str]) -> Training:
    """What is trained, by its name in the usual protocol."""
    config = _with_sources(recipe.config(scale), sources)
    wanted = config.dataset
    if recipe.name in trained:
        return Training(recipe.name, config)
    if wanted in sources.datasets:
        given = sources.datasets[wanted]
        config = _with_sources(dataclasses.replace(config, dataset=given, classes=()), sources)
        _check_loads(config, f"--datasets: {wanted}={given}")
        name = f"{_label(given)}_for_{wanted}_{recipe.ending}"
        return Training(name, config, wanted, "as asked for")
    smaller, stand_in = scale is not Scale.PAPER, STAND_INS.get(wanted)
    if recipe.too_large and smaller:
        reason = f"{wanted} is too large for the scale {scale.value}"
    elif (reason := why_absent(config)) is None:
        return Training(recipe.name, config)
    if not smaller or stand_in is None:
        raise ValueError(f"{reason}; --datasets={wanted}=NAME takes another set in its place")
    name = f"{stand_in.label}_{recipe.ending}"
    config = _with_sources(_standing_in(config, stand_in, sources), sources)
    if name not in trained and (absent := why_absent(config)) is not None:
        also = f"; {stand_in.source}" if stand_in.source else ""
        raise ValueError(f"{reason}; {stand_in.dataset}, which would do: {absent}{also}")
    return Training(name, config, wanted, reason)


def check_run(training: Training, run: Run) -> None:
    """Check that a run that lies elsewhere is of the wanted collection.

    Raises:
        ValueError: if its model or data set, or the labels or parts of that, are others.
    """
    stored = run.config
    for field in ("model", "dataset", "classes", "random_labels"):
        wanted = training.config.effective()[field]
        given = stored.get(field, TrainConfig().effective()[field])
        if _comparable(given) != _comparable(wanted):
            raise ValueError(
                f"--runs: {training.name} must have the {field} {wanted}, got {given} in "
                f"{run.directory}"
            )
    if bool(stored.get("partitions")) != bool(training.config.partitions):
        wanted = "some" if training.config.partitions else "no"
        raise ValueError(
            f"--runs: {training.name} must have {wanted} partitions, got "
            f"{stored.get('partitions', 0)} in {run.directory}"
        )


def why_absent(config: TrainConfig) -> str | None:
    """Why the examples of a config cannot be loaded, with how to get them; None if they can."""
    return _why_absent(
        config.dataset, config.classes, tuple(config.probes), config.data_dir, config.word_vectors
    )


@functools.cache
def _why_absent(dataset, classes, probes, data_dir, word_vectors) -> str | None:
    """Found by loading: nothing else knows what a set needs. Decoded ones come from the cache."""
    config = TrainConfig(
        dataset=dataset,
        classes=classes,
        probes=probes,
        data_dir=data_dir,
        word_vectors=word_vectors,
    )
    try:
        load_data(config)
    except (ValueError, ModuleNotFoundError) as error:
        return str(error)
    return None


def _check_loads(config: TrainConfig, option: str) -> None:
    check_dataset_name(config.dataset)
    if (reason := why_absent(config)) is not None:
        raise ValueError(f"{option}: {reason}")


def _with_sources(config: TrainConfig, sources: Sources) -> TrainConfig:
    """Where things lie; word vectors only for texts, more probes only where there are some."""
    of_texts = config.model is Model.BILSTM
    more = [probe for probe in sources.probes if config.probes and probe not in config.probes]
    return dataclasses.replace(
        config,
        probes=(*config.probes, *more),
        protocol=sources.protocol,
        data_dir=sources.data_dir,
        word_vectors=sources.word_vectors if of_texts else "",
    )


def _standing_in(config: TrainConfig, stand_in: StandIn, sources: Sources) -> TrainConfig:
    folder = resolve_folders(sources.data_dir, None).data
    return dataclasses.replace(
        config,
        dataset=stand_in.dataset.replace("DATA_DIR", str(folder)),
        classes=stand_in.classes,
        train_fraction=min(1.0, config.train_fraction * stand_in.fewer),
    )


def _label(dataset: str) -> str:
    """A data set's name as a part of a folder's: of a path its end."""
    end = Path(dataset.partition("?")[0].rpartition(":")[2]).stem or dataset
    return re.sub(r"[^\w.-]+", "_", end)


def _comparable(value):
    return list(value) if isinstance(value, tuple | list) else value

"""The arrays of a run, joined from the folders that hold its members."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float16, Int, Shaped, UInt, UInt8

from ensemble_jax.extent import ExtentRecord
from ensemble_jax.runs.examples import TRAIN, ExampleTable
from ensemble_jax.runs.manifest import Manifest
from ensemble_jax.runs.metrics import metric_names
from ensemble_jax.runs.packing import unpack_correct
from ensemble_jax.runs.parts import Part, joined_training_sets
from ensemble_jax.runs.records import array_specs, assemble_record, recorded_array


@dataclass(frozen=True, eq=False)
class RunArrays:
    """The arrays of a run as it was when it was loaded, joined from its parts.

    Axes are E extents, N members, M examples and K classes, in this order, and no axis is ever
    dropped. N is the same everywhere: the number of `members`, from which those that diverged are
    left out unless they were asked for.

    Arrays are read from the disk whenever a method is called. `extents` of the methods is the
    extents to read, an integer or several; all that are finished when it is left out. Reading a
    large run piecewise keeps the memory small.

    Attributes:
        directory: where the run lies.
        manifest: what the run is; of one of several parts, all together.
        parts: the folders that hold its members.
        extents: the extents that are finished in all parts, ascending.
        members: `[N]`, the ids of the members in the arrays.
        diverged: the epoch in which the loss of a member became non-finite, by the member's id, for
            every member of the run that diverged, whether it is in the arrays or not.
        examples: the labels and ids of the examples, and the truth where it is known.
        network: what was trained, where `train` has just returned the run or a name stands for it.
    """

    directory: Path
    manifest: Manifest
    parts: tuple[Part, ...]
    extents: tuple[int, ...]
    members: Int[np.ndarray, " N"]
    diverged: Mapping[int, int]
    examples: ExampleTable
    network: Any = None

    @property
    def labels(self) -> Mapping[str, Int[np.ndarray, " M"]]:
        """`[M]` int32 by split, the data set's labels, which decide what is correct.

        Members are trained on these or, where they have noisy labels, on their `train_labels`.
        """
        return self.examples.labels

    @property
    def ids(self) -> Mapping[str, Shaped[np.ndarray, " M"]]:
        """`[M]` integers or text by split and probe."""
        return self.examples.ids

    def true_labels(self, split: str) -> Int[np.ndarray, " M"] | None:
        """`[M]` int32, what the examples of a split are, where that may differ from their labels.

        It is what the data set says of them, or what their labels were before `label_noise` or
        `random_labels` replaced some; -1 where nothing is known. Where members have noisy train
        labels of their own (`train_labels`), it is at least the labels of the data set. None where
        there is no other truth than the labels.

        Raises:
            ValueError: if there is no such split.
        """
        known = self.examples.true_labels.get(self._labelled(split))
        if known is None and split == TRAIN and self._have_own_labels:
            return self.labels[split]
        return known

    @property
    def config(self) -> Mapping[str, Any]:
        """The effective config, nested."""
        return self.manifest.config

    @property
    def model(self) -> str:
        """The name of the network: of an architecture, or of one's own class or function."""
        named = self.config.get("model", self.config.get("network", "members"))
        return str(named).partition("(")[0]

    @property
    def finished(self) -> bool:
        """Whether every extent that was asked for is there."""
        return self.extents == tuple(self.manifest.extents)

    @property
    def num_classes(self) -> int:
        """K."""
        return self.manifest.data.num_classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name for each label, in the order of the labels."""
        return tuple(self.manifest.data.class_names)

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, whose examples have labels."""
        return tuple(self.manifest.data.split_sizes)

    @property
    def probes(self) -> tuple[str, ...]:
        """The names of the probes, whose examples have no labels."""
        return tuple(self.manifest.data.probe_sizes)

    @property
    def hyperparameters(self) -> dict[str, Shaped[np.ndarray, " N"]]:
        """What differs between members: `[N]` values by name, among them `seed`."""
        kept = np.isin(self.manifest.members, self.members)
        return {
            name: np.array(list(itertools.compress(values, kept)))
            for name, values in self.manifest.hyperparameters.items()
        }

    @property
    def _have_own_labels(self) -> bool:
        """Whether members were trained on other labels than the data set has."""
        sets = joined_training_sets(self.parts)
        return sets is not None and sets.train_labels is not None

    @cached_property
    def train_mask(self) -> Bool[np.ndarray, "N M"]:
        """`[N, M]`, whether each member was trained on each example of the split `train`."""
        sets = joined_training_sets(self.parts)
        if sets is None:
            return np.ones((len(self.members), len(self.labels[TRAIN])), bool)
        return sets.train_mask[self._rows]

    @cached_property
    def train_labels(self) -> Int[np.ndarray, "N M"]:
        """`[N, M]`, each member's label in training of each example of the split `train`."""
        sets = joined_training_sets(self.parts)
        if sets is None or sets.train_labels is None:
            return np.broadcast_to(self.labels[TRAIN], (len(self.members), len(self.labels[TRAIN])))
        return sets.train_labels[self._rows]

    @cached_property
    def metrics(self) -> dict[str, Float[np.ndarray, "E N"]]:
        """`[E, N]` float32 by name: `train_loss` in nats, `train_accuracy`, `test_loss`, ..."""
        return {
            name: self._stack(array, None) for name, array in metric_names(self.manifest).items()
        }

    @cached_property
    def train_images_per_second(self) -> Float[np.ndarray, " E"]:
        """`[E]`, speed of training, all members together; NaN where nothing was trained.

        NaN for several parts, too: they were trained one after another or on different machines.
        """
        return self._stack("train_images_per_second", None)

    def correct(
        self, split: str, extents: int | Sequence[int] | None = None
    ) -> Bool[np.ndarray, "E N M"]:
        """`[E, N, M]`, whether each member classifies each example correctly.

        Takes `E N M` bytes of memory; `bits` is the same in an eighth of it.

        Raises:
            ValueError: if there is no such split or extent, or a record is damaged.
        """
        bits = self.bits(split, extents)
        return unpack_correct(bits, len(self.labels[split]))

    def bits(
        self, split: str, extents: int | Sequence[int] | None = None
    ) -> UInt8[np.ndarray, "E N bytes"]:
        """`[E, N, ceil(M / 8)]`, `correct` packed as by `pack_correct`.

        Raises:
            ValueError: if there is no such split or extent, or a record is damaged.
        """
        return self._stack(f"bits_{self._labelled(split)}", extents)

    def predictions(
        self, name: str, extents: int | Sequence[int] | None = None
    ) -> UInt[np.ndarray, "E N M"]:
        """`[E, N, M]`, the predicted classes 0..K-1 of a split or probe.

        In the smallest unsigned type for K.

        Raises:
            ValueError: if there is no such split, probe or extent, or a record is damaged.
        """
        return self._stack(f"predictions_{self._known(name)}", extents)

    def votes(
        self, name: str, extents: int | Sequence[int] | None = None
    ) -> Int[np.ndarray, "E M K"]:
        """`[E, M, K]` int32, how many of `members` predict each class; sums to N over the classes.

        Of a split or probe.

        Counted from the predictions, extent by extent: it reads `E N M` predictions but never
        holds those of more than one extent.

        Raises:
            ValueError: if there is no such split, probe or extent, a record is damaged, or N is 0.
        """
        from ensemble_jax.analysis import count_votes  # SciPy loads slowly, and only this needs it

        selected = self._selected(extents)
        num_examples = len(self.ids[self._known(name)])
        votes = np.empty((len(selected), num_examples, self.num_classes), np.int32)
        for i, extent in enumerate(selected):
            votes[i] = count_votes(self.predictions(name, extent)[0], self.num_classes)
        return votes

    @property
    def recorded_quantities(self) -> dict[str, tuple[str, ...]]:
        """What `recorded` can read, by the name of the split or probe."""
        recorded = self.manifest.recorded
        return {name: tuple(recorded.get(name, ())) for name in self.manifest.data.sizes}

    def recorded(
        self, quantity: str, name: str, extents: int | Sequence[int] | None = None
    ) -> Float16[np.ndarray, "E N M ..."]:
        """`[E, N, M]` or `[E, N, M, K]`, a quantity of every example of a split or probe.

        Which there are is what was asked for by `record=` of `train`; `options.Quantity` says what
        they are, such as `label_probability`, `margin` and `logits`. Takes `2 E N M` bytes of
        memory, or K times that.

        Raises:
            ValueError: if it was not recorded, there is no such split, probe or extent, or a record
                is damaged.
        """
        known = self.recorded_quantities[self._known(name)]
        if quantity not in known:
            raise ValueError(
                f"quantity must be one that {self.directory} recorded of {name}, "
                f"{', '.join(known) or 'none beside predictions'}, got {quantity!r}"
            )
        return self._stack(recorded_array(quantity, name), extents)

    def record(self, extent: int) -> ExtentRecord:
        """All that is recorded of `members` at an extent.

        Raises:
            ValueError: if there is no such extent, or a record is damaged.
        """
        return assemble_record(extent, self.manifest, lambda name: self._stack(name, extent)[0])

    def ensemble_accuracy(self, split: str = "test") -> Float[np.ndarray, " E"]:
        """`[E]`, the share of examples whose label most members predict; ties go to lower classes.

        Raises:
            ValueError: if there is no such split, or N is 0.
        """
        return (self.votes(split).argmax(-1) == self.labels[self._labelled(split)]).mean(-1)

    @cached_property
    def _rows(self) -> Int[np.ndarray, " N"]:
        """Where the members lie in the arrays of the records, part after part."""
        stored = [member for part in self.parts for member in part.manifest.members]
        rows = {member: row for row, member in enumerate(stored)}
        return np.array([rows[member] for member in self.members.tolist()], int)

    def _stack(self, name: str, extents: int | Sequence[int] | None) -> np.ndarray:
        """One array of each record, without the members that are left out."""
        shape, dtype = array_specs(self.manifest)[name]
        selected = self._selected(extents)
        stack = np.empty((len(selected), *((len(self._rows), *shape[1:]) if shape else ())), dtype)
        for i, extent in enumerate(selected):
            arrays = [part.read(extent, name) for part in self.parts]
            if shape:
                stack[i] = np.concatenate(arrays)[self._rows]
            else:  # of all members together, which those of several parts never were
                stack[i] = arrays[0] if len(arrays) == 1 else np.nan
        return stack

    def _selected(self, extents: int | Sequence[int] | None) -> tuple[int, ...]:
        if extents is None:
            return self.extents
        several = [extents] if np.ndim(extents) == 0 else extents
        selected = tuple(map(operator.index, several))  # type: ignore[arg-type]
        for extent in selected:
            if extent not in self.extents:
                raise ValueError(
                    f"extents must be among the finished ones of {self.directory}, "
                    f"{list(self.extents)}, got {extent}"
                )
        return selected

    def _labelled(self, split: str) -> str:
        if split in self.splits:
            return split
        reason = ": a probe has no labels" if split in self.probes else ""
        raise ValueError(f"split must be one of {', '.join(self.splits)}, got {split!r}{reason}")

    def _known(self, name: str) -> str:
        if name in self.manifest.data.sizes:
            return name
        kind = "split or probe" if self.probes else "split"
        raise ValueError(
            f"{kind} must be one of {', '.join(self.manifest.data.sizes)}, got {name!r}"
        )

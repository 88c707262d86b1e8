"""What members do at an extent: computed on the devices, told to observers, written and read back.

On the devices arrays are JAX's, after that NumPy's; nothing here needs JAX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Float16, Int, UInt, UInt8

if TYPE_CHECKING:
    from jaxtyping import Array


class SplitRecord(NamedTuple):
    """What one network, or each of N, does on the M examples of a split.

    Attributes:
        bits: `ceil(M / 8)` bytes, bit 7 - m % 8 of byte m // 8 is 1 iff example m is classified
            correctly (the order of `numpy.packbits`); the bits after the last example are 0.
        predictions: the predicted classes 0..K-1, in the smallest unsigned type for K; of equal
            outputs the first class wins.
        loss: mean of what is minimised in training, without what an optimizer adds; cross-entropy
            in nats unless another loss was given. Not finite for a member that diverged.
        accuracy: the share of correct examples, in 0..1.
        recorded: further quantities of each example, by the names of `options.Quantity`.
    """

    bits: UInt8[Array | np.ndarray, "*N bytes"]
    predictions: UInt[Array | np.ndarray, "*N M"]
    loss: Float[Array | np.ndarray, "*N"]
    accuracy: Float[Array | np.ndarray, "*N"]
    recorded: Mapping[str, Float16[Array | np.ndarray, "*N M ..."]] = {}


class ProbeRecord(NamedTuple):
    """What one network, or each of N, does on the M examples of a probe, which have no labels.

    Attributes:
        predictions: as in `SplitRecord`.
        recorded: as in `SplitRecord`.
    """

    predictions: UInt[Array | np.ndarray, "*N M"]
    recorded: Mapping[str, Float16[Array | np.ndarray, "*N M ..."]] = {}


class Evaluations(NamedTuple):
    """What all members do on everything that they are evaluated on.

    Attributes:
        splits: on labelled examples, by the name of the split.
        probes: on examples without labels, by the name of the probe.
    """

    splits: Mapping[str, SplitRecord]
    probes: Mapping[str, ProbeRecord]


@dataclass(frozen=True)
class ExtentRecord:
    """What N members do after `extent` epochs, on the host.

    Attributes:
        extent: completed epochs, 0 = at initialisation.
        splits: as in `Evaluations`.
        diverged_at: `[N]`, the epoch in which a member's loss became non-finite, -1 = never.
        train_images_per_second: speed of training, all members together, since the extent before;
            NaN where nothing was trained.
        probes: as in `Evaluations`.
    """

    extent: int
    splits: Mapping[str, SplitRecord]
    diverged_at: Int[np.ndarray, " N"]
    train_images_per_second: float
    probes: Mapping[str, ProbeRecord] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """What the arrays take, here and on the disk; `runs.extent_bytes` tells it in advance."""
        arrays = [self.diverged_at, np.float64(self.train_images_per_second)]
        for *always, recorded in (*self.splits.values(), *self.probes.values()):
            arrays += [*always, *recorded.values()]
        return sum(array.nbytes for array in arrays)

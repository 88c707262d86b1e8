"""Inputs that stay where they are stored until they are read, as arrays do that fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

# What a thread reads at once: enough that calling costs nothing, few enough to share the work.
_EXAMPLES_PER_READ = 32

Rows = Int[np.ndarray, " m"]
"""Positions among the examples of a source."""


@dataclass(frozen=True)
class StoredInputs:
    """The inputs `[M, ...]` of M examples that are read only when they are asked for.

    Shape, type and length are known without reading, and selecting rows reads nothing.

    Attributes:
        read_rows: `(rows) -> [m, ...]` reads some rows of the source; it is called on several
            threads at once.
        rows: `[M]`, which of the source's rows these are.
        example_shape: the shape of one example.
        dtype: the type of its numbers.
        files: the files that the source reads, for `Dataset.digests`; empty if it reads none.
    """

    read_rows: Callable[[Rows], Shaped[np.ndarray, "m ..."]]
    rows: Rows
    example_shape: tuple[int, ...]
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.uint8))
    files: tuple[Path, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array of all inputs, `[M, ...]`."""
        return (len(self.rows), *self.example_shape)

    @property
    def ndim(self) -> int:
        """The number of axes, that of the examples included."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """What the array would take in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        """The number of examples, M."""
        return len(self.rows)

    def __getitem__(self, selected: Rows) -> StoredInputs:
        """Some of these inputs, in that order."""
        return replace(self, rows=self.rows[selected])


Inputs = Shaped[np.ndarray, "M ..."] | StoredInputs
"""The inputs of a split: an array, or examples that are read when they are needed."""


def read_inputs(
    inputs: Inputs,
    positions: Rows,
    *,
    out: Shaped[np.ndarray, "m ..."] | None = None,
    max_threads: int = 1,
    cancelled: Callable[[], bool] = lambda: False,
) -> Shaped[np.ndarray, "m ..."]:
    """The inputs at some positions, in that order, as an array.

    Threads read pieces straight into their places, so that nothing is held beside the result.

    Args:
        inputs: what to read from.
        positions: which.
        out: where to put them; its rows after the last are left as they are.
        max_threads: how many threads read at once.
        cancelled: asked before each piece; what is not read by then never is.
    """
    if out is None:
        out = np.empty((len(positions), *inputs.shape[1:]), inputs.dtype)

    def read(start: int) -> None:
        if cancelled():
            return
        piece = positions[start : start + _EXAMPLES_PER_READ]
        place = out[start : start + len(piece)]
        if isinstance(inputs, StoredInputs):
            place[...] = inputs.read_rows(inputs.rows[piece])
        else:
            np.take(inputs, piece, axis=0, out=place)

    with ThreadPoolExecutor(max_threads, thread_name_prefix="read") as pool:
        for _ in pool.map(read, range(0, len(positions), _EXAMPLES_PER_READ)):
            pass
    return out


def as_array(inputs: Inputs, max_threads: int = 1) -> Shaped[np.ndarray, "M ..."]:
    """All inputs as an array in memory; arrays are returned unchanged."""
    if isinstance(inputs, StoredInputs):
        return read_inputs(inputs, np.arange(len(inputs)), max_threads=max_threads)
    return inputs

"""The state of a collection on disk, through Orbax: complete or absent, the last two kept."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ensemble_jax.training.old_checkpoints import as_today

_KEPT = 2
# What Orbax writes guards its own tables by checksums, but not the numbers.
_CHECKSUM = "checksum"
# The run and the epoch of a checkpoint, as the codes of letters.
_IDENTITY = "identity"


@contextlib.contextmanager
def _closed_loop_untold() -> Iterator[None]:
    """Where writing fails, the threads that write the rest find the event loop closed.

    Each prints a traceback then, some after the failure was raised, which are passed over from then
    on.
    """
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook
    yield
    sys.unraisablehook = before


class Checkpoints:
    """The checkpoints of one run, named by the epochs completed when they were taken.

    Attributes:
        directory: where they lie.
        run_id: of the run; a checkpoint that bears another id or epoch is not read. Empty for runs
            whose checkpoints bear none.
    """

    def __init__(self, directory: Path, run_id: str = "") -> None:
        # Orbax logs every step it takes. It raises its errors, and logs them again with their
        # tracebacks.
        for logger in ("absl", "asyncio"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        self.directory = directory
        self.run_id = run_id
        self._manager = ocp.CheckpointManager(
            directory.absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=_KEPT, enable_async_checkpointing=False
            ),
            # Compression saves 8 % of trained weights on the disk, and holds them twice more in
            # memory, some of it for good.
            item_handlers=ocp.PyTreeCheckpointHandler(use_compression=False),
        )

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs of all checkpoints, readable or not, ascending."""
        return tuple(sorted(self._manager.all_steps()))

    def save(self, epoch: int, state: Any) -> None:
        """Write a host copy of the state; on return it is on the disk.

        Checkpoints of this or a later epoch are removed first: they could not be read, or this
        epoch is trained again.
        """
        for stale in self.epochs:
            if stale >= epoch:
                self._manager.delete(stale)
        named = by_name(state)
        if self.run_id:
            named[_IDENTITY] = self._identity(epoch)
        named[_CHECKSUM] = _checksum(named)
        with _closed_loop_untold():
            self._manager.save(epoch, args=ocp.args.PyTreeSave(named), force=True)

    def restore_latest(
        self,
        like: Any,
        up_to: float = math.inf,
        steps_after: Callable[[int], int] = lambda epoch: 0,
    ) -> tuple[int, Any] | None:
        """The newest checkpoint that can be read and its epoch; None if there is none.

        Args:
            like: a pytree of arrays or shapes with the structure of what was saved.
            up_to: the last epoch whose checkpoint will do.
            steps_after: the steps that each member has made after so many epochs, which old
                checkpoints do not hold.
        """
        named = by_name(like)
        for epoch in reversed([epoch for epoch in self.epochs if epoch <= up_to]):
            try:
                arrays = self._read(epoch)
                if arrays.keys() != named.keys():
                    arrays = as_today(arrays, named, steps_after(epoch))
                for name, leaf in named.items():
                    if (arrays[name].shape, arrays[name].dtype) != (leaf.shape, leaf.dtype):
                        raise ValueError(f"{name} is of another shape or type")
            except Exception as error:  # Orbax and TensorStore raise many kinds for a broken file.
                _warn(epoch, error)
                continue
            leaves = [arrays[name] for name in named]
            return epoch, jax.tree.unflatten(jax.tree.structure(like), leaves)
        return None

    def _read(self, epoch):
        """The arrays of a checkpoint by name, on the host as they were saved, without the checksum.

        Raises:
            ValueError: if the numbers are not those that were written, or those of another run;
                Orbax raises other kinds.
        """
        metadata = self._manager.item_metadata(epoch)
        like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in metadata.items()}
        on_host = dict.fromkeys(like, ocp.RestoreArgs(restore_type=np.ndarray))
        arrays = dict(self._manager.restore(epoch, args=ocp.args.PyTreeRestore(like, on_host)))
        if arrays.pop(_CHECKSUM) != _checksum(arrays):
            raise ValueError("its numbers are not those that were written")
        identity = arrays.pop(_IDENTITY, None)
        if self.run_id and not np.array_equal(identity, self._identity(epoch)):
            raise ValueError("it is of another run or another epoch")
        return arrays

    def _identity(self, epoch):
        return np.frombuffer(f"run {self.run_id} epoch {epoch}".encode(), np.uint8)

    def read_latest(self) -> dict[str, np.ndarray] | None:
        """The arrays of the newest checkpoint that can be read, by name; None if there is none."""
        for epoch in reversed(self.epochs):
            try:
                return self._read(epoch)
            except Exception as error:  # Orbax and TensorStore raise many kinds for a broken file.
                _warn(epoch, error)
        return None

    def close(self) -> None:
        """Release what Orbax holds."""
        self._manager.close()


def nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays by names with dots as nested dictionaries.

    >>> nested({"params.Dense_0.bias": 1, "params.Dense_0.kernel": 2})
    {'params': {'Dense_0': {'bias': 1, 'kernel': 2}}}
    """
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *folders, last = name.split(".")
        functools.reduce(lambda inner, part: inner.setdefault(part, {}), folders, tree)[last] = (
            array
        )
    return tree


def _warn(epoch, error):
    warnings.warn(
        f"the checkpoint of epoch {epoch} cannot be read and is left out: {error}", stacklevel=3
    )


def by_name(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by their path, so that the file does not depend on Python's types."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}


def _checksum(named):
    """CRC-32 of all numbers, in the order of their names."""
    checksum = 0
    for name in sorted(named):
        numbers = np.ascontiguousarray(named[name]).reshape(-1)
        checksum = zlib.crc32(numbers.view(np.uint8).data, checksum)
    return np.array(checksum, np.uint32)

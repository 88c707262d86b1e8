"""Checkpoints of runs of format 3 and older, read as those of today."""

from __future__ import annotations

import re
from collections.abc import Mapping

import jax
import numpy as np

# The place of an optimizer's state in the chain of its parts; the chain is another one today.
_PLACE = re.compile(r"optimizer\.(\d+\.)+")
_COUNT = "count"


def as_today(
    arrays: Mapping[str, np.ndarray], like: Mapping[str, jax.ShapeDtypeStruct], steps: int
) -> dict[str, np.ndarray]:
    """The arrays under the names that they have today.

    Older checkpoints have batch statistics outside of the network's state, other chains of the same
    parts of optimizers, and no counts of steps for schedules.

    Args:
        arrays: of the checkpoint, by name.
        like: what is wanted, by the names of today.
        steps: how many were made of each member.

    Raises:
        KeyError: if there is something wanted that was not kept.
    """
    old = {_PLACE.sub("optimizer.", name): array for name, array in arrays.items()}
    found = {}
    for name, leaf in like.items():
        once = _PLACE.sub("optimizer.", name).replace(".state.batch_stats", ".batch_stats")
        if once in old:
            found[name] = old[once]
        elif name.startswith("optimizer.") and name.endswith(f".{_COUNT}"):
            found[name] = np.full(leaf.shape, steps, leaf.dtype)
        else:
            raise KeyError(f"the checkpoint lacks {name}")
    return found

"""What decides the bits of a run beside its config: JAX's settings, its flags and the versions.

JAX takes settings from the environment that change every member. Those that are the project's own
choice hold whatever the environment says; the others are recorded with the run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

PRNG = "threefry2x32"
"""How members draw random numbers; `rbg`, which JAX has too, draws others under `vmap`."""

# Flags of compilers, and what libraries of GPUs take from the environment.
_VARIABLES = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE")
_SETTINGS = {"jax_enable_x64": False, "jax_default_matmul_precision": None}


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Within it JAX draws and promotes as this project is written for, on this thread."""
    import jax

    with (
        jax.default_prng_impl(PRNG),
        jax.threefry_partitionable(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def unusual_settings() -> dict[str, str]:
    """What can change the bits of a run and is not as it is by default, by its name."""
    import jax

    config: Any = jax.config  # its attributes are those of its options, unknown to type checkers
    variables = {name: os.environ.get(name, "") for name in _VARIABLES}
    settings = {name: getattr(config, name) for name in _SETTINGS}
    return {name: value for name, value in variables.items() if value} | {
        name: str(value) for name, value in settings.items() if value != _SETTINGS[name]
    }

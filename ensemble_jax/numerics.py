"""What decides the bits of a run beside its config: JAX's options, compiler flags and versions.

JAX takes options from the environment, and some of them change every member. Some of these the
project sets itself, whatever the environment says; the others are recorded with the run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ensemble_jax.options import Precision

PRNG = "threefry2x32"
"""How members draw random numbers; `rbg`, which JAX has too, draws others under `vmap`."""

# Flags of compilers, and what libraries of GPUs take from the environment.
_VARIABLES = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE")
_OPTIONS = {"jax_enable_x64": False, "jax_default_matmul_precision": None}


@contextlib.contextmanager
def own_jax_options() -> Iterator[None]:
    """Within it JAX draws numbers and promotes types as this project needs, on this thread."""
    import jax

    with (
        jax.default_prng_impl(PRNG),
        jax.threefry_partitionable(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


@contextlib.contextmanager
def products_in(precision: Precision) -> Iterator[None]:
    """Within it products that are traced on this thread are computed so, gradients included.

    Layers that ask for a precision of their own keep it.
    """
    import jax

    with jax.default_matmul_precision(precision.value):
        yield


def unusual_options() -> dict[str, str]:
    """Options that can change the bits of a run and have not their default, by name."""
    import jax

    config: Any = jax.config  # its attributes are those of its options, unknown to type checkers
    variables = {name: os.environ.get(name, "") for name in _VARIABLES}
    options = {name: getattr(config, name) for name in _OPTIONS}
    return {name: value for name, value in variables.items() if value} | {
        name: str(value) for name, value in options.items() if value != _OPTIONS[name]
    }

"""What the machine and its user provide."""

import os
from pathlib import Path
from typing import Any

NO_BAR = "TQDM_DISABLE"
"""The variable of the environment that hides progress bars."""


JAX_DEFAULT_SECONDS = 1.0
"""What a program must take to compile for JAX to keep it, unless it is told otherwise."""


def num_cores() -> int:
    """The cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def user_cache() -> Path:
    """Where what can be made again is kept; it need not exist.

    `$XDG_CACHE_HOME/ensemble_jax`, else `~/.cache/ensemble_jax`.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "ensemble_jax").expanduser()


def use_compilation_cache() -> None:
    """Keep compiled programs between processes, where the user has not said otherwise."""
    import jax

    config: Any = jax.config  # its attributes are those of its options, unknown to type checkers
    if config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(user_cache() / "compiled"))
    if config.jax_persistent_cache_min_compile_time_secs == JAX_DEFAULT_SECONDS:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

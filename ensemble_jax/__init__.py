"""Train many networks at once in JAX and study which examples they learn, and when.

The packages and the two functions below are imported when they are first used, so that reading a
run needs neither JAX nor anything else that training does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ensemble_jax.version import __version__

if TYPE_CHECKING:
    from ensemble_jax import analysis, data, evaluation, figures, models, runs, training
    from ensemble_jax.runs import load_run, merge_runs

__all__ = [
    "__version__",
    "analysis",
    "data",
    "evaluation",
    "figures",
    "load_run",
    "merge_runs",
    "models",
    "runs",
    "training",
]

_FUNCTIONS = {"load_run": "ensemble_jax.runs", "merge_runs": "ensemble_jax.runs"}


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    if name in _FUNCTIONS:
        value = getattr(import_module(_FUNCTIONS[name]), name)
    elif name in __all__:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

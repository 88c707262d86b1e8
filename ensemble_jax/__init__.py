"""Train many networks at once in JAX and study which examples they learn, and when.

Everything public is here. It is imported when it is first used, so that reading a run needs neither
JAX nor anything else that training does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ensemble_jax.version import __version__

if TYPE_CHECKING:
    from ensemble_jax import (
        analysis,
        data,
        figures,
        launch,
        loggers,
        losses,
        networks,
        optimizers,
        runs,
        zoo,
    )
    from ensemble_jax.auditing import Audit, audit, audit_run
    from ensemble_jax.collection import use_all_cores
    from ensemble_jax.data import Dataset, load_dataset
    from ensemble_jax.membership import Members, members
    from ensemble_jax.networks import Network, Variables
    from ensemble_jax.report.comparison import Comparison, compare
    from ensemble_jax.report.run_report import Analysis, analyze
    from ensemble_jax.report.sweep_report import Sweep
    from ensemble_jax.runs import Run, load_run, merge_runs
    from ensemble_jax.runs.tables import read_frame, write_frame
    from ensemble_jax.sweeping import sweep
    from ensemble_jax.trainer import train

_MODULES = (
    "analysis",
    "data",
    "figures",
    "launch",
    "loggers",
    "losses",
    "networks",
    "optimizers",
    "runs",
    "zoo",
)
# Where each function and type is.
_HOMES = {
    "Analysis": "report.run_report",
    "Audit": "auditing",
    "Comparison": "report.comparison",
    "Dataset": "data",
    "Members": "membership",
    "Network": "networks",
    "Run": "runs",
    "Sweep": "report.sweep_report",
    "Variables": "networks",
    "analyze": "report.run_report",
    "audit": "auditing",
    "audit_run": "auditing",
    "compare": "report.comparison",
    "load_dataset": "data",
    "load_run": "runs",
    "members": "membership",
    "merge_runs": "runs",
    "read_frame": "runs.tables",
    "sweep": "sweeping",
    "train": "trainer",
    "use_all_cores": "collection",
    "write_frame": "runs.tables",
}

__all__ = [
    "Analysis",
    "Audit",
    "Comparison",
    "Dataset",
    "Members",
    "Network",
    "Run",
    "Sweep",
    "Variables",
    "__version__",
    "analysis",
    "analyze",
    "audit",
    "audit_run",
    "compare",
    "data",
    "figures",
    "launch",
    "load_dataset",
    "load_run",
    "loggers",
    "losses",
    "members",
    "merge_runs",
    "networks",
    "optimizers",
    "read_frame",
    "runs",
    "sweep",
    "train",
    "use_all_cores",
    "write_frame",
    "zoo",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Where members are trained: here, by one of several processes, or as tasks of a cluster."""

from ensemble_jax.launch.rank import Rank

__all__ = ["Rank"]

"""The choice of an execution plan by measuring on the devices at hand."""

from ensemble_jax.planning.cache import PlanCache
from ensemble_jax.planning.choice import (
    Alternatives,
    PlanChoice,
    Tried,
    alternatives_for,
    available_algorithms,
    available_plan,
    choose_plan,
    convolves,
    default_plan,
)
from ensemble_jax.planning.layers import (
    LayerConvolution,
    convolutions_of,
    fastest_by_layer,
    time_layer,
)
from ensemble_jax.planning.memory import free_bytes
from ensemble_jax.planning.trial import PlanningTask, Trial, Trials, try_plan

__all__ = [
    "Alternatives",
    "LayerConvolution",
    "PlanCache",
    "PlanChoice",
    "PlanningTask",
    "Trial",
    "Trials",
    "Tried",
    "alternatives_for",
    "available_algorithms",
    "available_plan",
    "choose_plan",
    "convolutions_of",
    "convolves",
    "default_plan",
    "fastest_by_layer",
    "free_bytes",
    "time_layer",
    "try_plan",
]

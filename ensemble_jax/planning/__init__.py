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
from ensemble_jax.planning.memory import free_bytes, lack_of_memory
from ensemble_jax.planning.trial import PlanningTask, Trial, Trials, try_plan
from ensemble_jax.planning.turns import take_turns

__all__ = [
    "Alternatives",
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
    "convolves",
    "default_plan",
    "free_bytes",
    "lack_of_memory",
    "take_turns",
    "try_plan",
]

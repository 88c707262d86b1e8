"""Evaluation on the device."""

from ensemble_jax.evaluation.collection_evaluation import CollectionEvaluation
from ensemble_jax.evaluation.evaluator import (
    Evaluator,
    Predictor,
    join_evaluations,
    make_evaluator,
    make_predictor,
)

__all__ = [
    "CollectionEvaluation",
    "Evaluator",
    "Predictor",
    "join_evaluations",
    "make_evaluator",
    "make_predictor",
]

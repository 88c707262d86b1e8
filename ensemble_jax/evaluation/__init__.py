"""Evaluation on the device."""

from ensemble_jax.evaluation.collection_evaluation import CollectionEvaluation, Evaluations
from ensemble_jax.evaluation.evaluator import (
    Evaluation,
    Evaluator,
    Predictor,
    join_evaluations,
    make_evaluator,
    make_predictor,
)

__all__ = [
    "CollectionEvaluation",
    "Evaluation",
    "Evaluations",
    "Evaluator",
    "Predictor",
    "join_evaluations",
    "make_evaluator",
    "make_predictor",
]

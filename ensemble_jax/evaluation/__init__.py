"""Evaluation on the device."""

from ensemble_jax.evaluation.collection_evaluation import CollectionEvaluation
from ensemble_jax.evaluation.evaluator import Evaluation, Evaluator, make_evaluator

__all__ = ["CollectionEvaluation", "Evaluation", "Evaluator", "make_evaluator"]

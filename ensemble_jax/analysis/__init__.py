"""Pure functions from predictions of any framework to what they say about examples.

NumPy arrays, or anything that converts to one, go in; no files, no JAX.
"""

from ensemble_jax.analysis.baselines import (
    independent_baseline,
    independent_consensus_distribution,
    independent_consistency_distribution,
)
from ensemble_jax.analysis.histograms import choose_extents, score_histogram
from ensemble_jax.analysis.scores import (
    accessibility_score,
    bimodality,
    consensus_from_votes,
    consensus_score,
    consistency_score,
    count_votes,
    member_accuracy,
)

__all__ = [
    "accessibility_score",
    "bimodality",
    "choose_extents",
    "consensus_from_votes",
    "consensus_score",
    "consistency_score",
    "count_votes",
    "independent_baseline",
    "independent_consensus_distribution",
    "independent_consistency_distribution",
    "member_accuracy",
    "score_histogram",
]

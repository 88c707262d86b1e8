"""Pure functions from predictions of any framework to what they say about examples.

NumPy arrays, or anything that converts to one, go in; no files, no JAX.
"""

from ensemble_jax.analysis.accessibility import (
    AccessibilityCorrelation,
    correlate_accessibility,
    member_accessibility,
    split_half_correlations,
)
from ensemble_jax.analysis.baselines import (
    independent_baseline,
    independent_consensus_distribution,
    independent_consistency_distribution,
)
from ensemble_jax.analysis.classes import (
    FrequentClass,
    accuracy_by_class,
    most_frequent_class,
)
from ensemble_jax.analysis.easy_sets import EasySetSizes, compare_easy_sets, easy_set
from ensemble_jax.analysis.histograms import (
    choose_extents,
    score_histogram,
    score_histogram_by_class,
)
from ensemble_jax.analysis.matching import CrossConsistency, cross_consistency, match_extents
from ensemble_jax.analysis.ordering import (
    OrderedShare,
    easier_since,
    learned_at_least_as_fast,
    ordered_share,
)
from ensemble_jax.analysis.packed import (
    accuracy_from_bits,
    consistency_from_bits,
    count_correct_from_bits,
    member_accessibility_from_bits,
)
from ensemble_jax.analysis.paradigms import (
    Accordance,
    Difficulty,
    accordance,
    accuracy_by_difficulty,
    group_by_difficulty,
)
from ensemble_jax.analysis.patterns import (
    Pattern,
    choose_typical_examples,
    pattern_strengths,
)
from ensemble_jax.analysis.probes import (
    ConsensusComparison,
    compare_consensus,
    random_consensus_distribution,
    shuffle_members,
)
from ensemble_jax.analysis.scores import (
    accessibility_score,
    bimodality,
    consensus_from_votes,
    consensus_score,
    consistency_score,
    count_votes,
    member_accuracy,
)
from ensemble_jax.analysis.subsets import SizeDependence, size_dependence

__all__ = [
    "AccessibilityCorrelation",
    "Accordance",
    "ConsensusComparison",
    "CrossConsistency",
    "Difficulty",
    "EasySetSizes",
    "FrequentClass",
    "OrderedShare",
    "Pattern",
    "SizeDependence",
    "accessibility_score",
    "accordance",
    "accuracy_by_class",
    "accuracy_by_difficulty",
    "accuracy_from_bits",
    "bimodality",
    "choose_extents",
    "choose_typical_examples",
    "compare_consensus",
    "compare_easy_sets",
    "consensus_from_votes",
    "consensus_score",
    "consistency_from_bits",
    "consistency_score",
    "correlate_accessibility",
    "count_correct_from_bits",
    "count_votes",
    "cross_consistency",
    "easier_since",
    "easy_set",
    "group_by_difficulty",
    "independent_baseline",
    "independent_consensus_distribution",
    "independent_consistency_distribution",
    "learned_at_least_as_fast",
    "match_extents",
    "member_accessibility",
    "member_accessibility_from_bits",
    "member_accuracy",
    "most_frequent_class",
    "ordered_share",
    "pattern_strengths",
    "random_consensus_distribution",
    "score_histogram",
    "score_histogram_by_class",
    "shuffle_members",
    "size_dependence",
    "split_half_correlations",
]

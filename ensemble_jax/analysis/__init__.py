"""Pure functions from predictions of any framework to what they say about examples.

NumPy arrays, or anything that converts to one, go in; no files, no JAX.
"""

from ensemble_jax.analysis.accessibility import (
    AccessibilityCorrelation,
    correlate_accessibility,
    member_accessibility,
    split_half_correlations,
)
from ensemble_jax.analysis.agreement import (
    MostAgreedClass,
    agreement_score,
    agreement_stop,
    most_agreed_class,
    unanimity,
)
from ensemble_jax.analysis.baselines import (
    independent_baseline,
    independent_consensus_distribution,
    independent_consistency_distribution,
)
from ensemble_jax.analysis.calibration import (
    ClassTable,
    ReliabilityTable,
    brier_score,
    class_table,
    confusion,
    ensemble_accuracy,
    expected_calibration_error,
    reliability_table,
)
from ensemble_jax.analysis.classes import FrequentClass, accuracy_by_class, most_frequent_class
from ensemble_jax.analysis.detection import (
    Detection,
    auroc,
    average_precision,
    detection,
    precision_at,
)
from ensemble_jax.analysis.easy_sets import EasySetSizes, compare_easy_sets, easy_set
from ensemble_jax.analysis.histograms import (
    choose_extents,
    score_histogram,
    score_histogram_by_class,
)
from ensemble_jax.analysis.label_issues import Issue, LabelIssues, find_label_issues
from ensemble_jax.analysis.label_quality import (
    ConfidentJoint,
    QualityScore,
    class_thresholds,
    confident_joint,
    label_quality,
    noise_matrix,
)
from ensemble_jax.analysis.learning_times import (
    first_learned,
    forget_fraction,
    forgetting_events,
    forgotten_share,
    learning_time,
    learning_time_spread,
    unforgettable,
)
from ensemble_jax.analysis.matching import CrossConsistency, cross_consistency, match_extents
from ensemble_jax.analysis.members import MemberMean, check_held_out, member_mean
from ensemble_jax.analysis.memorization import (
    Estimate,
    TopInfluences,
    c_score,
    influence,
    influence_blocks,
    linear_datamodel,
    memorization,
    top_influences,
)
from ensemble_jax.analysis.ordering import (
    OrderedShare,
    easier_since,
    learned_at_least_as_fast,
    ordered_share,
)
from ensemble_jax.analysis.outputs import el2n, el2n_bounds, label_margin, label_probability
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
from ensemble_jax.analysis.patterns import Pattern, choose_typical_examples, pattern_strengths
from ensemble_jax.analysis.probes import (
    ConsensusComparison,
    compare_consensus,
    random_consensus_distribution,
    shuffle_members,
)
from ensemble_jax.analysis.ranking import (
    Reliability,
    bootstrap_error,
    members_needed,
    reliability,
    spearman,
    spearman_brown,
)
from ensemble_jax.analysis.run_scores import arrays_of_run, example_scores
from ensemble_jax.analysis.score_table import AXES, SCORES, Score, detect_wrong, score_examples
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
from ensemble_jax.analysis.training_dynamics import area_under_margin, confidence, variability
from ensemble_jax.analysis.uncertainty import (
    entropy,
    mutual_information,
    predictive_entropy,
    vote_entropy,
)

__all__ = [
    "AXES",
    "SCORES",
    "AccessibilityCorrelation",
    "Accordance",
    "ClassTable",
    "ConfidentJoint",
    "ConsensusComparison",
    "CrossConsistency",
    "Detection",
    "Difficulty",
    "EasySetSizes",
    "Estimate",
    "FrequentClass",
    "Issue",
    "LabelIssues",
    "MemberMean",
    "MostAgreedClass",
    "OrderedShare",
    "Pattern",
    "QualityScore",
    "Reliability",
    "ReliabilityTable",
    "Score",
    "SizeDependence",
    "TopInfluences",
    "accessibility_score",
    "accordance",
    "accuracy_by_class",
    "accuracy_by_difficulty",
    "accuracy_from_bits",
    "agreement_score",
    "agreement_stop",
    "area_under_margin",
    "arrays_of_run",
    "auroc",
    "average_precision",
    "bimodality",
    "bootstrap_error",
    "brier_score",
    "c_score",
    "check_held_out",
    "choose_extents",
    "choose_typical_examples",
    "class_table",
    "class_thresholds",
    "compare_consensus",
    "compare_easy_sets",
    "confidence",
    "confident_joint",
    "confusion",
    "consensus_from_votes",
    "consensus_score",
    "consistency_from_bits",
    "consistency_score",
    "correlate_accessibility",
    "count_correct_from_bits",
    "count_votes",
    "cross_consistency",
    "detect_wrong",
    "detection",
    "easier_since",
    "easy_set",
    "el2n",
    "el2n_bounds",
    "ensemble_accuracy",
    "entropy",
    "example_scores",
    "expected_calibration_error",
    "find_label_issues",
    "first_learned",
    "forget_fraction",
    "forgetting_events",
    "forgotten_share",
    "group_by_difficulty",
    "independent_baseline",
    "independent_consensus_distribution",
    "independent_consistency_distribution",
    "influence",
    "influence_blocks",
    "label_margin",
    "label_probability",
    "label_quality",
    "learned_at_least_as_fast",
    "learning_time",
    "learning_time_spread",
    "linear_datamodel",
    "match_extents",
    "member_accessibility",
    "member_accessibility_from_bits",
    "member_accuracy",
    "member_mean",
    "members_needed",
    "memorization",
    "most_agreed_class",
    "most_frequent_class",
    "mutual_information",
    "noise_matrix",
    "ordered_share",
    "pattern_strengths",
    "precision_at",
    "predictive_entropy",
    "random_consensus_distribution",
    "reliability",
    "reliability_table",
    "score_examples",
    "score_histogram",
    "score_histogram_by_class",
    "shuffle_members",
    "size_dependence",
    "spearman",
    "spearman_brown",
    "split_half_correlations",
    "top_influences",
    "unanimity",
    "unforgettable",
    "variability",
    "vote_entropy",
]

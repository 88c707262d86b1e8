"""Classifiers that are no networks, by scikit-learn, for the comparison with collections.

Arrays go in, and predictions come out as those of a collection: extents E, members N, examples M.
"""

from ensemble_jax.classifiers.boosting import boost_linear_classifiers
from ensemble_jax.classifiers.standard import Classifier, train_classifiers

__all__ = ["Classifier", "boost_linear_classifiers", "train_classifiers"]

"""Boosting, whose accuracy grows with the learners that it adds, as a network's with its epochs.

Appendix F and figure 30 of Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019): the
multi-class AdaBoost (SAMME) of Hastie, Rosset, Zhu & Zou (2009) over linear classifiers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LogisticRegression

from ensemble_jax.classifiers.inputs import as_collection, flatten_inputs

REGULARISATION = 1.0
"""scikit-learn's default C of the learners."""

# They converge long before; the default of 100 does not always suffice.
_MOST_ITERATIONS = 1000


def boost_linear_classifiers(
    inputs: Shaped[Any, "M ..."],
    labels: Shaped[Any, " M"],
    asked: Mapping[str, Shaped[Any, "M ..."]],
    num_learners: int = 100,
    regularisation: float = REGULARISATION,
) -> dict[str, UInt[np.ndarray, "E 1 M"]]:
    """What AdaBoost over linear classifiers predicts with 1, 2, ... learners.

    The paper does not say which linear classifier it boosts. Here it is multinomial logistic
    regression on inputs less their mean over the examples. AdaBoost gives the M examples weights
    that add up to 1, so that scikit-learn's C of 1 makes the penalty M times as strong as usual,
    which makes the learners weak: a learner that is not (C of 100, a perceptron trained to the
    end) fits small sets nearly alone and leaves nothing to boost. Learning uses no chance.

    If boosting ends early, because a learner is perfect or no better than chance, the remaining
    stages repeat the last one.

    Args:
        inputs: `[M, ...]`, what is learned from; bytes are divided by 255.
        labels: `[M]`, integers in 0..K-1, at least two different ones.
        asked: `[M, ...]` by name of the set, of the shape and type of the inputs.
        num_learners: E.
        regularisation: C of the learners, above 0: the smaller, the weaker.

    Returns:
        By name of the set, `[E, 1, M]` predicted classes, at position k-1 those of k learners.

    Raises:
        ValueError: examples that do not fit together (`inputs.flatten_inputs`), one class only, no
            learner, or a regularisation not above 0.

    >>> predictions = boost_linear_classifiers(
    ...     [[0.0], [0.1], [0.9], [1.0]], [0, 0, 1, 1], {"test": [[0.2]]}, num_learners=3
    ... )
    >>> predictions["test"].ravel()
    array([0, 0, 0], dtype=uint8)
    """
    if num_learners < 1:
        raise ValueError(f"num_learners must be at least 1, got {num_learners}")
    if not regularisation > 0:
        raise ValueError(f"regularisation must be above 0, got {regularisation}")
    rows = flatten_inputs(inputs, labels, asked)
    if rows.labels.min() == rows.labels.max():
        raise ValueError("labels must be of at least two classes, got one")
    mean = rows.inputs.mean(axis=0)
    learner = LogisticRegression(C=regularisation, max_iter=_MOST_ITERATIONS)
    booster = AdaBoostClassifier(learner, n_estimators=num_learners, random_state=0)
    booster.fit(rows.inputs - mean, rows.labels)
    predictions = {}
    for name, of_set in rows.asked.items():
        stages = list(booster.staged_predict(of_set - mean))
        stages += stages[-1:] * (num_learners - len(stages))
        predictions[name] = as_collection(np.stack(stages)[:, np.newaxis], rows.labels)
    return predictions

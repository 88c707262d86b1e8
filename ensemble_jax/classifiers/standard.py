"""The classifiers that figure 31 compares with networks, with scikit-learn's defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Perceptron
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from ensemble_jax.classifiers.inputs import as_collection, flatten_inputs


class Classifier(Enum):
    """A way to learn that is no network."""

    SVM = "SVM"
    KNN = "KNN"
    PERCEPTRON = "perceptron"
    DECISION_TREE = "decision tree"
    RANDOM_FOREST = "random forest"
    NAIVE_BAYES = "Gaussian naive Bayes"


# Those without chance learn the same whatever the seed.
_WITHOUT_CHANCE = {
    Classifier.SVM: SVC,
    Classifier.KNN: KNeighborsClassifier,
    Classifier.NAIVE_BAYES: GaussianNB,
}
_WITH_CHANCE = {
    Classifier.PERCEPTRON: Perceptron,
    Classifier.DECISION_TREE: DecisionTreeClassifier,
    Classifier.RANDOM_FOREST: RandomForestClassifier,
}


def train_classifiers(
    classifier: Classifier,
    inputs: Shaped[Any, "M ..."],
    labels: Shaped[Any, " M"],
    asked: Mapping[str, Shaped[Any, "M ..."]],
    seeds: Sequence[int] = (0,),
) -> dict[str, UInt[np.ndarray, "1 N M"]]:
    """What N classifiers of one kind predict that have learned from the same examples.

    Members differ by their seed alone; SVM, KNN and naive Bayes use no chance and are the same for
    all. With 2,500 images of 32x32x3, asked about 3,000, on one core of a busy machine the SVM took
    140 s, a forest 20 s, a tree 16 s and the others less.

    Args:
        classifier: which kind.
        inputs: `[M, ...]`, what is learned from; bytes are divided by 255.
        labels: `[M]`, integers in 0..K-1.
        asked: `[M, ...]` by name of the set, of the shape and type of the inputs.
        seeds: one for each member.

    Returns:
        By name of the set, `[1, N, M]` predicted classes in the smallest unsigned type.

    Raises:
        ValueError: examples that do not fit together (`inputs.flatten_inputs`), or no seed.

    >>> predictions = train_classifiers(
    ...     Classifier.NAIVE_BAYES, [[0.0], [0.1], [0.9], [1.0]], [0, 0, 1, 1], {"test": [[0.2]]}
    ... )
    >>> predictions["test"]
    array([[[0]]], dtype=uint8)
    """
    if not len(seeds):
        raise ValueError("seeds must hold at least one, got none")
    rows = flatten_inputs(inputs, labels, asked)
    members = []
    for estimator in _make_estimators(classifier, seeds):
        estimator.fit(rows.inputs, rows.labels)
        members.append({name: estimator.predict(of_set) for name, of_set in rows.asked.items()})
    # One member stands for all where there is no chance.
    members *= len(seeds) // len(members)
    return {
        name: as_collection(np.stack([of_member[name] for of_member in members])[None], rows.labels)
        for name in rows.asked
    }


def _make_estimators(classifier: Classifier, seeds: Sequence[int]) -> list[Any]:
    if classifier in _WITHOUT_CHANCE:
        return [_WITHOUT_CHANCE[classifier]()]
    return [_WITH_CHANCE[classifier](random_state=seed) for seed in seeds]

"""Do other classifiers than networks get the same examples right? Figures 30 and 31.

python -m experiments.classifiers --run=runs/small_mammals --output=classifiers

Trains scikit-learn's classifiers on the train split of a run, with its labels, and boosts linear
ones. On 2,500 images of 32x32x3 the SVM and boosting take minutes, each of the others seconds;
`--classifiers=knn,tree --learners=0` is a quick look. The data set is loaded as the run loaded it.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from ensemble_jax.cli import binary
from ensemble_jax.runs import load_run

_CLASSIFIERS = {
    "svm": "SVM",
    "knn": "KNN",
    "perceptron": "PERCEPTRON",
    "tree": "DECISION_TREE",
    "forest": "RANDOM_FOREST",
    "naive_bayes": "NAIVE_BAYES",
}

_RUN = flags.DEFINE_string("run", None, "The run directory.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Where to write.", required=True)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Where tensorflow-datasets has prepared its sets; by default its own folder."
)
_CHOSEN = flags.DEFINE_list(
    "classifiers",
    list(_CLASSIFIERS),
    f"Which ones, with commas, of {', '.join(_CLASSIFIERS)}; empty for none.",
)
_LEARNERS = flags.DEFINE_integer("learners", 100, "How many linear classifiers to boost; or 0.")


def main() -> None:
    """Train other classifiers on the data of a run and compare."""
    for name in _CHOSEN.value:
        if name not in _CLASSIFIERS:
            known = {name: name for name in _CLASSIFIERS}
            raise ValueError(
                f"--classifiers must be of {', '.join(_CLASSIFIERS)}, got {name!r}"
                f"{binary.suggestion(name, known)}"
            )
    if _LEARNERS.value < 0:
        raise ValueError(f"--learners must be at least 0, got {_LEARNERS.value}")
    if not _CHOSEN.value and not _LEARNERS.value:
        raise ValueError("--classifiers and --learners=0 leave nothing to be done")
    run = load_run(_RUN.value)

    # scikit-learn and Matplotlib load slowly.
    from ensemble_jax.classifiers import Classifier
    from ensemble_jax.cli.dataset import load_data_of_run
    from experiments.paradigms import compare_boosting, compare_classifiers
    from experiments.report import check_scorable

    check_scorable(run)
    dataset = load_data_of_run(run, _DATA_DIR.value)
    if dataset.word_vectors is not None:
        raise ValueError(f"{dataset.name} is of texts, and these classifiers learn from images")
    directory = binary.make_folder("--output", Path(_OUTPUT.value))
    written = []
    if _CHOSEN.value:
        kinds = [Classifier[_CLASSIFIERS[name]] for name in dict.fromkeys(_CHOSEN.value)]
        written += compare_classifiers(run, dataset, kinds, directory)
    if _LEARNERS.value:
        written += compare_boosting(run, dataset, _LEARNERS.value, directory)
    for path in written:
        print(f"wrote {path}")


if __name__ == "__main__":
    binary.run(main)

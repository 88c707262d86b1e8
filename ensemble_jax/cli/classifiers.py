"""Do other classifiers than networks get the same examples right? Figures 30 and 31.

ensemble-jax classifiers --run=runs/small_mammals --output=classifiers

Trains scikit-learn's classifiers on the train split of a run, with its labels, and boosts linear
ones. On 2,500 images of 32x32x3 the SVM and boosting take minutes, each of the others seconds;
`--classifiers=knn,tree --learners=0` is a quick look. The data set is loaded as the run loaded it.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from ensemble_jax.cli import binary
from ensemble_jax.cli.data_option import define_data_dir
from ensemble_jax.runs import load_run
from ensemble_jax.runs.files import make_folder

FLAGS = flags.FLAGS

_CLASSIFIERS = {
    "svm": "SVM",
    "knn": "KNN",
    "perceptron": "PERCEPTRON",
    "tree": "DECISION_TREE",
    "forest": "RANDOM_FOREST",
    "naive_bayes": "NAIVE_BAYES",
}


def define_options() -> None:
    """Define the flags."""
    flags.DEFINE_string("run", None, "The run directory.", required=True)
    flags.DEFINE_string("output", None, "Where to write.", required=True)
    define_data_dir()
    flags.DEFINE_list(
        "classifiers",
        list(_CLASSIFIERS),
        f"Which ones, with commas, of {', '.join(_CLASSIFIERS)}; empty for none.",
    )
    flags.DEFINE_integer("learners", 100, "How many linear classifiers to boost; or 0.")


def main() -> None:
    """Train other classifiers on the data of a run and compare."""
    for name in FLAGS.classifiers:
        if name not in _CLASSIFIERS:
            known = {name: name for name in _CLASSIFIERS}
            raise ValueError(
                f"--classifiers must be of {', '.join(_CLASSIFIERS)}, got {name!r}"
                f"{binary.suggestion(name, known)}"
            )
    if FLAGS.learners < 0:
        raise ValueError(f"--learners must be at least 0, got {FLAGS.learners}")
    if not FLAGS.classifiers and not FLAGS.learners:
        raise ValueError("--classifiers and --learners=0 leave nothing to be done")
    run = load_run(FLAGS.run)

    # scikit-learn and Matplotlib load slowly.
    from ensemble_jax.classifiers import Classifier
    from ensemble_jax.cli.dataset import load_data_of_run
    from ensemble_jax.report.paradigms import compare_boosting, compare_classifiers
    from ensemble_jax.report.run_report import check_scorable

    check_scorable(run)
    dataset = load_data_of_run(run, FLAGS.data_dir)
    if dataset.word_vectors is not None:
        raise ValueError(f"{dataset.name} is of texts, and these classifiers learn from images")
    directory = make_folder("--output", Path(FLAGS.output))
    written = []
    if FLAGS.classifiers:
        kinds = [Classifier[_CLASSIFIERS[name]] for name in dict.fromkeys(FLAGS.classifiers)]
        written += compare_classifiers(run, dataset, kinds, directory)
    if FLAGS.learners:
        written += compare_boosting(run, dataset, FLAGS.learners, directory)
    for path in written:
        print(f"wrote {path}")

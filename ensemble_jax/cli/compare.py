"""What two runs on the same examples have in common, whatever their architectures.

ensemble-jax compare --first=runs/st_vgg --second=runs/linear_st_vgg --output=compared

Where they are equally accurate, the consistency of both together; how far they learn the examples
in the same order; and which examples are easy for both or for one alone. comparison.html has all of
it, and an explorer of the examples that shows both runs beside each other.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from ensemble_jax.cli.data_option import define_data_dir

FLAGS = flags.FLAGS


def define_options() -> None:
    """Define the flags."""
    flags.DEFINE_string("first", None, "A run directory.", required=True)
    flags.DEFINE_string("second", None, "Another, on the same examples.", required=True)
    flags.DEFINE_string("output", None, "Where to write.", required=True)
    define_data_dir()


def main() -> None:
    """Compare two runs."""
    # Matplotlib and SciPy load slowly: help and what is wrong on the command line come before.
    from ensemble_jax.report.comparison import check_comparable, compare
    from ensemble_jax.runs import load_run
    from ensemble_jax.runs.files import make_folder

    runs = load_run(FLAGS.first), load_run(FLAGS.second)
    check_comparable(*runs)
    directory = make_folder("--output", Path(FLAGS.output))
    comparison = compare(*runs, directory, data_dir=FLAGS.data_dir)
    print(comparison)
    for path in comparison.paths:
        print(f"wrote {path}")

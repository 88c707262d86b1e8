"""Scores, figures and report of an existing run.

ensemble-jax analyze --run=runs/digits
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from ensemble_jax.cli.data_option import define_data_dir

FLAGS = flags.FLAGS


def define_options() -> None:
    """Define the flags."""
    flags.DEFINE_string("run", None, "The run directory.", required=True)
    flags.DEFINE_string("output", None, "Where to write; by default into the run directory.")
    define_data_dir()


def main() -> None:
    """Write the report, tables and figures of a run."""
    # Matplotlib and SciPy load slowly: help and what is wrong on the command line come before.
    from ensemble_jax.report.run_report import analyze
    from ensemble_jax.runs import load_run
    from ensemble_jax.runs.files import make_folder

    run = load_run(FLAGS.run)
    directory = make_folder("--output", Path(FLAGS.output or FLAGS.run))
    for path in analyze(run, directory, data_dir=FLAGS.data_dir).paths:
        print(f"wrote {path}")

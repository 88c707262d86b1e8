"""Scores, figures and report of an existing run.

python -m experiments.analyze --run=runs/digits
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from ensemble_jax.cli import binary
from ensemble_jax.runs import load_run
from experiments.report import write_report

_RUN = flags.DEFINE_string("run", None, "The run directory.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Where to write; by default into the run directory.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Where tensorflow-datasets has prepared its sets; by default its own folder."
)


def main() -> None:
    """Write the report, tables and figures of a run."""
    run = load_run(_RUN.value)
    directory = binary.make_folder("--output", Path(_OUTPUT.value or _RUN.value))
    for path in write_report(run, directory, _DATA_DIR.value):
        print(f"wrote {path}")


if __name__ == "__main__":
    binary.run(main)

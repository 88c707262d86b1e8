"""Scores and figures of an existing run.

python -m experiments.analyze --run=runs/digits
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from ensemble_jax.runs import load_run
from experiments import binary
from experiments.report import write_report

_RUN = flags.DEFINE_string("run", None, "The run directory.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Where to write; by default into the run directory.")


def main() -> None:
    """Write the tables and figures of a run."""
    run = load_run(_RUN.value)
    directory = binary.make_folder("--output", Path(_OUTPUT.value or _RUN.value))
    for path in write_report(run, directory):
        print(f"wrote {path}")


if __name__ == "__main__":
    binary.run(main)

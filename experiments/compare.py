"""What two runs on the same examples have in common, whatever their architectures.

python -m experiments.compare --first=runs/st_vgg --second=runs/linear_st_vgg --output=compared

Where they are equally accurate, the consistency of both together; how far they learn the examples
in the same order; and which examples are easy for both or for one alone.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from ensemble_jax.cli import binary
from ensemble_jax.runs import load_run
from experiments.comparison import check_comparable, compare_runs

_FIRST = flags.DEFINE_string("first", None, "A run directory.", required=True)
_SECOND = flags.DEFINE_string("second", None, "Another, on the same examples.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Where to write.", required=True)


def main() -> None:
    """Compare two runs."""
    runs = load_run(_FIRST.value), load_run(_SECOND.value)
    check_comparable(*runs)
    directory = binary.make_folder("--output", Path(_OUTPUT.value))
    lines, written = compare_runs(*runs, directory)
    for line in lines:
        print(line)
    for path in written:
        print(f"wrote {path}")


if __name__ == "__main__":
    binary.run(main)

"""Join runs of different members of one collection, trained apart, into one run.

python -m experiments.merge --runs=runs/first,runs/second --output=runs/both
"""

from __future__ import annotations

from absl import flags

from ensemble_jax.cli import binary
from ensemble_jax.runs import merge_runs

_RUNS = flags.DEFINE_list("runs", None, "The run directories, with commas.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The new run directory.", required=True)


def main() -> None:
    """Merge runs."""
    run = merge_runs(_RUNS.value, _OUTPUT.value)
    print(f"wrote {run.directory}: {len(run.members)} members, extents {list(run.extents)}")


if __name__ == "__main__":
    binary.run(main)

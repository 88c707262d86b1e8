"""Join runs of different members of one collection, trained apart, into one run.

ensemble-jax merge --runs=runs/first,runs/second --output=runs/both
"""

from __future__ import annotations

from absl import flags

from ensemble_jax.runs import merge_runs

FLAGS = flags.FLAGS


def define_options() -> None:
    """Define the flags."""
    flags.DEFINE_list("runs", None, "The run directories, with commas.", required=True)
    flags.DEFINE_string("output", None, "The new run directory.", required=True)


def main() -> None:
    """Merge runs."""
    run = merge_runs(FLAGS.runs, FLAGS.output)
    print(f"wrote {run.directory}: {len(run.members)} members, extents {list(run.extents)}")

"""The option `--data_dir`, of the verbs that read the data set of a run."""

from __future__ import annotations

from absl import flags

# The flag belongs to the binary that defines it, and not to this module: so --help shows it.
flags.disclaim_key_flags()


def define_data_dir() -> None:
    """Define `--data_dir=DIR`."""
    flags.DEFINE_string(
        "data_dir",
        "",
        "Where tensorflow-datasets has prepared its sets; by default its own folder.",
    )

"""`ensemble-jax VERB [OPTIONS]`: one verb for each job; its module is imported when it is used."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ensemble_jax.cli import binary
from ensemble_jax.interruption import end_interrupted, fail, handled
from ensemble_jax.streams import lenient_output
from ensemble_jax.version import __version__

VERBS = {
    "train": "train a collection, continue it or grow it, and report on it",
    "sweep": "train a collection for each of several settings and compare them",
    "analyze": "write the tables, figures and report of a run again",
    "audit": "find the training examples whose labels are probably wrong",
    "compare": "see what two runs on the same examples have in common",
    "merge": "join runs of different members of one collection",
    "classifiers": "train other classifiers than networks on the data of a run",
    "reproduce": "make figures of the paper, and train what they need",
}
"""What can be done; `ensemble_jax.cli.VERB` does it."""


def main() -> None:
    """The console script: the first argument is the verb, or --help or --version."""
    given = sys.argv[1] if len(sys.argv) > 1 else ""
    if given in VERBS:
        run_verb(given, sys.argv[2:])
        return
    with lenient_output():
        _answer(given)


def _answer(given: str) -> None:
    """Answer what is no verb."""
    if given in binary.HELP_OPTIONS:
        print(_usage())
    elif given == "--version":
        print(f"ensemble-jax {__version__}")
    else:
        known = {verb: verb for verb in VERBS}
        what = f"unknown verb {given!r}{binary.suggestion(given, known)}" if given else "no verb"
        fail(f"{what}; the verbs are {', '.join(VERBS)}, and --help says what they do")


def run_verb(verb: str, arguments: Sequence[str] | None = None) -> None:
    """Run a verb with these arguments, or with the command line's, and end the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Figures are written to files. For a screen that does not exist Matplotlib cannot be imported.
    os.environ["MPLBACKEND"] = "agg"
    # Importing takes a second, and a signal may come meanwhile.
    with lenient_output(), handled(end_interrupted):
        binary.run(import_module(f"ensemble_jax.cli.{verb}"), arguments)


def _usage() -> str:
    verbs = "\n".join(f"  {verb:<12} {summary}" for verb, summary in VERBS.items())
    return (
        f"usage: ensemble-jax VERB [OPTIONS]\n\n{verbs}\n\n"
        f"`ensemble-jax VERB --help` shows the options of a verb, `ensemble-jax --version` the "
        f"version."
    )

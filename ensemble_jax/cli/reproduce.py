r"""Figures of the paper, each by one command: what it needs is trained, analysed and drawn.

ensemble-jax reproduce --figure=13 --scale=quick --data_dir=DIR

`--figure` takes numbers of figures with commas, `robustness` and `all`; `--list` shows what there
is and about how long it takes, and with `--figure` what each needs. Collections lie in
WORKDIR/SCALE/NAME: one serves every figure that needs it, an interrupted one is continued and a
finished one is taken as it is. Figures lie in WORKDIR/SCALE/figure_NUMBER as PNG and SVG with the
data behind as CSV, and in numbers.json the published numbers beside the measured ones.

Scales: `quick` takes minutes on two CPU cores, with narrow networks, `hour` at most about an hour,
with at least 8 members; `paper` is the paper's size and wants GPUs. The first two take another data
set where the paper's cannot be had, and say so.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags

from ensemble_jax.cli.data_option import define_data_dir
from ensemble_jax.options import Protocol
from ensemble_jax.reproduction.recipes import Scale
from ensemble_jax.reproduction.trainings import Sources

FLAGS = flags.FLAGS


def define_options() -> None:
    """Define the flags."""
    flags.DEFINE_list("figure", [], "Which figures, with commas: 13 or 7,13 or robustness.")
    flags.DEFINE_enum_class("scale", Scale.QUICK, Scale, "How much is trained.")
    flags.DEFINE_string("workdir", "runs/reproduction", "Where runs and figures go.")
    define_data_dir()
    flags.DEFINE_string("word_vectors", "", "A file of GloVe's vectors, for figure 4.")
    flags.DEFINE_list(
        "datasets", [], "Data sets to take in place of the paper's, PAPERS=OTHER with commas."
    )
    flags.DEFINE_list(
        "probes", [], "Further probes for figure 5, as --config.probes of a training has them."
    )
    flags.DEFINE_enum_class(
        "protocol",
        Protocol.TRAJECTORY,
        Protocol,
        "One collection measured at all extents, or, as in the paper, a fresh one for each: as "
        "many times more epochs.",
    )
    flags.DEFINE_list(
        "runs", [], "Finished runs to take in place of collections, NAME=DIRECTORY with commas."
    )
    flags.DEFINE_bool("list", False, "Show what there is and what it needs, and end.")


def main() -> None:
    """Reproduce the figures asked for."""
    # Matplotlib and scikit-learn load slowly: what is wrong on the command line comes before.
    runs = _pairs("runs", FLAGS.runs)
    sources = Sources(
        FLAGS.data_dir,
        FLAGS.word_vectors,
        _pairs("datasets", FLAGS.datasets),
        FLAGS.probes,
        FLAGS.protocol,
    )

    from ensemble_jax.reproduction.figures import FIGURES, choose_figures
    from ensemble_jax.reproduction.listing import list_briefly, list_figures

    folder = Path(FLAGS.workdir) / FLAGS.scale.value
    if FLAGS.list:
        given = FLAGS.scale, sources, folder
        if FLAGS.figure:
            lines = list_figures(choose_figures(FLAGS.figure), *given)
        else:
            width = shutil.get_terminal_size((1000, 0)).columns
            lines = list_briefly(list(FIGURES.values()), *given, width)
        for line in lines:
            print(line, flush=True)
        return

    from ensemble_jax.reproduction.session import Session

    figures = choose_figures(FLAGS.figure)
    session = Session.prepare(figures, FLAGS.scale, sources, folder, runs)
    for line in session.remarks:
        print(line)
    for figure in figures:
        for line in session.reproduce(figure):
            print(line, flush=True)


def _pairs(option: str, given: Sequence[str]) -> Mapping[str, str]:
    """NAME=VALUE texts, by name."""
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        if not name or not value:
            raise ValueError(f"--{option} must be NAME=VALUE with commas between, got {text!r}")
        if name in found:
            raise ValueError(f"--{option} must name {name} only once")
        found[name] = value
    return found

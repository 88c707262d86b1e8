"""The main job: train a collection and record what every member does with every example.

ensemble-jax train --config=digits --config.num_members=20 --workdir=runs/digits

The same command continues a run that was interrupted; with more members it grows it. Several
processes train one run with --distributed=auto under Slurm (job arrays, too), MPI or Kubernetes and
on a TPU pod, and elsewhere with --num_ranks=P --rank=0 to P - 1.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from ensemble_jax.cli.config_option import config_name, define_config, get_config
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.cli.translate import training_of
from ensemble_jax.launch.by_rank import train_collection
from ensemble_jax.launch.rank import Detection, rank_asked_for

FLAGS = flags.FLAGS


def define_options() -> None:
    """Define the flags."""
    define_config(TrainConfig, "digits")
    flags.DEFINE_string(
        "workdir", None, "The run directory; by default runs/ and the name of the config."
    )
    flags.DEFINE_enum_class(
        "distributed",
        Detection.OFF,
        Detection,
        "Whether the scheduler says which of several processes this is: auto on a TPU VM, in a "
        "Slurm step or job array, under MPI or in an indexed job of Kubernetes.",
    )
    flags.DEFINE_integer("rank", None, "Which of several processes this is, from 0.")
    flags.DEFINE_integer("num_ranks", None, "How many processes divide the members among them.")
    flags.DEFINE_alias("process_id", "rank")
    flags.DEFINE_alias("num_processes", "num_ranks")


def main() -> None:
    """Train, continue or grow a run, then write the report."""
    config: TrainConfig = get_config(TrainConfig)
    config.validate()
    rank = rank_asked_for(FLAGS.distributed, FLAGS.rank, FLAGS.num_ranks)
    workdir = Path(FLAGS.workdir or f"runs/{config_name()}")
    run, is_last = train_collection(training_of([config]), workdir, rank)
    if not is_last:
        return

    from ensemble_jax.report.run_report import analyze  # Matplotlib loads slowly

    try:
        written = analyze(run, workdir, data_dir=config.data_dir).paths
    except OSError as error:
        raise OSError(
            f"the report cannot be written, the training is safe, and `ensemble-jax analyze "
            f"--run={workdir}` writes it: {error}"
        ) from error
    accuracy = run.metrics["test_accuracy"][-1]
    print(
        f"test accuracy after epoch {run.extents[-1]}: {accuracy.mean():.4f} "
        f"(members {accuracy.min():.4f} to {accuracy.max():.4f})"
    )
    for path in written:
        print(f"wrote {path}")

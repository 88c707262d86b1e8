"""The main job: train a collection and record what every member does with every example.

ensemble-jax train --config=digits --config.num_members=20 --workdir=runs/digits

The same command continues a run that was interrupted; with more members it grows it. Several
processes train one run together with --distributed=auto on a TPU pod, under Slurm, Open MPI or
Kubernetes, and elsewhere with --coordinator=HOST:PORT --num_processes=P --process_id=0 to P - 1.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from ensemble_jax.cli.config_option import config_name, define_config, get_config
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.cli.translate import training_of
from ensemble_jax.processes.group import Detection, GroupRequest, connect_group
from ensemble_jax.processes.parts import train_collection

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
        "Whether to find the other processes of the job: auto on a TPU pod, under Slurm, Open MPI "
        "or Kubernetes, mpi4py with another MPI.",
    )
    flags.DEFINE_string(
        "coordinator", "", "HOST:PORT of process 0 with a free port there, if nothing is found."
    )
    flags.DEFINE_integer(
        "num_processes", None, "How many processes share the work, with --coordinator."
    )
    flags.DEFINE_integer("process_id", None, "Which of them this is, from 0, with --coordinator.")
    flags.DEFINE_float(
        "patience", 300.0, "For how many seconds to wait for the other processes at the start."
    )


def main() -> None:
    """Train, continue or grow a run, then write the report."""
    config: TrainConfig = get_config(TrainConfig)
    config.validate()
    request = GroupRequest(
        FLAGS.distributed,
        FLAGS.coordinator,
        FLAGS.num_processes,
        FLAGS.process_id,
        FLAGS.patience,
    )
    request.validate()
    workdir = Path(FLAGS.workdir or f"runs/{config_name()}")
    with connect_group(request) as group:
        run = train_collection(training_of([config]), workdir, group)
    if run is None:
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

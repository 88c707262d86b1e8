r"""Find the training examples whose labels are probably wrong.

ensemble-jax audit --config.dataset=folder:PATH --config.num_members=10 --workdir=runs/audit

Trains members in a repeated cross-validation of 5 folds (`--config.folds`) and writes issues.csv,
the most suspect first, and audit.html with their pictures. The same command continues.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import flags

from ensemble_jax.cli.config_option import config_name, define_config, get_config
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.cli.translate import training_of

FLAGS = flags.FLAGS
_FOLDS = 5


def define_options() -> None:
    """Define the flags."""
    define_config(TrainConfig, "audit")
    flags.DEFINE_string(
        "workdir", None, "The run directory; by default runs/ and the name of the config."
    )
    flags.DEFINE_bool(
        "apply",
        False,
        "Whether to write labels.csv, too: ids and labels of the examples that are neither likely "
        "mislabelled nor contradicted. The data stay as they are.",
    )


def main() -> None:
    """Train, or continue, then judge the labels."""
    from ensemble_jax.auditing import RECORD, audit_run, check_holds_out
    from ensemble_jax.launch.by_rank import train_collection

    config: TrainConfig = get_config(TrainConfig)
    config.record = tuple(dict.fromkeys((*config.record, *RECORD)))
    if not config.folds and not config.partitions and config.subset_fraction == 1:
        config.folds = _FOLDS
    config.validate()
    training = training_of([config])
    data = training.load_data()
    check_holds_out(training.members, data)
    training = dataclasses.replace(training, load_data=lambda: data)
    workdir = Path(FLAGS.workdir or f"runs/{config_name()}")
    run = train_collection(training, workdir).run
    result = audit_run(run, data, apply=FLAGS.apply)
    print(result)
    if "audit" in result.detection:
        told = result.detection["audit"]
        print(
            f"against the truth: AUROC {told.auroc:.3f}, average precision "
            f"{told.average_precision:.3f}"
        )
    for path in result.paths:
        print(f"wrote {path}")

r"""The main job: train a collection and record what every member does with every example.

python -m experiments.train --config=experiments/configs/digits.py --config.num_members=20 \
    --workdir=runs/digits

The same command continues a run that was interrupted.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from experiments import binary
from experiments.config_option import config_path, define_config, get_config
from experiments.job import Job, run_job
from experiments.train_config import TrainConfig

define_config(TrainConfig, Path(__file__).parent / "configs" / "digits.py")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run directory; by default runs/ and the name of the config."
)


def main() -> None:
    """Train, or continue, then write the report."""
    config: TrainConfig = get_config(TrainConfig)
    config.validate()
    workdir = Path(_WORKDIR.value or Path("runs") / Path(config_path()).stem)
    run = run_job(Job.of(config), workdir)

    from experiments.report import write_report  # Matplotlib loads slowly

    written = write_report(run, workdir, config.data_dir)
    accuracy = run.metrics["test_accuracy"][-1]
    print(
        f"test accuracy after epoch {run.extents[-1]}: {accuracy.mean():.4f} "
        f"(members {accuracy.min():.4f} to {accuracy.max():.4f})"
    )
    for path in written:
        print(f"wrote {path}")


if __name__ == "__main__":
    binary.run(main)

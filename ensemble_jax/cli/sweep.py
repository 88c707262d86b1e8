r"""Train a collection for each of several settings and compare them.

ensemble-jax sweep --config=digits --config.num_members=5 \
    --vary=learning_rate=0.01,0.02,0.05,0.1 --vary=batch_size=50,100 --workdir=runs/rates

Settings that differ in nothing but what may differ from member to member (learning rate, decay,
momentum, L2, dropout, seed, ...) are trained together in one compiled step; every setting has the
same members. The same command continues a sweep that was interrupted.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from ensemble_jax.cli.config_option import config_name, define_config, get_config
from ensemble_jax.cli.sweep_config import SweepConfig, parse_vary
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.cli.translate import collections_of
from ensemble_jax.sweeping import run_sweep

FLAGS = flags.FLAGS


def define_options() -> None:
    """Define the flags."""
    define_config(SweepConfig, "sweep_learning_rate")
    flags.DEFINE_multi_string(
        "vary", [], "A field and its values, NAME=VALUE,VALUE,...; in place of the config's own."
    )
    flags.DEFINE_string(
        "workdir",
        None,
        "Where the runs and the summary go; by default runs/ and the config's name.",
    )


def main() -> None:
    """Train every group of settings, or continue, then write the summary."""
    config = _sweep_config()
    config.validate()
    workdir = Path(FLAGS.workdir or f"runs/{config_name()}")
    for path in run_sweep(config.settings, collections_of(config), workdir).write():
        print(f"wrote {path}")


def _sweep_config() -> SweepConfig:
    """The config with what the options vary; a config of a training will do with --vary."""
    config = get_config(TrainConfig)
    if not isinstance(config, SweepConfig):
        config = SweepConfig(**vars(config))
    if FLAGS.vary:
        varied = [parse_vary(text) for text in FLAGS.vary]
        names = [name for name, _ in varied]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"--vary must name {name} only once")
        config.vary = dict(varied)
    return config

r"""Train a collection for each of several settings and compare them.

python -m experiments.sweep --config=experiments/configs/digits.py --config.num_members=5 \
    --vary=learning_rate=0.01,0.02,0.05,0.1 --vary=batch_size=50,100 --workdir=runs/rates

Settings that differ in nothing but what may differ from member to member (learning rate, decay,
momentum, L2, dropout, seed, ...) are trained together in one compiled step; every setting has the
same members. The same command continues a sweep that was interrupted.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from absl import flags

from experiments import binary
from experiments.config_option import config_path, define_config, get_config
from experiments.job import Job, run_job, tell_diverged
from experiments.sweep_config import SweepConfig, groups, parse_vary, plain_text
from experiments.train_config import PER_MEMBER, TrainConfig

define_config(SweepConfig, Path(__file__).parent / "configs" / "sweep_learning_rate.py")
_VARY = flags.DEFINE_multi_string(
    "vary", [], "A field and its values, NAME=VALUE,VALUE,...; in place of the config's own."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where the runs and the summary go; by default runs/ and the config's name."
)


def main() -> None:
    """Train every group of settings, or continue, then write the summary."""
    config = _sweep_config()
    config.validate()
    workdir = Path(_WORKDIR.value or Path("runs") / Path(config_path()).stem)
    found = groups(config)
    print(f"{len(config.settings)} settings in {len(found)} collections")
    runs = {}
    for number, (name, positions) in enumerate(found.items(), start=1):
        print(f"collection {number} of {len(found)}: {name}", flush=True)
        folder = workdir / quote(name, safe="=,+.-_")
        run = run_job(_make_job(config, positions), folder)
        tell_diverged(run)
        runs[folder] = (run, positions)

    from experiments.sweep_report import write_sweep_report  # Matplotlib loads slowly

    for path in write_sweep_report(config, list(runs.values()), workdir):
        print(f"wrote {path}")


def _sweep_config() -> SweepConfig:
    """The config with what the options vary; a config of a training will do with --vary."""
    config = get_config(TrainConfig)
    if not isinstance(config, SweepConfig):
        config = SweepConfig(**vars(config))
    if _VARY.value:
        varied = [parse_vary(text) for text in _VARY.value]
        names = [name for name, _ in varied]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"--vary must name {name} only once")
        config.vary = dict(varied)
    return config


def _make_job(config: SweepConfig, positions: list[int]) -> Job:
    """The collection of the settings at these positions."""
    settings = [config.settings[position] for position in positions]
    configs = tuple(config.with_values(values) for values in settings)
    own = [
        {name: plain_text(value) for name, value in values.items() if name in PER_MEMBER}
        for values in settings
    ]
    shared = configs[0].effective()
    for name in own[0]:
        del shared[name]
    return Job(configs, shared | {"settings": own})


if __name__ == "__main__":
    binary.run(main)

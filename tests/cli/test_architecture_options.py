"""The architecture's options in a config and on the command line."""

import pytest
from absl import flags
from ml_collections import config_flags

from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Activation, ArchitectureOptions, ImageForm, Initialiser


def parse(*options: str) -> TrainConfig:
    """As the binary does, but for the config file."""
    parsed, arguments = flags.FlagValues(), ["train", *options]
    config_flags.DEFINE_config_dataclass(
        "config", TrainConfig(), flag_values=parsed, sys_argv=arguments
    )
    parsed(arguments)
    parsed.config.validate()
    return parsed.config


def test_by_default_all_is_as_published():
    assert parse().architecture_options == ArchitectureOptions()


@pytest.mark.parametrize("name", ["width", "depth", "kernel_size", "dense", "growth"])
def test_numbers(name):
    config = parse(f"--config.{name}=3")
    assert config.architecture_options == ArchitectureOptions(**{name: 3})
    assert config.effective()[name] == 3
    assert parse(f"--config.{name}=0").architecture_options == ArchitectureOptions()


NAMED = [("activation", Activation), ("initialiser", Initialiser), ("form", ImageForm)]


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in NAMED for v in values])
def test_names(name, value):
    config = parse(f"--config.{name}={value.value}")
    assert config.architecture_options == ArchitectureOptions(**{name: value})
    assert config.effective()[name] == value.value
    assert TrainConfig().effective()[name] is None


def test_linear():
    config = parse("--config.linear=True")
    assert config.architecture_options == ArchitectureOptions(linear=True)
    with pytest.raises(ValueError, match="activation must be identity or not given with linear"):
        parse("--config.linear=True", "--config.activation=relu")

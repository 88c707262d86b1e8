"""The option `--config`: a packaged config or a Python file, and an override for every field."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags
from ml_collections.config_flags import tuple_parser

from ensemble_jax.cli import binary
from ensemble_jax.interruption import fail

_PACKAGED = Path(__file__).parent.parent / "configs"
_HELP = (
    "The name of a config that comes with the package, or a Python file whose get_config() says "
    "what to do. Its fields can be set:"
)
_OVERRIDE = re.compile(r"--?config\.([^=]*)")


class _Texts(flags.ListParser):
    """`a,b` as a tuple of texts; a text that has a comma itself is written in double quotes."""

    def parse(self, argument):
        return argument if isinstance(argument, tuple) else tuple(super().parse(argument))


class _Numbers(flags.ArgumentParser):
    """`0,1,2` as a tuple, read by ml_collections' own parser.

    That parser joins the values of an option that is given twice. Here, as for every other option,
    the last value counts.
    """

    def parse(self, argument):
        return tuple_parser.TupleParser().parse(argument)


config_flags.register_flag_parser_for_type(tuple[str, ...], _Texts())
config_flags.register_flag_parser_for_type(tuple[int, ...], _Numbers())


class _ByName(flags.ArgumentParser):
    """Reads a config by the name of one that comes with the package, or by the path of its file."""

    def __init__(self, by_path: flags.ArgumentParser) -> None:
        self._by_path = by_path

    def parse(self, path):
        given, colon, argument = path.partition(":")
        if re.fullmatch(r"\w+", given) and not Path(given).is_file():
            names = sorted(file.stem for file in _PACKAGED.glob("[!_]*.py"))
            if given not in names:
                meant = binary.suggestion(given, {name: name for name in names})
                raise ValueError(
                    f"there is no such config{meant}; it is the path of a Python file or one of "
                    f"{', '.join(names)}"
                )
            path = f"{_PACKAGED / given}.py{colon}{argument}"
        return self._by_path.parse(path)


# The flag belongs to the binary that defines it, and not to this module: so --help shows it.
flags.disclaim_key_flags()


def define_config(config_class: type, default: str) -> None:
    """Define `--config=NAME_OR_PATH`, and `--config.FIELD=VALUE` for the fields of a dataclass.

    The default is read at once, with the overrides of the command line, so that a mistake in these
    ends the process here.

    Args:
        config_class: of what the `get_config()` of a config file returns. `--help` shows the
            attributes in its docstring.
        default: the packaged config that is taken where the user names none.
    """
    names = [field.name for field in dataclasses.fields(config_class)]
    for argument in sys.argv[1:]:
        override = _OVERRIDE.match(argument)
        if override and override[1] not in names:
            known = {name: f"--config.{name}" for name in names}
            fail(
                f"--config.{override[1]}: there is no such field"
                f"{binary.suggestion(override[1], known)}; the fields are {', '.join(names)}"
            )
    with binary.answered(Exception, prefix="--config: "):
        config_flags.DEFINE_config_file("config", None, _HELP)
        option = flags.FLAGS["config"]
        option.parser = _ByName(option.parser)
        flags.FLAGS.set_default("config", default)


def config_path() -> str:
    """The config in use, as the command line names it."""
    return config_flags.get_config_filename(flags.FLAGS["config"])


def config_name() -> str:
    """The name of the config in use, without its folder, suffix and argument."""
    return Path(config_path().partition(":")[0]).stem


def get_config(config_class: type) -> Any:
    """The config with its overrides, once the flags are parsed.

    Raises:
        ValueError: if the file does not give such a config.
    """
    config = flags.FLAGS["config"].value
    if not isinstance(config, config_class):
        # What follows a colon is an argument of `get_config`.
        missing = not Path(config_path().split(":")[0]).is_file()
        raise ValueError(
            f"--config must be a Python file whose get_config() returns a {config_class.__name__}, "
            f"got {config_path()!r}{', which is not a file' if missing else ''}"
        )
    return config

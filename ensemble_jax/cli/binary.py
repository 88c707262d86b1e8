"""What the binaries share: flags answered in one line, errors without tracebacks, compile cache."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

from absl import app, flags, logging

from ensemble_jax.cli.options_help import help_text
from ensemble_jax.interruption import Interrupted, end_after, fail, handled, raise_interrupted

HELP_OPTIONS = ("--help", "-help", "-h", "-?", "--helpshort")
"""What asks for help."""


def run(module: ModuleType, arguments: Sequence[str]) -> None:
    """Parse the flags, then call `main` of a module; a user's mistake ends in exit code 2.

    It is told in one line: `main` raises ValueError, OSError or ModuleNotFoundError for what the
    user can put right. Signals end in one line, too, and in exit code 128 and their number.

    Args:
        module: the binary, with `define_options()`, which defines its flags, and `main()`; its
            docstring and its flags are its help.
        arguments: the command line without the program.
    """

    def parse(arguments: list[str]) -> list[str]:
        module.define_options()
        return _parse_flags(arguments, module)

    def guarded(arguments: Sequence[str]) -> None:
        if len(arguments) > 1:
            fail(f"unknown argument {arguments[1]!r}; options are written --name=value")
        try:
            if not flags.FLAGS["verbosity"].present:
                logging.set_verbosity(logging.WARNING)  # matplotlib tells of its font cache
            warnings.formatwarning = _one_line
            with (
                handled(raise_interrupted),
                answered(ValueError, OSError, ModuleNotFoundError),
            ):
                module.main()
        except Interrupted as interruption:
            end_after(interruption)

    app.run(guarded, argv=[sys.argv[0], *arguments], flags_parser=parse)


@contextlib.contextmanager
def answered(*kinds: type[Exception], prefix: str = "") -> Iterator[None]:
    """End the process with one line where such an error is raised.

    With ENSEMBLE_JAX_TRACEBACK in the environment the error is raised again, to look for a bug.
    """
    try:
        yield
    except kinds as error:
        if "ENSEMBLE_JAX_TRACEBACK" in os.environ:
            raise
        # An error of no particular kind says little without its type.
        kind = f"{type(error).__name__}: " if Exception in kinds else ""
        fail(f"{prefix}{kind}{error}")


def suggestion(given: str, known: Mapping[str, str]) -> str:
    """` (is X meant?)` for the closest known name, if one is close; `known` maps names to X."""
    close = difflib.get_close_matches(given, known, n=1)
    return f" (is {known[close[0]]} meant?)" if close else ""


def _one_line(message: Warning | str, category: type[Warning], *where: object) -> str:
    """A warning in one line, without its place in the code."""
    return f"warning: {' '.join(str(message).split())}\n"


class _Help(flags.BooleanFlag):
    """Shows what a binary does and ends in exit code 0; absl's own help ends in 1."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__("help", False, "show this help", allow_override=True)
        self._module = module

    def parse(self, argument) -> None:
        if self._parse(argument):
            print(help_text(self._module))
            sys.exit(0)


def _parse_flags(arguments: list[str], module: ModuleType) -> list[str]:
    flags.DEFINE_flag(_Help(module))
    if not set(HELP_OPTIONS).isdisjoint(arguments):
        # Help comes after the other options, whose values it shows.
        arguments = [text for text in arguments if text not in HELP_OPTIONS] + ["--help"]
    try:
        return flags.FLAGS(arguments)
    except flags.UnrecognizedFlagError as error:
        known = _options(module)
        fail(
            f"unknown option --{error.flagname}{suggestion(error.flagname, known)}; "
            f"--help shows the options"
        )
    except flags.Error as error:
        fail(re.sub(r"^flag (--\S+)=None: .*", r"\1=VALUE must be given", str(error)))
    except Exception:  # an error of a config file, which is run as Python
        with answered(Exception, prefix="--config: "):
            raise


def _options(module: ModuleType) -> dict[str, str]:
    """What a user may mean, by its bare name."""
    own = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(module.__name__)]
    config = flags.FLAGS["config"].value if "config" in own else None
    fields = dataclasses.fields(config) if dataclasses.is_dataclass(config) else ()
    return {f.name: f"--config.{f.name}" for f in fields} | {name: f"--{name}" for name in own}

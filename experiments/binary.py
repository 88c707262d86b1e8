"""What the binaries share: flags answered in one line, errors without tracebacks, compile cache."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags, logging

from ensemble_jax.machine import user_cache
from experiments.interruption import Interrupted, handled, raise_interrupted

EXIT_USER_ERROR = 2


def run(main: Callable[[], None]) -> None:
    """Parse the flags, then call `main`; a user's mistake ends in one line and exit code 2.

    `main` raises ValueError, OSError or ModuleNotFoundError for what the user can put right. SIGINT
    and SIGTERM end in one line, too, and in exit code 130 or 143.
    """

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
                main()
        except Interrupted as interruption:
            print(f"{interruption}; the same command continues", file=sys.stderr)
            sys.stdout.flush()
            sys.stderr.flush()
            # What is to stay is on the disk. An orderly end can crash on what XLA has in work.
            os._exit(interruption.exit_code)

    app.run(guarded, flags_parser=_parse_flags)


def use_compilation_cache() -> None:
    """Keep compiled programs between processes, where the user has not said otherwise."""
    import jax

    config: Any = jax.config  # its attributes are those of its options, unknown to type checkers
    if config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(user_cache() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def make_folder(option: str, folder: Path) -> Path:
    """The folder, made if it is missing.

    Raises:
        ValueError: if it cannot be, naming the option that asked for it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{option} must be a folder, or where one can be made, got {folder}: {error.strerror}"
        ) from error
    return folder


@contextlib.contextmanager
def answered(*kinds: type[Exception], prefix: str = "") -> Iterator[None]:
    """End the process with one line where such an error is raised.

    With ENSEMBLE_JAX_TRACEBACK in the environment the error goes on, for those who look for a bug.
    """
    try:
        yield
    except kinds as error:
        if "ENSEMBLE_JAX_TRACEBACK" in os.environ:
            raise
        # An error of no particular kind says little without its type.
        kind = f"{type(error).__name__}: " if Exception in kinds else ""
        fail(f"{prefix}{kind}{error}")


def fail(message: str, *, at_once: bool = False) -> NoReturn:
    """End the process with one line on what the user can put right; at once without tidying up."""
    first, *rest = [line.strip() for line in message.splitlines() if line.strip()] or ["unknown"]
    # Some libraries put a whole traceback or list of attempts in between.
    print(f"error: {' '.join([first, *rest[-1:]])}", file=sys.stderr)
    if at_once:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXIT_USER_ERROR)
    sys.exit(EXIT_USER_ERROR)


def suggestion(given: str, known: Mapping[str, str]) -> str:
    """` (is X meant?)` for the closest known name, if one is close; `known` maps names to X."""
    close = difflib.get_close_matches(given, known, n=1)
    return f" (is {known[close[0]]} meant?)" if close else ""


def _one_line(message: Warning | str, category: type[Warning], *where: object) -> str:
    """A warning as a user reads it; where in the code it comes from tells him nothing."""
    return f"warning: {' '.join(str(message).split())}\n"


def _parse_flags(arguments: list[str]) -> list[str]:
    try:
        return flags.FLAGS(arguments)
    except flags.UnrecognizedFlagError as error:
        known = _options()
        fail(
            f"unknown option --{error.flagname}{suggestion(error.flagname, known)}; "
            f"--help shows the options"
        )
    except flags.Error as error:
        fail(re.sub(r"^flag (--\S+)=None: .*", r"\1=VALUE must be given", str(error)))
    except Exception:  # not absl's: it comes from a config file, which is run to be read
        with answered(Exception, prefix="--config: "):
            raise


def _options() -> dict[str, str]:
    """What a user may mean, by its bare name."""
    own = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]
    config = flags.FLAGS["config"].value if "config" in own else None
    fields = dataclasses.fields(config) if dataclasses.is_dataclass(config) else ()
    return {f.name: f"--config.{f.name}" for f in fields} | {name: f"--{name}" for name in own}

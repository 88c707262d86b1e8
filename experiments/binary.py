"""What the binaries share: flags answered in one line, errors without tracebacks, compile cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from absl import app, flags

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run(main: Callable[[], None]) -> None:
    """Parse the flags, then call `main`; a user's mistake ends in one line and exit code 2.

    `main` raises ValueError, OSError or ModuleNotFoundError for what the user can put right.
    """

    def guarded(arguments: Sequence[str]) -> None:
        if len(arguments) > 1:
            _fail(f"unknown argument {arguments[1]!r}; options are written --name=value")
        try:
            main()
        except (ValueError, OSError, ModuleNotFoundError) as error:
            if "ENSEMBLE_JAX_TRACEBACK" in os.environ:
                raise
            _fail(str(error))
        except KeyboardInterrupt:
            print("interrupted; the same command continues", file=sys.stderr)
            sys.exit(EXIT_INTERRUPTED)

    app.run(guarded, flags_parser=_parse_flags)


def use_compilation_cache() -> None:
    """Keep compiled programs between processes, where the user has not said otherwise."""
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(cache / "ensemble_jax" / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _parse_flags(arguments: list[str]) -> list[str]:
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        _fail(str(error))
    except (KeyError, AttributeError, TypeError) as error:
        # What ml_collections raises for an override of a field that the config does not have.
        _fail(f"--config: {error.args[0] if error.args else error}")
    except (OSError, SyntaxError) as error:
        _fail(f"--config: {error}")


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)

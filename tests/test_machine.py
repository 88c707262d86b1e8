"""What the machine provides, or does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ensemble_jax.machine import user_cache

COMPILING = """
import json, sys, warnings
import jax, jax.numpy as jnp
from jax import monitoring
from ensemble_jax.machine import use_compilation_cache
use_compilation_cache()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
hits = []
monitoring.register_event_listener(lambda event, **_: hits.append(event))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert float(jax.jit(lambda x: jnp.sin(x) + 1)(0.0)) == 1.0
print(json.dumps([hits.count("/jax/compilation_cache/cache_hits"), len(caught)]))
"""


def compile_once(cache: Path) -> tuple[int, int]:
    """The programs that a process takes from the cache, and the warnings."""
    environment = {name: value for name, value in os.environ.items() if name[:4] != "JAX_"}
    answer = subprocess.run(
        [sys.executable, "-c", COMPILING],
        env=environment | {"XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return tuple(json.loads(answer.stdout))


def test_compiled_programs_that_are_not_whole_or_not_the_users_are_compiled_anew(tmp_path):
    assert compile_once(tmp_path)[1] == 0
    folder = tmp_path / "ensemble_jax" / "compiled"
    assert folder.stat().st_mode & 0o777 == 0o700
    programs = sorted(folder.glob("*-cache"))
    whole = {path: path.read_bytes() for path in programs}
    assert compile_once(tmp_path) == (len(programs), 0)
    programs[0].write_bytes(whole[programs[0]][:-5])
    assert compile_once(tmp_path) == (len(programs) - 1, 0)
    programs[0].chmod(0o666)
    assert compile_once(tmp_path) == (len(programs) - 1, 0)
    # It has healed.
    assert compile_once(tmp_path) == (len(programs), 0)


def test_a_user_without_a_home_has_a_cache(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def no_home(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert user_cache().name == f"ensemble_jax-{os.geteuid()}"


@pytest.mark.parametrize("given", [None, ""])
def test_the_cache_is_below_the_home(monkeypatch, given):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if given is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert user_cache() == Path("~/.cache/ensemble_jax").expanduser()

"""What a result was measured on and with, for whoever reads it later."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from absl import flags

from ensemble_jax.runs.files import replace_file
from ensemble_jax.runs.manifest import command_line, library_versions

ROOT = Path(__file__).parent.parent
"""The checkout that is measured."""

_MORE_LIBRARIES = ("torch", "scipy", "libtpu")
# Prefixes of what changes how fast the libraries are.
_VARIABLES = ("CC", "JAX_", "XLA_", "OMP_", "MKL_", "OPENBLAS_", "GLIBC_", "LD_PRELOAD", "CUDA_")


def usable_cores() -> tuple[int, ...]:
    """The processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def describe_environment() -> dict[str, Any]:
    """Machine, versions, source and command, in plain values; imports neither JAX nor PyTorch."""
    versions = {"python": platform.python_version()} | library_versions()
    for name in _MORE_LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": len(usable_cores()),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "load_average": list(os.getloadavg()),
        "versions": versions,
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(_VARIABLES)},
        "commit": _commit(),
        "command": command_line(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def define_output(name: str) -> flags.FlagHolder:
    """Define `--output`, by default the folder of that name among the results."""
    folder = ROOT / "benchmarks" / "results" / name
    return flags.DEFINE_string("output", str(folder), "Where to write.")


def write_page(
    folder: str | Path,
    content: Mapping[str, Any],
    title: str,
    conditions: str,
    lines: Sequence[str],
    names: tuple[str, str] = ("results.json", "table.md"),
) -> None:
    """Write what was measured, and a page of it in Markdown, which is printed as well.

    Args:
        folder: is made if it is missing.
        content: every measurement, with the environment.
        title: of the page.
        conditions: what was measured on what, behind the machine.
        lines: the rest of the page.
        names: of the two files.
    """
    environment = content["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    machine = (
        f"{environment['processor']}, {environment['cores']} cores; load average before the start "
        f"{environment['load_average'][0]:.2f}. {versions}. {conditions}"
    )
    page = "\n".join([f"# {title}", "", provenance(environment), "", machine, "", *lines, ""])
    Path(folder).mkdir(parents=True, exist_ok=True)
    replace_file(Path(folder) / names[0], f"{json.dumps(content, indent=1)}\n".encode())
    replace_file(Path(folder) / names[1], page.encode())
    print(page)


def provenance(environment: Mapping[str, Any]) -> str:
    """When a result was made, from which commit and by which command, in Markdown.

    Args:
        environment: as `describe_environment` tells it.
    """
    commit = environment["commit"] or "unknown"
    return f"{environment['created']}, commit {commit}: `{environment['command']}`"


def _processor():
    """The processor's name; Python knows only its architecture on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit():
    """The checked-out commit, marked where files differ from it; None outside a checkout."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

r"""How fast a layer is trained by each of the convolutions, on all cores.

Run: python -m benchmarks.convolutions
Takes about three minutes on two cores, most of it compiling.

What is timed: the convolutions of the workloads' networks, one layer at a time: outputs and
gradients between an activation and a bias, in a loop, with one member on each device and the
workload's batch, the algorithms in turns. XLA's own is
left out: its gradient by the kernel takes up to a hundred times as long in a loop.

Speeds are of useful operations, those of a direct convolution, whatever the algorithm computes: two
for each product of the outputs and of each gradient that is needed; the first layer needs none by
its inputs. Medians (least-largest) of the rounds.

Results: `results.json` with every round and `table.md` in `--output`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from absl import app, flags

from benchmarks.environment import ROOT, describe_environment, provenance
from benchmarks.layer_speeds import make_table, time_layers
from benchmarks.workloads import WORKLOADS
from ensemble_jax.collection import use_all_cores
from ensemble_jax.options import ConvolutionAlgorithm
from ensemble_jax.planning import available_algorithms
from ensemble_jax.runs.files import replace_file

_WORKLOADS = flags.DEFINE_list(
    "workloads", ["st_vgg", "small_cnn_digits", "small_resnet"], "Whose layers are timed."
)
_SECONDS = flags.DEFINE_float("seconds", 2.0, "For each layer and algorithm.", lower_bound=0.01)
_OUTPUT = flags.DEFINE_string(
    "output", str(ROOT / "benchmarks" / "results" / "convolutions"), "Where to write."
)

_FORMAT = 1


def write_results(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `results.json` and `table.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "results.json", f"{json.dumps(content, indent=1)}\n".encode())
    environment, versions = content["environment"], content["environment"]["versions"]
    lines = [
        "# Convolutions",
        "",
        provenance(environment),
        "",
        f"{environment['processor']}, {environment['cores']} cores; JAX {versions['jax']}, jaxlib "
        f"{versions['jaxlib']} on {content['device']}. Useful GFLOP/s of all devices, forward and "
        f"backward; the fastest of a layer is bold.",
    ]
    for name, layers in content["workloads"].items():
        lines += ["", f"## {name}", "", *make_table(layers)]
    replace_file(folder / "table.md", ("\n".join(lines) + "\n").encode())


def main(_: list[str]) -> None:
    """Measures and writes."""
    unknown = sorted(set(_WORKLOADS.value) - set(WORKLOADS))
    if unknown:
        raise app.UsageError(
            f"--workloads must be among {', '.join(WORKLOADS)}; got {', '.join(unknown)}"
        )
    use_all_cores()
    environment = describe_environment()
    device = jax.local_devices()[0]
    algorithms = available_algorithms(device.platform)
    algorithms.remove(ConvolutionAlgorithm.XLA)
    content = {
        "kind": "ensemble_jax convolutions",
        "format": _FORMAT,
        "environment": environment,
        "device": device.device_kind,
        "workloads": {
            name: time_layers(name, algorithms, _SECONDS.value) for name in _WORKLOADS.value
        },
    }
    write_results(Path(_OUTPUT.value), content)
    print((Path(_OUTPUT.value) / "table.md").read_text())


if __name__ == "__main__":
    app.run(main)

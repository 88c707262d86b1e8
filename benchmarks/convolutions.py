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

import jax
from absl import app, flags

from benchmarks.environment import define_output, describe_environment, write_page
from benchmarks.layer_speeds import make_table, time_layers
from benchmarks.workloads import WORKLOADS
from ensemble_jax.collection import use_all_cores
from ensemble_jax.options import ConvolutionAlgorithm
from ensemble_jax.planning import available_algorithms

_WORKLOADS = flags.DEFINE_list(
    "workloads", ["st_vgg", "small_cnn_digits", "small_resnet"], "Whose layers are timed."
)
_SECONDS = flags.DEFINE_float("seconds", 2.0, "For each layer and algorithm.", lower_bound=0.01)
_OUTPUT = define_output("convolutions")

_FORMAT = 1


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
    lines = []
    for name, layers in content["workloads"].items():
        lines += [f"## {name}", "", *make_table(layers), ""]
    conditions = (
        f"JAX on {content['device']}. Useful GFLOP/s of all devices, forward and backward; the "
        f"fastest of a layer is bold."
    )
    write_page(_OUTPUT.value, content, "Convolutions", conditions, lines[:-1])


if __name__ == "__main__":
    app.run(main)

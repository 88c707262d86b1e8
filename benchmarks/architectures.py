r"""What a member of each architecture costs: memory, operations, and how fast they are done here.

Run: python -m benchmarks.architectures
Takes about 10 minutes on two cores that do nothing else, half of it compiling (an estimate).

What is measured: of each architecture in its form for small images (BiLSTM: on texts), as its
experiments train it, one member on every CPU core, or on one accelerator, by the default plan: the
best of some epochs of a few batches after a first one, with all that the main job does in an epoch.
The largest networks are measured on smaller batches than they are trained on, so that any machine
can hold them.

What is counted: parameters; the state of a member, which is all that a checkpoint holds of it
(parameters, averages of batches, the optimizer's numbers); the useful operations to train on an
example (`benchmarks.operations`); the activations that a backward pass needs of an example, as
automatic differentiation keeps them where XLA convolves. The ImageNet forms are counted alone, from
shapes. 'Temporaries' are what the compiled epoch of one member holds beyond its arguments and
results (`memory_analysis`), by the convolution of the plan, which may keep more than what is
counted, or less where it computes something again.

Results: `architectures.json` and `architectures.md` in `--output`. `python -m benchmarks.scale`
then brings the numbers of `docs/scale.md` up to date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import app, flags

from benchmarks.architecture_costs import (
    TRAINED,
    count,
    describe,
    make_table,
    measure,
    measure_peak,
)
from benchmarks.environment import define_output, describe_environment
from ensemble_jax.collection import use_all_cores
from ensemble_jax.runs.files import replace_file

_NAMES = flags.DEFINE_list("architectures", None, "Some of them by name; all by default.")
_MEASURE = flags.DEFINE_bool("measure", True, "Compile and time, or only count.")
_PLAN = flags.DEFINE_string("plan", "default", "As --config.plan of the main job.")
_SECONDS = flags.DEFINE_float("seconds", 2.0, "Of repeated epochs, at least one.", lower_bound=0)
_OUTPUT = define_output("architectures")


def main(_: Sequence[str]) -> None:
    """Count and measure one architecture after another, then write."""
    names = _NAMES.value or list(TRAINED)
    unknown = [name for name in names if name not in TRAINED]
    if unknown:
        raise app.UsageError(
            f"--architectures must be names of {', '.join(TRAINED)}, got {unknown[0]}"
        )
    use_all_cores()
    environment = describe_environment() | {"device": jax.local_devices()[0].device_kind}
    peak = measure_peak() if _MEASURE.value else None
    rows = {}
    for name in names:
        trained = TRAINED[name]
        counted = count(trained)
        measured = None
        if peak and trained.measured_batch_size:
            measured = measure(
                trained, counted.operations, peak=peak, plan=_PLAN.value, seconds=_SECONDS.value
            )
        rows[name] = {
            "model": trained.model.value,
            "input_shape": trained.input_shape,
            "num_classes": trained.num_classes,
            "optimizer": trained.optimizer.value,
            "batch_size": trained.batch_size,
            "measured_batch_size": trained.measured_batch_size,
            "counted": counted._asdict(),
            "measured": measured and measured._asdict(),
        }
        print(f"{name}: {counted} {measured}", flush=True)
    content = {
        "kind": "ensemble_jax architectures",
        "environment": environment,
        "plan": _PLAN.value,
        "peak_operations_per_second": peak,
        "architectures": rows,
    }
    output = Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    replace_file(output / "architectures.json", f"{json.dumps(content, indent=1)}\n".encode())
    replace_file(output / "architectures.md", make_page(content).encode())
    print(make_page(content))


def make_page(content: Mapping[str, Any]) -> str:
    """The results in Markdown."""
    return "\n".join(["# Architectures", "", describe(content), "", *make_table(content), ""])


if __name__ == "__main__":
    app.run(main)

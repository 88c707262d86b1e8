r"""What the compiler says of every architecture on a TPU that is not there.

Run: python -m benchmarks.compile_for --device=v5e
Takes one to three minutes of a core for each program. `pip install -e '.[tpu]'` on any Linux
machine brings the compiler; no TPU is needed.

The default plan's epoch and evaluation of a collection are compiled, each architecture in a process
of its own, which may fail or abort without ending the others. Nothing is run. The page says for
each what the compiler refused, how long it took, the memory beside that of the device, operations
in which devices exchange anything (there must be none), and the cycles that the compiler's cost
model estimates, with the most expensive operations and where they come from.

The cycles are estimates and no measurement. Sorts, gathers and some custom calls have none and
count nothing; their numbers are told. Images per second are the cycles at the clock, where that is
known; the share of the peak is that of `benchmarks.operations` at the published peak in bfloat16.

Results: `compiled.json` and `compiled.md` in `--output`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import app, flags

from benchmarks.environment import ROOT, describe_environment, provenance
from benchmarks.summary import markdown

_MIB, _GIB = 2**20, 2**30
_COSTLIEST = 10
_STEPS = 25  # of an epoch, as small_mammals has with batches of 100


class TPU(NamedTuple):
    """A kind of TPU, by Google Cloud's pages on each.

    Attributes:
        topology: what the compiler calls a single host of it.
        accelerator: the environment's name for it.
        operations_per_second: of a chip, dense products in bfloat16.
        hertz: the clock, where it follows from the peak and the number of multipliers; else None.
        memory_bytes: of a chip.
    """

    topology: str
    accelerator: str
    operations_per_second: float
    hertz: float | None
    memory_bytes: int


DEVICES: Mapping[str, TPU] = {
    # 4 units of 128 x 128 multipliers a chip, each of them two operations a cycle.
    "v5e": TPU("v5e", "v5litepod", 197e12, 1.5e9, 16 * _GIB),
    "v5p": TPU("v5p", "v5p", 459e12, None, 95 * _GIB),
    "v6e": TPU("v6e", "v6e", 918e12, None, 32 * _GIB),
}

_DEVICE = flags.DEFINE_enum("device", "v5e", list(DEVICES), "The kind of TPU.")
_CHIPS = flags.DEFINE_enum("chips", "1", ["1", "4"], "On how many the members are spread.")
_MODELS = flags.DEFINE_list(
    "model", ["st_vgg", "small_st_vgg", "mnist_net", "fully_connected"], "Names of architectures."
)
_MEMBERS = flags.DEFINE_integer("members", 100, "N.", lower_bound=1)
_PLAN = flags.DEFINE_string("plan", "default", "As --config.plan of the main job.")
_PRECISION = flags.DEFINE_string("precision", "auto", "As --config.precision of the main job.")
_OUTPUT = flags.DEFINE_string(
    "output", str(ROOT / "benchmarks" / "results" / "tpu_v5e"), "Where to write."
)
_ALONE = flags.DEFINE_bool("alone", False, "Compile --model here, and print the result as JSON.")


def environment_of(device: TPU) -> dict[str, str]:
    """What makes libtpu compile for a device that is not there."""
    return {
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_ACCELERATOR_TYPE": f"{device.accelerator}-4",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }


def compile_alone(name: str) -> dict[str, Any]:
    """Compile epoch and evaluation of an architecture in this process, and say what they are."""
    # Both JAX and its TPU compiler read the environment when they are loaded.
    os.environ.update(environment_of(DEVICES[_DEVICE.value]))
    import jax
    import numpy as np
    from jax.experimental import topologies

    from benchmarks.architecture_costs import TRAINED
    from benchmarks.compiled_costs import estimate
    from benchmarks.jax_networks import Planned, make_members
    from benchmarks.operations import network_operations
    from ensemble_jax.evaluation import make_evaluator
    from ensemble_jax.plan import parse_plan_request
    from ensemble_jax.planning import default_plan
    from ensemble_jax.planning.memory import program_bytes
    from ensemble_jax.training import Examples, lower_epoch, make_member_training

    device, chips = DEVICES[_DEVICE.value], int(_CHIPS.value)
    shape = "2x2x1" if _DEVICE.value == "v5p" else "2x2"
    one = {} if chips == 4 else {"chips_per_host_bounds": (1, 1, 1)}
    shape = shape if chips == 4 else shape.replace("2", "1")
    topology = topologies.get_topology_desc(f"{device.topology}:{shape}", "tpu", **one)
    trained, num_members = TRAINED[name], _MEMBERS.value
    kit = trained.make_kit(trained.batch_size)._replace(platform="tpu")
    request = parse_plan_request(_PLAN.value, _PRECISION.value)
    dense = name == "fully_connected"
    plan = request.apply(default_plan(num_members, topology.devices, dense=dense))
    planned = Planned.of(kit, plan, num_members, topology.devices)
    placement, training = planned.placement, make_member_training(planned.recipe)
    members = make_members(num_members, 1e-3, decay_factor=1.0, momentum=0.9)
    inputs = jax.eval_shape(lambda: trained.make_inputs(_STEPS * trained.batch_size))
    labels: Any = jax.ShapeDtypeStruct(inputs.shape[:1], np.int32)
    examples = Examples(inputs, labels)
    example = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)
    state = placement.placed_shapes(
        jax.eval_shape(jax.vmap(training.init, (0, None)), members, example)
    )
    shared = placement.shared_shapes(examples)
    started = time.perf_counter()
    epoch = lower_epoch(training, placement, state, placement.placed_shapes(members), shared)
    epoch = epoch.compile()
    seconds = time.perf_counter() - started
    evaluate = make_evaluator(planned.recipe.network, trained.num_classes, 500)
    started = time.perf_counter()
    evaluation = placement.lift(evaluate, shared=(1, 2)).lower(state.variables, *shared).compile()
    programs = {
        "epoch": (epoch, seconds),
        "evaluation": (evaluation, time.perf_counter() - started),
    }
    operations = network_operations(kit.member_network(None), example)
    found = {"plan": str(plan), "operations": operations, "batch_size": trained.batch_size}
    for title, (program, seconds) in programs.items():
        of = estimate(program.as_text(), placement.calls_per_device)
        arguments: Any = program.memory_analysis()
        found[title] = {
            "compile_seconds": seconds,
            "bytes": arguments.argument_size_in_bytes + program_bytes(program),
            "temporary_bytes": arguments.temp_size_in_bytes,
            "cycles": of.cycles,
            "without_estimate": of.without,
            "collectives": of.collectives,
            "costliest": [operation._asdict() for operation in of.costliest[:_COSTLIEST]],
        }
    return found


def compile_apart(name: str) -> dict[str, Any]:
    """The same in a process of its own; `error` where that fails or aborts."""
    command = [sys.executable, "-m", "benchmarks.compile_for", f"--device={_DEVICE.value}"]
    command += ["--alone", f"--chips={_CHIPS.value}", f"--model={name}", f"--plan={_PLAN.value}"]
    command += [f"--members={_MEMBERS.value}", f"--precision={_PRECISION.value}"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing was said"]
        return {"error": f"ended with {done.returncode}: {told[-1]}"}
    return json.loads(done.stdout.splitlines()[-1])


def main(_: Sequence[str]) -> None:
    """Compile one architecture after another, then write."""
    if _ALONE.value:
        print(json.dumps(compile_alone(*_MODELS.value)))
        return
    content = {
        "kind": "ensemble_jax compiled",
        "environment": describe_environment(),
        "device": _DEVICE.value,
        "chips": int(_CHIPS.value),
        "members": _MEMBERS.value,
        "steps": _STEPS,
        "architectures": {},
    }
    output = Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    for name in _MODELS.value:
        content["architectures"][name] = compile_apart(name)
        # Written after each, since all together take long.
        (output / "compiled.json").write_text(f"{json.dumps(content, indent=1)}\n")
        (output / "compiled.md").write_text(make_page(content))
        print(f"{name} has been tried", flush=True)
    print(make_page(content))


def make_page(content: Mapping[str, Any]) -> str:
    """The results in Markdown."""
    device = DEVICES[content["device"]]
    versions = content["environment"]["versions"]
    rows = [_row(name, of, content, device) for name, of in content["architectures"].items()]
    header = (
        *("architecture", "plan", "compiling", "memory", "temporaries", "collectives"),
        *("cycles of a step of all (estimated)", "images/s (estimated)", "of the peak (estimated)"),
        "without estimate",
    )
    lines = [
        f"# TPU {content['device']}, chips: {content['chips']}, by its compiler's cost model",
        "",
        provenance(content["environment"]),
        "",
        f"Nothing here was measured. JAX {versions['jax']}, libtpu {versions.get('libtpu', '?')}; "
        f"N = {content['members']}, {content['steps']} steps an epoch; a chip has "
        f"{device.memory_bytes / _GIB:.0f} GiB, {device.operations_per_second / 1e12:.0f} TFLOP/s "
        f"and {_clock(device)}. Operations without an estimate are counted as nothing.",
        "",
        *markdown(header, rows),
        "",
    ]
    for name, of in content["architectures"].items():
        if "error" not in of:
            cells = [
                (
                    f"{o['cycles'] / of['epoch']['cycles']:.1%}",
                    o["kind"],
                    str(o["times"]),
                    o["source"],
                )
                for o in of["epoch"]["costliest"]
                if o["cycles"]
            ]
            lines += [f"## {name}", "", *markdown(("share", "kind", "times", "source"), cells), ""]
    return "\n".join(lines)


def _clock(device):
    return f"{device.hertz / 1e9:.2f} GHz" if device.hertz else "a clock that is not known here"


def _row(name, of, content, device):
    if "error" in of:
        return (name, of["error"], *[""] * 8)
    epoch, chips = of["epoch"], content["chips"]
    images = content["members"] * content["steps"] * of["batch_size"]
    speed = share = ""
    if device.hertz:
        rate = images * device.hertz / epoch["cycles"]
        speed = f"{rate:,.4g}"
        share = f"{rate * of['operations'] / device.operations_per_second / chips:.1%}"
    return (
        name,
        of["plan"],
        f"{epoch['compile_seconds']:.0f} s, {of['evaluation']['compile_seconds']:.0f} s",
        f"{epoch['bytes'] / _GIB:.2f} GiB",
        f"{epoch['temporary_bytes'] / _MIB:,.0f} MiB",
        str(epoch["collectives"] + of["evaluation"]["collectives"]),
        f"{epoch['cycles'] / content['steps']:,.4g}",
        speed,
        share,
        ", ".join(f"{kind} {count}" for kind, count in epoch["without_estimate"].items()),
    )


if __name__ == "__main__":
    app.run(main)

r"""Brings the numbers of `docs/scale.md` up to date: what large collections take, by formula.

Run: python -m benchmarks.scale

The page's own words stay; between its markers stand tables that are made anew from the stored
result of `benchmarks.architectures` and from the machines and examples below. What is published is
named with its source, what is assumed is called so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import app, flags

from benchmarks.architecture_costs import Counted, describe, make_table
from benchmarks.environment import ROOT
from benchmarks.summary import markdown
from ensemble_jax.runs.files import replace_file

PAGE = ROOT / "docs" / "scale.md"
RESULT = ROOT / "benchmarks" / "results" / "architectures_cpu" / "architectures.json"
_RESULT = flags.DEFINE_string("result", str(RESULT), "The result of benchmarks.architectures.")

# Assumed, since no such device was measured: the share of its published peak that useful operations
# reach. The aim is what the fastest published training of a single ResNet-50 on 8 H100 reaches:
# 13.5 minutes (MLPerf Training 3.0), if that took 35 to 41 epochs.
ASSUMED_FRACTION, AIM = 0.10, 0.20
# Of a device's memory; the rest is for evaluation and what the compiler adds.
_USABLE = 0.8
# Of each member of a call, beside its activations: its state and the gradient.
_CALL_STATES = 2
_EVALUATION_SHARE = 1 / 3  # of a training step: the forward pass


class Machine(NamedTuple):
    """Devices that a collection is spread over.

    Attributes:
        name: with the number of devices.
        devices: how many.
        operations_per_second: published peak of one, dense matrix products in bfloat16.
        memory_bytes: of one.
        source: of both numbers.
    """

    name: str
    devices: int
    operations_per_second: float
    memory_bytes: float
    source: str


MACHINES = (
    Machine("8 H100", 8, 989e12, 80e9, "NVIDIA H100 SXM data sheet, half of the sparse peak"),
    Machine(
        "TPU v5p slice 2x4x4, 32 chips",
        32,
        459e12,
        95 * 2**30,
        "Google Cloud, TPU v5p architecture",
    ),
)


class Example(NamedTuple):
    """A collection as the paper has it, or larger.

    Attributes:
        title: for the page.
        architecture: a name of `TRAINED`.
        num_members: N.
        splits: M of each split.
        image_bytes: of an example as it is stored.
        num_classes: K.
        epochs: of training.
        extents: E, evaluated and recorded.
    """

    title: str
    architecture: str
    num_members: int
    splits: Mapping[str, int]
    image_bytes: int
    num_classes: int
    epochs: int
    extents: int

    @property
    def record_bytes(self) -> int:
        """Of one extent: for each member and split the bits, the classes and the probabilities."""
        of_example = (1 if self.num_classes <= 2**8 else 2) + 2
        return self.num_members * sum(-(-M // 8) + M * of_example for M in self.splits.values())


EXAMPLES = (
    Example(
        "27 ResNet-50 on ImageNet, 100 epochs (figure 1)",
        "resnet50_imagenet",
        27,
        {"train": 1_281_167, "test": 50_000},
        224 * 224 * 3,
        1000,
        100,
        7,
    ),
    Example(
        "10,000 st-VGG on CIFAR-10, 40 epochs (figure 17 has 100)",
        "st_vgg",
        10_000,
        {"train": 50_000, "test": 10_000},
        32 * 32 * 3,
        10,
        40,
        7,
    ),
)


class Cost(NamedTuple):
    """What an example takes on a machine.

    Attributes:
        members_per_device: of the fullest device.
        seconds: of training and evaluation, at a share of the peak of one.
        state_bytes: of a device, all its members.
        step_bytes: activations of one member's step in float32, at its batch size.
        members_at_once: how many steps fit beside the state of all.
        data_bytes: of all examples.
        feed_per_second: examples that a host must bring to its devices, at the assumed share of
            the peak; 0 where all of them stay there.
    """

    members_per_device: int
    seconds: float
    state_bytes: float
    step_bytes: float
    members_at_once: int
    data_bytes: float
    feed_per_second: float


def cost(example: Example, machine: Machine, content: Mapping[str, Any]) -> Cost:
    """By the formulas of the page."""
    row = content["architectures"][example.architecture]
    counted = Counted(**row["counted"])
    held = -(-example.num_members // machine.devices)
    trained = example.splits["train"] * example.epochs
    evaluated = sum(example.splits.values()) * example.extents
    operations = held * counted.operations * (trained + _EVALUATION_SHARE * evaluated)
    seconds = operations / machine.operations_per_second
    state = held * counted.state_bytes
    step = counted.kept_bytes * row["batch_size"]
    data = sum(example.splits.values()) * example.image_bytes
    free = _USABLE * machine.memory_bytes - state
    fits = data < free / 2
    at_once = int((free - data * fits) // (step + _CALL_STATES * counted.state_bytes))
    feed = 0 if fits else trained / (seconds / ASSUMED_FRACTION)
    return Cost(held, seconds, state, step, min(held, at_once), data, feed)


def render(page: str, content: Mapping[str, Any]) -> str:
    """The page with the tables that follow from a result of `benchmarks.architectures`.

    Raises:
        ValueError: if the page lacks the markers of a table.
    """
    sections = {
        "architectures": [describe(content), "", *make_table(content)],
        "machines": _machines(),
        "examples": list(_examples(content)),
    }
    for name, lines in sections.items():
        markers = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = "\n".join(lines)
        page, found = markers.subn(lambda m, text=text: f"{m[1]}\n{text}\n\n{m[2]}", page)
        if found != 1:
            raise ValueError(f"the page must have the markers of {name} once, got {found}")
    return page


def _machines():
    return markdown(
        ("machine", "peak of a device, bfloat16", "memory of a device", "source"),
        [
            (
                machine.name,
                f"{machine.operations_per_second / 1e12:.0f} TFLOP/s",
                _gigabytes(machine.memory_bytes),
                machine.source,
            )
            for machine in MACHINES
        ],
    )


def _examples(content) -> Iterator[str]:
    for example in EXAMPLES:
        row = content["architectures"][example.architecture]
        costs = [cost(example, machine, content) for machine in MACHINES]
        yield f"**{example.title}**: N = {example.num_members:,}, batches of {row['batch_size']}."
        yield ""
        columns = [_column(of) for of in costs]
        yield from markdown(
            ("", *(machine.name for machine in MACHINES)),
            [(name, *(column[name] for column in columns)) for name in columns[0]],
        )
        total = example.record_bytes * example.extents
        checkpoint = example.num_members * row["counted"]["state_bytes"]
        yield ""
        yield (
            f"Records: {_gigabytes(example.record_bytes)} an extent, {_gigabytes(total)} for "
            f"{example.extents}. A checkpoint: {_gigabytes(checkpoint)}, of which two are kept."
            f"{_here(example, row)}"
        )
        yield ""


def _column(of: Cost) -> dict[str, str]:
    return {
        "members of the fullest device": f"{of.members_per_device:,}",
        f"time at {ASSUMED_FRACTION:.0%} of the peak (assumed)": _time(
            of.seconds / ASSUMED_FRACTION
        ),
        f"time at {AIM:.0%} (the aim)": _time(of.seconds / AIM),
        "state of a device": _gigabytes(of.state_bytes),
        "kept activations of one member's step": _gigabytes(of.step_bytes),
        "members at once that fit": f"{of.members_at_once:,}",
        "data": _gigabytes(of.data_bytes),
        "examples/s that a host feeds": f"{of.feed_per_second:,.0f}"
        if of.feed_per_second
        else "none",
    }


def _here(example, row):
    """How long the machine of the measurements would take, where the architecture was measured."""
    if not row["measured"]:
        return ""
    examples = example.num_members * example.splits["train"] * example.epochs
    seconds = examples / row["measured"]["examples_per_second"]
    return f" The machine of the table above would train for {_time(seconds)}."


def _time(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.1f} hours" if hours < 48 else f"{hours / 24:,.1f} days"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.3g} GB" if size < 1e11 else f"{size / 1e9:,.0f} GB"


def main(_: Sequence[str]) -> None:
    """Rewrite the page."""
    content = json.loads(Path(_RESULT.value).read_text())
    replace_file(PAGE, render(PAGE.read_text(encoding="utf-8"), content).encode())
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    app.run(main)

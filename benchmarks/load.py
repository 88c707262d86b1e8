r"""A large collection, killed in the middle, stays within its planned memory and loses nothing.

Run: python -m benchmarks.load
Takes about 10 minutes on two cores.

What is done: the main job trains 1,000 of the paper's MNIST networks on a few digits of 8x8 pixels,
some members at a time on every core, and records all members at each of 20 epochs. After half of
the extents and a random part of the next, it is killed (SIGKILL), and the same command is started
again. Then some of the same members are trained by themselves, undisturbed, by the same plan.

What is checked: every record that was there after the kill has the same bytes at the end; every
extent is there; the members that were trained undisturbed have the same bits in both runs, at every
extent; the most resident memory of the job, before and after the kill, is at most what was planned.

What was planned is what `ensemble_jax.planning` reckons with, before the first step: the state of
all members on the devices, which share the memory of the host here, results and temporaries of the
larger program and the data on each of them, and copies of the state on their way to a checkpoint.
To this come libraries and compiler: what this process itself holds when it has compiled the same
programs, without a state.

Results: `load.json` with everything and `load.md` in `--output`. The exit code is 1 where a check
fails.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks.environment import define_output, describe_environment, write_page
from benchmarks.jax_networks import Planned, forced_plan, tree_bytes
from benchmarks.main_job import MainJob, disk_bytes, record_hashes, same_bits
from benchmarks.memory import peak_resident_bytes
from benchmarks.summary import markdown
from ensemble_jax import load_run
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.cli.translate import training_of
from ensemble_jax.collection import use_all_cores
from ensemble_jax.data import as_array, load_dataset
from ensemble_jax.kit import make_kit
from ensemble_jax.membership import on_dataset
from ensemble_jax.options import Model, Optimizer
from ensemble_jax.planning.memory import CollectionMemory, program_bytes
from ensemble_jax.report import run_report  # noqa: F401  # what the job holds as well, Matplotlib above all
from ensemble_jax.runs.files import npz_content
from ensemble_jax.runs.layout import RECORDS, record_path
from ensemble_jax.training import place_examples

_MODEL = flags.DEFINE_enum_class("model", Model.MNIST_NET, Model, "What to train.")
_MEMBERS = flags.DEFINE_integer("members", 1000, "N.", lower_bound=1)
_EXTENTS = flags.DEFINE_integer("extents", 20, "Epochs, each an extent, after 0.", lower_bound=2)
_KILL_AFTER = flags.DEFINE_integer(
    "kill_after",
    None,
    "The extent after which the job is killed; by default half of them.",
    lower_bound=1,
)
_TRAIN_IMAGES = flags.DEFINE_integer("train_images", 100, "Digits to train on.", lower_bound=100)
_TEST_IMAGES = flags.DEFINE_integer("test_images", 60, "Digits to test on.", lower_bound=1)
_PLAN = flags.DEFINE_string(
    "plan", "default,members_per_call=10", "As --config.plan of the main job; never measured here."
)
_UNDISTURBED = flags.DEFINE_list(
    "undisturbed",
    ["0:60", "940:1000"],
    "Ranges FIRST:END of members to train by themselves, some of them among the others; enough "
    "for two calls of every device, since XLA makes another program of one.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moment of the kill.")
_OUTPUT = define_output("load")

_DIGITS = "digits.npz"
_MIB = 2**20


def main(_: Sequence[str]) -> int:
    """Plan, train and kill, go on, train undisturbed, compare, write."""
    environment = describe_environment()
    output = Path(_OUTPUT.value).absolute()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        content = {"environment": environment, **_measure()}
    sizes = " and ".join(f"{size} {name}" for name, size in content["sizes"].items())
    conditions = (
        f"{content['members']} members of {content['model']}, {sizes} images. The job: "
        f"`{' '.join(['python', *content['job']])}`."
    )
    write_page(output, content, "Load", conditions, make_tables(content), ("load.json", "load.md"))
    return 0 if all(content["checks"].values()) else 1


def _measure() -> dict[str, Any]:
    """Everything, in the working directory."""
    _write_digits()
    fields = _config_fields()
    planned = plan_memory(TrainConfig(**fields))
    kill_after = _KILL_AFTER.value or _EXTENTS.value // 2
    directory = Path("run")
    first = MainJob(fields, directory)
    killed = _kill_after(first, kill_after)
    before = record_hashes(directory)
    second = MainJob(fields, directory)
    second.watch_to_end()
    run = load_run(directory)
    after = record_hashes(directory)
    checks = {
        "records of before the kill unchanged": before.items() <= after.items(),
        "every extent there": run.finished and run.extents == tuple(range(_EXTENTS.value + 1)),
    }
    for members in _UNDISTURBED.value:
        alone = Path(f"undisturbed-{members.replace(':', '-')}")
        MainJob(fields | {"members": members}, alone).watch_to_end()
        checks[f"members {members} as undisturbed, to the bit"] = same_bits(run, load_run(alone))
    peaks = {"until the kill": first.peak_bytes, "after it": second.peak_bytes}
    checks["resident memory at most as planned"] = max(peaks.values()) <= sum(planned.values())
    return {
        "kind": "ensemble_jax load",
        "job": first.command,
        "model": _MODEL.value.value,
        "members": _MEMBERS.value,
        "sizes": dict(run.manifest.data.split_sizes),
        "plan": run.manifest.plan,
        "checks": checks,
        "planned_bytes": planned,
        "peak_bytes": peaks,
        "kill": killed | {"records": len(before)},
        "resume": second.resumed_after(kill_after),
        "seconds_per_extent": median(first.seconds_per_extent),
        "images_per_second": float(np.nanmedian(run.train_images_per_second)),
        "disk_bytes": disk_bytes(directory),
        "written_bytes": first.written_bytes + second.written_bytes,
    }


def _write_digits() -> None:
    """The first images of each split, as a set of their own."""
    digits = load_dataset("digits")
    sizes = {"train": _TRAIN_IMAGES.value, "test": _TEST_IMAGES.value}
    arrays = {}
    for name, split in digits.splits.items():
        arrays[f"{name}_images"] = as_array(split.inputs)[: sizes[name]]
        arrays[f"{name}_labels"] = split.labels[: sizes[name]]
    arrays["class_names"] = np.array(digits.class_names)
    Path(_DIGITS).write_bytes(npz_content(arrays))


def _config_fields() -> dict[str, Any]:
    """The fields of the job's config that are not its defaults."""
    return {
        "dataset": f"npz:{_DIGITS}",
        "model": _MODEL.value,
        "optimizer": Optimizer.ADADELTA,
        "learning_rate": 1.0,
        "decay_factor": 1.0,
        "num_members": _MEMBERS.value,
        "extents": tuple(range(_EXTENTS.value + 1)),
        "plan": _PLAN.value,
    }


def plan_memory(config: TrainConfig) -> dict[str, int]:
    """The bytes that the main job will need, by what for, before it has trained anything."""
    use_all_cores()
    job = training_of([config])
    dataset = job.load_data()
    num_members, devices = len(job.members), jax.local_devices()
    plan = forced_plan(job.plan, num_members, devices)
    planned = Planned.of(make_kit(job, dataset), plan, num_members, devices)
    examples = {
        name: place_examples(planned.placement, split.inputs, split.labels)
        for name, split in dataset.splits.items()
    }
    members = on_dataset(job.members, dataset, job.batch_size).members
    training = planned.compile(members, examples["train"])
    size = plan.evaluation_batch_size(job.batch_size, job.evaluation_batch_size)
    evaluation = planned.compile_evaluation(training, examples, dataset.num_classes, size)
    programs = [training.compiled_epoch, *evaluation.compiled]
    collection = CollectionMemory.of(
        planned.placement,
        data=dataset.num_bytes,
        state=tree_bytes(training.state_shape) // num_members,
        programs=max(map(program_bytes, programs)),
    )
    return {"libraries and compiler": peak_resident_bytes(), **collection._asdict()}


def _kill_after(job: MainJob, extent: int) -> dict[str, float]:
    """Kill the job at a random moment between the record of this extent and the next."""
    name = record_path(Path(), extent).name
    job.watch(lambda: name in job.record_names())
    delay = random.Random(_SEED.value).random() * median(job.seconds_per_extent[-3:])
    until = time.perf_counter() + delay
    job.watch(lambda: time.perf_counter() >= until)
    killed_at = time.perf_counter()
    job.kill()
    return {"after_extent": extent, "seconds": delay, "at_second": killed_at - job.started}


def make_tables(content: Mapping[str, Any]) -> list[str]:
    """The lines of both tables."""
    planned = content["planned_bytes"]
    kill, resume = content["kill"], content["resume"]
    disk = content["disk_bytes"]
    quantities = [
        *((f"planned: {name}", _mib(size)) for name, size in planned.items()),
        ("planned", _mib(sum(planned.values()))),
        *(
            (f"peak resident memory {when}", _mib(size))
            for when, size in content["peak_bytes"].items()
        ),
        (
            "time of an extent, trained, evaluated and written",
            f"{content['seconds_per_extent']:.2f} s",
        ),
        ("training, all members together", f"{content['images_per_second']:,.0f} images/s"),
        (
            "killed",
            f"{kill['seconds']:.2f} s after the record of extent {kill['after_extent']}",
        ),
        ("went on from epoch", str(resume["epoch"])),
        (
            "from the start of the command to training again",
            f"{resume['seconds_until_training']:.1f} s",
        ),
        ("to the next record", f"{resume['seconds_until_next_record']:.1f} s"),
        ("records", _mib(disk[RECORDS])),
        ("the two checkpoints that are kept", _mib(disk["checkpoints"])),
        ("written to the disk in all", _mib(content["written_bytes"])),
    ]
    checks = [(name, "PASS" if holds else "SHORT") for name, holds in content["checks"].items()]
    return [
        *markdown(("promised", "verdict"), checks),
        "",
        *markdown(("what", "measured"), quantities),
    ]


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"


if __name__ == "__main__":
    app.run(main)

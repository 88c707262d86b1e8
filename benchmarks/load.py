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

What the plan says: the numbers of `planning`, which are known before the first step. The state is
on the devices, which share the memory of the host here; the programs' results and temporaries are
those of the larger program, on all devices; the data are on every device. A checkpoint takes
further copies of the state on the host. Libraries and compiler are what this process itself holds
after it has compiled the same programs without a state.

Results: `load.json` with everything and `load.md` in `--output`. The exit code is 1 where a check
fails.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags

from benchmarks.environment import ROOT, describe_environment
from benchmarks.memory import Footprint, peak_resident_bytes
from benchmarks.summary import markdown
from ensemble_jax import load_run
from ensemble_jax.collection import place, use_all_cores
from ensemble_jax.data import channel_statistics, load_dataset
from ensemble_jax.evaluation import CollectionEvaluation, make_evaluator
from ensemble_jax.models import make_network
from ensemble_jax.options import Model, Optimizer
from ensemble_jax.plan import parse_plan_request
from ensemble_jax.planning import default_plan
from ensemble_jax.planning.memory import program_bytes
from ensemble_jax.runs import Run
from ensemble_jax.runs.files import replace_file
from ensemble_jax.runs.layout import RECORDS, record_path
from ensemble_jax.training import CollectionTraining, make_member_training, place_examples
from experiments import report  # noqa: F401  # what the job holds as well, Matplotlib above all
from experiments.dataset import load_data
from experiments.roster import make_roster
from experiments.train_config import TrainConfig

_MEMBERS = flags.DEFINE_integer("members", 1000, "N.", lower_bound=1)
_EXTENTS = flags.DEFINE_integer("extents", 20, "Epochs, each an extent, after 0.", lower_bound=2)
_KILL_AFTER = flags.DEFINE_integer(
    "kill_after", None, "The extent after which the job is killed; by default half of them."
)
_TRAIN_IMAGES = flags.DEFINE_integer("train_images", 100, "Digits to train on.", lower_bound=100)
_TEST_IMAGES = flags.DEFINE_integer("test_images", 60, "Digits to test on.", lower_bound=1)
_PLAN = flags.DEFINE_string(
    "plan", "default,members_per_call=10", "As --config.plan of the main job; never measured here."
)
_UNDISTURBED = flags.DEFINE_list(
    "undisturbed",
    ["0:60", "940:1000"],
    "Ranges FIRST:END of members to train by themselves; enough for two calls of every device, "
    "since XLA makes another program of a single one.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moment of the kill.")
_OUTPUT = flags.DEFINE_string(
    "output", str(ROOT / "benchmarks" / "results" / "load"), "Where to write."
)

_DIGITS = "digits.npz"
_MOMENT = 0.02  # seconds between two looks at the job
# A checkpoint is a copy of the state that no device changes, made of a first one in pieces, and
# what is written of it lies beside it until it is on the disk.
_HOST_COPIES = 3
_MIB = 2**20


def main(_: Sequence[str]) -> int:
    """Plan, train and kill, go on, train undisturbed, compare, write."""
    environment = describe_environment()
    output = Path(_OUTPUT.value).absolute()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        content = {"environment": environment, **_measure()}
    output.mkdir(parents=True, exist_ok=True)
    replace_file(output / "load.json", f"{json.dumps(content, indent=1)}\n".encode())
    table = make_table(content)
    replace_file(output / "load.md", table.encode())
    print(table)
    return 0 if all(content["checks"].values()) else 1


def _measure() -> dict[str, Any]:
    """Everything, in the working directory."""
    _write_digits()
    fields = _config_fields()
    planned = plan_memory(TrainConfig(**fields))
    kill_after = _KILL_AFTER.value or _EXTENTS.value // 2
    directory = Path("run")
    first = _Job(fields, directory)
    killed = _kill_after(first, kill_after)
    before = _hashes(directory)
    second = _Job(fields, directory)
    second.watch_to_end()
    run = load_run(directory)
    after = _hashes(directory)
    checks = {
        "records of before the kill unchanged": before.items() <= after.items(),
        "every extent there": run.finished and run.extents == tuple(range(_EXTENTS.value + 1)),
    }
    for members in _UNDISTURBED.value:
        alone = Path(f"undisturbed-{members.replace(':', '-')}")
        _Job(fields | {"members": members}, alone).watch_to_end()
        checks[f"members {members} as undisturbed, to the bit"] = _same_bits(run, load_run(alone))
    peaks = {"until the kill": first.peak_bytes, "after it": second.peak_bytes}
    checks["resident memory at most as planned"] = max(peaks.values()) <= planned.total
    return {
        "kind": "ensemble_jax load",
        "job": first.command,
        "members": _MEMBERS.value,
        "sizes": dict(run.manifest.data.split_sizes),
        "plan": run.manifest.plan,
        "checks": checks,
        "planned_bytes": planned._asdict(),
        "peak_bytes": peaks,
        "kill": killed | {"records": len(before)},
        "resume": second.resumed_after(kill_after),
        "seconds_per_extent": median(first.seconds_per_extent),
        "images_per_second": float(np.nanmedian(run.train_images_per_second)),
        "disk_bytes": _disk_bytes(directory),
        "written_bytes": first.written_bytes + second.written_bytes,
    }


def _write_digits() -> None:
    """The first images of each split, as a set of their own."""
    digits = load_dataset("digits")
    sizes = {"train": _TRAIN_IMAGES.value, "test": _TEST_IMAGES.value}
    arrays = {}
    for name, split in digits.splits.items():
        arrays[f"{name}_images"] = split.inputs[: sizes[name]]
        arrays[f"{name}_labels"] = split.labels[: sizes[name]]
    np.savez(_DIGITS, class_names=np.array(digits.class_names), **arrays)


def _config_fields() -> dict[str, Any]:
    """The fields of the job's config that are not its defaults."""
    return {
        "dataset": f"npz:{_DIGITS}",
        "model": Model.MNIST_NET,
        "optimizer": Optimizer.ADADELTA,
        "learning_rate": 1.0,
        "decay_factor": 1.0,
        "num_members": _MEMBERS.value,
        "extents": tuple(range(_EXTENTS.value + 1)),
        "plan": _PLAN.value,
    }


class MemoryPlan(NamedTuple):
    """Bytes by what they are for."""

    libraries_and_compiler: int
    data: int
    state: int
    programs: int
    host_copies: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


def plan_memory(config: TrainConfig) -> MemoryPlan:
    """What the main job will need, from compiled programs and shapes; see the head of this file."""
    use_all_cores()
    dataset = load_data(config)
    roster = make_roster((config,), dataset)
    plan = parse_plan_request(config.plan).apply(default_plan(len(roster.ids), jax.local_devices()))
    placement = place(plan, len(roster.ids), jax.local_devices())
    mean, deviation = channel_statistics(dataset.train.inputs)
    network = make_network(
        config.model,
        num_classes=dataset.num_classes,
        input_shape=dataset.input_shape,
        mean=mean,
        deviation=deviation,
        convolution=plan.convolution,
    )
    examples = {
        name: place_examples(placement, split.inputs, split.labels)
        for name, split in dataset.splits.items()
    }
    training = CollectionTraining(
        make_member_training(network, config.optimizer, config.batch_size, plan.passes_per_step),
        placement,
        roster.members,
        examples["train"],
    )
    size = plan.evaluation_batch_size(config.batch_size, config.evaluation_batch_size)
    evaluation = CollectionEvaluation(
        make_evaluator(network, dataset.num_classes, size),
        placement,
        training.placed_state_shape.variables,
        examples,
    )
    programs = [training.compiled_epoch, *evaluation.compiled]
    state = _num_bytes(training.placed_state_shape)
    return MemoryPlan(
        libraries_and_compiler=peak_resident_bytes(),
        data=plan.num_devices * dataset.num_bytes,
        state=state,
        programs=plan.num_devices * max(map(program_bytes, programs)),
        host_copies=_HOST_COPIES * _num_bytes(training.state_shape),
    )


def _num_bytes(shapes):
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


class _Job:
    """The main job as a process of its own, and what was seen of it."""

    def __init__(self, fields: Mapping[str, Any], directory: Path) -> None:
        self.command = ["-m", "experiments.train", *_overrides(fields), f"--workdir={directory}"]
        self._records = directory / RECORDS
        self._output = Path(f"{directory}.txt")
        self.peak_bytes = self.written_bytes = 0
        self._already = set(self._record_names())
        self._seen_at: dict[str, float] = {}
        self._continued_at: float | None = None
        # Programs that others have compiled before would change what compiling takes.
        environment = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(Path("cache").absolute())}
        with self._output.open("wb") as output:
            self.started = time.perf_counter()
            self._process = subprocess.Popen(
                [sys.executable, *self.command],
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def watch(self, stop: Callable[[], bool]) -> None:
        """Look at the job until it ends or what is waited for has happened."""
        while self._process.poll() is None and not stop():
            now = time.perf_counter()
            footprint = Footprint.of(self._process.pid)
            self.peak_bytes = max(
                self.peak_bytes, footprint.resident_bytes, footprint.peak_resident_bytes
            )
            self.written_bytes = max(self.written_bytes, footprint.written_bytes)
            for name in self._record_names():
                self._seen_at.setdefault(name, now)
            if self._continued_at is None and "continuing" in self._told():
                self._continued_at = now
            time.sleep(_MOMENT)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def watch_to_end(self) -> None:
        """Look at the job until it ends; a RuntimeError says what it told where it failed."""
        self.watch(lambda: False)
        if self._process.returncode != 0:
            raise RuntimeError(f"the job failed: {self._told()}")

    def resumed_after(self, extent: int) -> dict[str, float]:
        """From which epoch it went on, and how long that took, in seconds since its start."""
        epoch = re.search(r"continuing \S+ after epoch (\d+)", self._told())
        new = [at for name, at in self._seen_at.items() if name not in self._already]
        if epoch is None or self._continued_at is None or not new:
            raise RuntimeError(f"the job did not go on after extent {extent}: {self._told()}")
        return {
            "epoch": int(epoch[1]),
            "seconds_until_training": self._continued_at - self.started,
            "seconds_until_next_record": min(new) - self.started,
        }

    @property
    def seconds_per_extent(self) -> list[float]:
        """Between the records of two epochs."""
        times = sorted(self._seen_at.values())
        return np.diff(times).tolist()

    def _record_names(self) -> list[str]:
        return [path.name for path in self._records.glob("extent-*.npz")]

    def _told(self) -> str:
        return self._output.read_text(errors="replace")


def _kill_after(job: _Job, extent: int) -> dict[str, float]:
    """Kill the job at a random moment between the record of this extent and the next."""
    name = record_path(Path(), extent).name
    job.watch(lambda: name in job._record_names())
    delay = random.Random(_SEED.value).random() * median(job.seconds_per_extent[-3:])
    until = time.perf_counter() + delay
    job.watch(lambda: time.perf_counter() >= until)
    killed_at = time.perf_counter()
    job.kill()
    return {"after_extent": extent, "seconds": delay, "at_second": killed_at - job.started}


def _overrides(fields: Mapping[str, Any]) -> list[str]:
    """The options of the main job that set these fields."""

    def written(value):
        if isinstance(value, tuple):
            return ",".join(map(str, value))
        return value.value if isinstance(value, Enum) else value

    return [f"--config.{name}={written(value)}" for name, value in fields.items()]


def _hashes(directory: Path) -> dict[str, str]:
    """The SHA-256 of every record."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((directory / RECORDS).glob("extent-*.npz"))
    }


def _same_bits(run: Run, undisturbed: Run) -> bool:
    """Whether the members of the second run do the same in both, at every extent."""
    rows = np.searchsorted(run.members, undisturbed.members)
    if run.extents != undisturbed.extents or (run.members[rows] != undisturbed.members).any():
        return False
    same = [
        np.array_equal(run.bits(split, extent)[:, rows], undisturbed.bits(split, extent))
        and np.array_equal(
            run.predictions(split, extent)[:, rows], undisturbed.predictions(split, extent)
        )
        for split in run.splits
        for extent in run.extents
    ]
    same += [
        np.array_equal(run.metrics[name][:, rows], of_undisturbed)
        for name, of_undisturbed in undisturbed.metrics.items()
    ]
    return all(same)


def _disk_bytes(directory: Path) -> dict[str, int]:
    """What lies in the run's folder at the end, by the first part of the path."""
    sizes: dict[str, int] = {}
    for path in directory.rglob("*"):
        if path.is_file():
            name = path.relative_to(directory).parts[0]
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return sizes


def make_table(content: Mapping[str, Any]) -> str:
    """The results in Markdown."""
    environment, planned = content["environment"], content["planned_bytes"]
    kill, resume = content["kill"], content["resume"]
    disk = content["disk_bytes"]
    quantities = [
        *((f"planned: {name.replace('_', ' ')}", _mib(size)) for name, size in planned.items()),
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
    sizes = " and ".join(f"{size} {name}" for name, size in content["sizes"].items())
    return "\n".join(
        [
            "# Load",
            "",
            f"{environment['created']}, commit {environment['commit'] or 'unknown'}: "
            f"`{environment['command']}`",
            "",
            f"{environment['processor']}, {environment['cores']} cores; load average before the "
            f"start {environment['load_average'][0]:.2f}. {content['members']} members, {sizes} "
            f"images. The job: `{' '.join(['python', *content['job']])}`.",
            "",
            *markdown(
                ("promised", "verdict"),
                [(name, "PASS" if holds else "SHORT") for name, holds in content["checks"].items()],
            ),
            "",
            *markdown(("what", "measured"), quantities),
            "",
        ]
    )


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"


if __name__ == "__main__":
    app.run(main)

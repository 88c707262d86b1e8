"""What large collections take: the load that is measured, and the numbers of the page on scale."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import architecture_costs, main_job, scale
from benchmarks.memory import Footprint
from ensemble_jax.networks import Network, Variables
from ensemble_jax.options import Model

ROOT = Path(__file__).parent.parent


def run_benchmark(name, *options):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_collection_that_is_killed_stays_within_its_memory_and_loses_nothing(tmp_path):
    # As many undisturbed members, so that they have the same programs.
    table = run_benchmark(
        "load",
        *("--model=fully_connected", "--members=8", "--extents=4", "--kill_after=1"),
        "--undisturbed=5:13",
        *("--train_images=600", "--test_images=30", f"--output={tmp_path}"),
        "--plan=default,num_devices=1,members_per_call=2",
    )
    content = json.loads((tmp_path / "load.json").read_text())
    assert list(content["checks"].values()) == [True] * 4
    assert content["sizes"] == {"train": 600, "test": 30}
    assert content["kill"]["after_extent"] == 1
    assert 2 <= content["kill"]["records"] < 5
    assert 0 <= content["resume"]["epoch"] < 4
    # The network's parameters, two more numbers of each for AdaDelta, where it diverged, and the
    # step of the schedule.
    parameters = 64 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * 10 + 10
    assert content["planned_bytes"]["state"] == 8 * (3 * parameters + 2) * 4
    assert min(content["peak_bytes"].values()) > 10**8
    # Bits, a byte for each prediction, and two for the probability of each label.
    records = 8 * 5 * (75 + 3 * 600 + 4 + 3 * 30)
    assert records < content["disk_bytes"]["records"] < records + 5 * 4096
    assert table.count("| PASS |") == 4


class TestMainJob:
    @staticmethod
    def make_run(members, changed=None):
        """A run as it is compared; one value of one member is another."""
        shape = (len(members), 3)
        bits = np.arange(10)[list(members), None] + np.arange(3)
        arrays = {name: bits.copy() for name in ("bits", "predictions", "metrics")}
        if changed:
            arrays[changed][-1, -1] += 1
        assert bits.shape == shape
        return SimpleNamespace(
            members=np.array(members),
            extents=(0, 1),
            splits=("train",),
            bits=lambda split, extent: arrays["bits"][None],
            predictions=lambda split, extent: arrays["predictions"][None],
            metrics={"train_loss": arrays["metrics"].T},
        )

    def test_a_single_bit_is_noticed(self):
        run = self.make_run(range(10))
        assert main_job.same_bits(run, self.make_run([3, 4, 9]))
        for changed in ("bits", "predictions", "metrics"):
            assert not main_job.same_bits(run, self.make_run([3, 4, 9], changed))
        assert main_job.same_bits(self.make_run([3, 4, 5]), self.make_run([2, 4, 6]))
        assert not main_job.same_bits(self.make_run([3, 4]), self.make_run([5, 6]))

    def test_the_footprint_of_a_process_has_its_children(self):
        child = "x = bytearray(100_000_000); print(len(x), flush=True); input()"
        parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
        with subprocess.Popen(
            [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout.readline() == b"100000000\n"
            footprint = Footprint.of(process.pid)
            process.communicate(b"\n")
        assert footprint.resident_bytes > 100_000_000 > footprint.peak_resident_bytes > 1_000_000
        assert Footprint.of(process.pid) == Footprint()


class TestArchitectures:
    def test_every_architecture_is_there(self):
        assert {trained.model for trained in architecture_costs.TRAINED.values()} == set(Model)

    def test_counted_by_hand(self):
        counted = architecture_costs.count(architecture_costs.TRAINED["fully_connected"])
        weights = 3072 * 1024 + 1024 * 1024 + 1024 * 2
        assert counted.parameters == weights + 1024 + 1024 + 2
        # With the step of the schedule and the epoch of divergence.
        assert counted.state_bytes == 4 * counted.parameters + 8
        assert counted.operations == 6 * weights
        # At least what the three products multiply.
        assert counted.kept_bytes >= 4 * (3072 + 1024 + 1024)

    def test_what_a_linear_layer_keeps_is_its_input(self):
        def init(key, inputs):
            return Variables(jnp.ones((5, 3)), {})

        def apply(variables, inputs, *, key, train):
            return inputs @ variables.params, {}

        network = Network(init, apply)
        one, two = (
            architecture_costs.kept_bytes(network, np.ones((n, 5), np.float32)) for n in (1, 2)
        )
        assert two - one == 5 * 4

    @pytest.mark.slow
    def test_measures_and_writes(self, tmp_path):
        run_benchmark(
            "architectures",
            *("--architectures=fully_connected,vgg19_imagenet", "--seconds=0"),
            f"--output={tmp_path}",
        )
        content = json.loads((tmp_path / "architectures.json").read_text())
        rows = content["architectures"]
        measured = architecture_costs.Measured(**rows["fully_connected"]["measured"])
        assert measured.temporary_bytes > 4 * 100 * 1024
        operations = measured.examples_per_second * rows["fully_connected"]["counted"]["operations"]
        assert measured.peak_fraction == pytest.approx(
            operations / content["peak_operations_per_second"]
        )
        assert rows["vgg19_imagenet"]["measured"] is None
        # The published network's size.
        assert rows["vgg19_imagenet"]["counted"]["parameters"] == 143_667_240
        assert (
            "| vgg19_imagenet | 224x224x3 | 1000 |" in (tmp_path / "architectures.md").read_text()
        )


class TestPage:
    def test_has_the_numbers_of_the_stored_result(self):
        content = json.loads(scale.RESULT.read_text())
        assert set(content["architectures"]) == set(architecture_costs.TRAINED)
        page = scale.PAGE.read_text(encoding="utf-8")
        assert scale.render(page, content) == page, (
            "python -m benchmarks.scale brings it up to date"
        )

    def test_needs_its_markers(self):
        content = json.loads(scale.RESULT.read_text())
        with pytest.raises(ValueError, match="the markers of architectures once, got 0"):
            scale.render("nothing", content)

    def test_costs_by_hand(self):
        """5 members on 2 devices of 1,000 operations a second and 120 bytes."""
        machine = scale.Machine("two", 2, 1000.0, 120.0, "nobody")
        example = scale.Example("", "tiny", 5, {"train": 10, "test": 3}, 1, 4, epochs=6, extents=2)
        counted = architecture_costs.Counted(0, state_bytes=7, kept_bytes=2, operations=30)
        row = {"counted": counted._asdict(), "batch_size": 3}
        of = scale.cost(example, machine, {"architectures": {"tiny": row}})
        assert of.members_per_device == 3
        assert of.seconds == pytest.approx(3 * 30 * (60 + 26 / 3) / 1000)
        assert (of.state_bytes, of.step_bytes, of.data_bytes) == (21, 6, 13)
        # 96 bytes are usable, 62 beside state and data; a member of a call takes 6 and 14 of them.
        assert of.members_at_once == 3
        smaller = scale.cost(
            example, machine._replace(memory_bytes=100.0), {"architectures": {"tiny": row}}
        )
        assert smaller.members_at_once == 2
        assert of.feed_per_second == 0
        large = example._replace(image_bytes=3)
        of = scale.cost(large, machine, {"architectures": {"tiny": row}})
        assert (of.data_bytes, of.members_at_once) == (39, 3)
        assert of.feed_per_second == pytest.approx(60 / (of.seconds / scale.ASSUMED_FRACTION))
        assert example.record_bytes == 5 * (2 + 30 + 1 + 9)
        assert example._replace(num_classes=257).record_bytes == 5 * (2 + 40 + 1 + 12)

from __future__ import annotations

import dataclasses
import doctest
import json
import re
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
    acceptance,
    memory,
    operations,
    remote,
    results,
    rounds,
    summary,
    workloads,
)
from benchmarks.contender import Prepared, UnavailableError
from benchmarks.contenders import CONTENDERS, MATRIX_PRODUCT, make_contender
from benchmarks.environment import usable_cores
from benchmarks.jax_networks import workload_kit
from benchmarks.memory import Memory
from benchmarks.plain_networks import plain_network
from benchmarks.remote import ContenderError, RemoteContender, Training
from benchmarks.rounds import Measurement, Outcome, Protocol
from benchmarks.summary import Benchmark
from benchmarks.workloads import WORKLOADS, Task, load_training_set
from ensemble_jax.networks import Variables, count_parameters, variable_shapes
from ensemble_jax.ops import fast_key
from ensemble_jax.options import Model
from ensemble_jax.planning import Trial

ROOT = Path(__file__).parent.parent
PROTOCOL = Protocol(rounds=4, seconds=1.0, slow_seconds=10.0, slow_rounds=2, limit_seconds=60.0)
PLAN = "default,num_devices=1,members_per_call=all"
# Compile time is all the time there is, so nothing is optimised that is run once.
QUICK = {"xla_backend_optimization_level": 0}
NEEDS_TORCH = ("torch_loop", "torch_loop_channels_last", "torch_func")
LOOPS_OF_TORCH = ("torch_loop", "torch_func")


def tiny_task(contender, workload="mlp_digits", num_members=2, batch_size=50):
    return Task(contender, workload, num_members, batch_size, plan=PLAN)


def make_outcome(contender, speeds, *, num_members=4, **facts):
    """An outcome whose speed in round i is `speeds[i]`, or None where it was not measured."""
    prepared = Prepared(amount=100, num_members=num_members, temporary_bytes=2**21)
    measurements = [
        Measurement(i, 0, 100, 100 / speed, 1.0, Memory(3 * 2**20), 0.0)
        for i, speed in enumerate(speeds)
        if speed is not None
    ]
    task = tiny_task(contender, num_members=num_members)
    return Outcome(task, prepared=prepared, measurements=measurements, **facts)


@pytest.mark.parametrize("name", ["operations", "rounds", "summary"])
def test_examples_are_true(name):
    tested = doctest.testmod(import_module(f"benchmarks.{name}"))
    assert tested.attempted > 0
    assert tested.failed == 0


class TestOperations:
    def test_of_a_convolution_and_a_product_inside_calls(self):
        @jax.jit
        def forward(images, kernel, matrix):
            x = jax.lax.conv_general_dilated(
                images, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            return jax.nn.elu(x).reshape(len(x), -1) @ matrix

        count = operations.multiply_adds(
            forward, jnp.ones((7, 4, 4, 2)), jnp.ones((3, 3, 2, 5)), jnp.ones((20, 11))
        )
        assert count == 7 * (2 * 2 * 5) * (3 * 3 * 2) + 7 * 20 * 11

    def test_of_a_grouped_convolution(self):
        def forward(images, kernel):
            return jax.lax.conv_general_dilated(
                images,
                kernel,
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=2,
            )

        count = operations.multiply_adds(forward, jnp.ones((1, 4, 4, 6)), jnp.ones((3, 3, 3, 8)))
        assert count == (4 * 4 * 8) * (3 * 3 * 3)

    def test_of_a_loop_that_says_how_often_it_runs(self):
        def forward(vector, matrix):
            return jax.lax.scan(lambda x, _: (x @ matrix, None), vector, length=5)[0]

        count = operations.multiply_adds(forward, jnp.ones(3), jnp.ones((3, 3)))
        assert count == 5 * 3 * 3

    def test_of_another_loop_are_refused(self):
        def forward(x):
            return jax.lax.while_loop(lambda x: x[0] < 3, lambda x: x + 1, x)

        with pytest.raises(ValueError, match="while cannot be counted"):
            operations.multiply_adds(forward, jnp.ones(3))

    def test_branches_count_once_where_they_are_alike(self):
        def forward(x, weights):
            return jax.lax.cond(x.sum() > 0, jnp.matmul, lambda x, y: x @ y + 1, x, weights)

        assert operations.multiply_adds(forward, jnp.ones(3), jnp.ones((3, 5))) == 15

    def test_branches_that_differ_cannot_be_counted(self):
        def forward(x, weights):
            return jax.lax.cond(x.sum() > 0, jnp.matmul, lambda x, y: x * 2, x, weights)

        with pytest.raises(ValueError, match="unlike branches cannot be counted"):
            operations.multiply_adds(forward, jnp.ones(3), jnp.ones((3, 3)))

    def test_of_st_vgg_by_hand(self):
        layers = [(32, 3, 3, 32), (32, 3, 32, 32), (16, 3, 32, 64), (16, 3, 64, 64)]
        layers += [(8, 3, 64, 128), (8, 3, 128, 128), (4, 2, 128, 256), (4, 2, 256, 256)]
        by_hand = sum(side**2 * size**2 * before * after for side, size, before, after in layers)
        by_hand += 2 * 2 * 256 * 512 + 512 * 5
        assert operations.training_operations(WORKLOADS["st_vgg"]) == 6 * by_hand


@pytest.fixture
def torch_loops(monkeypatch):
    """The contenders of PyTorch with one thread: more disturb each other where others work."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks import torch_loops

    monkeypatch.setattr(torch_loops, "usable_cores", lambda: (0,))
    return torch_loops


class TestContenders:
    @pytest.mark.parametrize("name", [name for name in CONTENDERS if name != "processes"])
    def test_train_the_same_thing(self, name, request):
        if name in NEEDS_TORCH:
            request.getfixturevalue("torch_loops")
        if name == "torch_loop_channels_last":
            with pytest.raises(UnavailableError, match="memory formats"):
                make_contender(tiny_task(name))
            return
        contender = make_contender(tiny_task(name))
        prepared = contender.prepare(28)
        members = 1 if name == "one_member" else 2
        assert prepared.num_members == members
        assert prepared.amount == members * 28 * 50
        losses = [contender.train() for _ in range(6)]
        assert 3 > losses[0] > 0.8
        assert losses[-1] < 0.7 * losses[0]
        assert contender.memory().resident_bytes > 10**7

    @pytest.mark.parametrize(
        "name", ["ensemble_jax", "python_loop", "vmap_of_scan", *LOOPS_OF_TORCH]
    )
    def test_members_read_their_own_images_alone(self, name, request, monkeypatch):
        if name in LOOPS_OF_TORCH:
            request.getfixturevalue("torch_loops")
        workload = dataclasses.replace(
            WORKLOADS["c_score_mlp"], num_images=400, hidden_units=(9, 7)
        )
        monkeypatch.setitem(WORKLOADS, "tiny", workload)
        draw_images = workloads._random_images

        def draw_with_wrong_labels(shape, num_classes):
            """A label that there is not makes a loss that is not finite, or an error."""
            images, labels = draw_images(shape, num_classes)
            own = np.unique(dataclasses.replace(workload, batch_size=20).member_images(2, 3))
            assert 60 < len(own) < 121
            return images, np.where(np.isin(np.arange(len(labels)), own), labels, num_classes)

        monkeypatch.setattr(workloads, "_random_images", draw_with_wrong_labels)
        contender = make_contender(tiny_task(name, "tiny", batch_size=20))
        assert contender.prepare(3).amount == 2 * 3 * 20
        losses = [contender.train() for _ in range(40)]
        assert losses[-1] < 0.9 * losses[0]

    def test_subsets_are_as_large_as_the_steps_and_of_all_images(self):
        workload = WORKLOADS["c_score_mlp"]
        assert workload.most_steps == 20
        few, all_of_them = workload.member_images(3, 2), workload.member_images(3, 20)
        assert (few.shape, all_of_them.shape) == ((3, 200), (3, 2000))
        assert (np.diff(all_of_them) > 0).all()
        assert len(np.unique(all_of_them)) == pytest.approx(4000 * (1 - 1 / 8), rel=0.02)
        shared = WORKLOADS["mlp_digits"].member_images(2, 3)
        np.testing.assert_array_equal(shared, [range(300)] * 2)

    @pytest.mark.parametrize(
        "name",
        [
            "ensemble_jax",
            "python_loop",
            *(pytest.param(name, marks=pytest.mark.slow) for name in LOOPS_OF_TORCH),
        ],
    )
    def test_statistics_of_batches_are_kept(self, name, request, monkeypatch):
        if name in LOOPS_OF_TORCH:
            request.getfixturevalue("torch_loops")
        published = WORKLOADS["small_resnet"]
        options = dataclasses.replace(published.options, width=1)
        tiny = dataclasses.replace(published, options=options, image_shape=(4, 4, 1))
        monkeypatch.setitem(WORKLOADS, "tiny", tiny)
        contender = make_contender(tiny_task(name, "tiny", batch_size=8))
        contender.prepare(2)
        assert np.isfinite([contender.train() for _ in range(2)]).all()
        kept = {
            "ensemble_jax": lambda: contender._state.variables.state,
            "python_loop": lambda: [state.variables.state for state in contender._states],
            "torch_loop": lambda: [dict(m.named_buffers()) for m, _ in contender._members],
            "torch_func": lambda: contender._buffers,
        }[name]()
        for path, value in jax.tree.leaves_with_path(kept):
            assert np.isfinite(np.asarray(value)).all()
            assert (np.asarray(value) != float("var" in str(path))).any(), path

    def test_small_resnet_is_the_same_network(self, torch_loops):
        torch = torch_loops.torch
        options = dataclasses.replace(WORKLOADS["small_resnet"].options, width=2)
        workload = dataclasses.replace(WORKLOADS["small_resnet"], options=options, num_images=6)
        data = load_training_set(workload)
        network = workload_kit(workload, data).member_network(None)
        module = torch_loops.make_module(workload, data)
        variables = variable_shapes(network, data.images)
        params, stats = {}, {}
        for layer in module.modules():
            own = {name: x.detach().numpy() for name, x in layer.named_parameters(recurse=False)}
            if isinstance(layer, torch.nn.Conv2d):
                kind, values = "Conv", {"kernel": own["weight"].transpose(2, 3, 1, 0)}
            elif isinstance(layer, torch.nn.BatchNorm2d):
                kind, values = "BatchNorm", {"scale": own["weight"], "bias": own["bias"]}
            elif isinstance(layer, torch.nn.Linear):
                kind, values = "Dense", {"kernel": own["weight"].T, "bias": own["bias"]}
            else:
                continue
            number = sum(name.startswith(kind) for name in params)
            params[f"{kind}_{number}"] = values
            if kind == "BatchNorm":
                stats[f"{kind}_{number}"] = layer
        assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, variables.params)
        initial = jax.tree.map(lambda x: jnp.zeros(x.shape), variables.state)
        train = jax.jit(partial(network.apply, train=True), compiler_options=QUICK)
        logits, kept = train(
            Variables(params, initial), data.images, key=fast_key(jax.random.key(0))
        )
        kept = kept["batch_stats"]
        images = (data.images - data.mean) / data.std
        entries = {}

        def count(layer, inputs):
            entries[layer] = inputs[0].numel() // inputs[0].shape[1]

        for layer in stats.values():
            layer.register_forward_pre_hook(count)
        theirs = module(torch.from_numpy(images.transpose(0, 3, 1, 2)).contiguous())
        np.testing.assert_allclose(logits, theirs.detach(), atol=1e-4)
        for name, layer in stats.items():
            np.testing.assert_allclose(kept[name]["mean"], layer.running_mean, atol=1e-4)
            # Theirs began at one, and divide by one entry less.
            biased = (layer.running_var - 0.9) * (1 - 1 / entries[layer])
            np.testing.assert_allclose(kept[name]["var"], biased, atol=1e-4)

    @pytest.mark.slow
    @pytest.mark.parametrize(("members_per_call", "bounded"), [(2, True), ("all", False)])
    def test_memory_is_bounded_by_the_members_at_once(self, members_per_call, bounded):
        """Beyond one copy of the members, what more of them need is nothing."""
        plan = f"default,num_devices=1,members_per_call={members_per_call}"
        few, many = (
            make_contender(
                Task("ensemble_jax", "mlp_digits", members, batch_size=350, plan=plan)
            ).prepare(2)
            for members in (4, 12)
        )
        state = many.state_bytes - few.state_bytes
        assert state > 8 * 4 * 25_000
        assert (many.temporary_bytes - few.temporary_bytes <= state) == bounded

    def test_train_in_processes(self):
        with RemoteContender(tiny_task("processes", num_members=3), 60.0) as contender:
            prepared, _ = contender.prepare(28)
            processes = min(3, len(usable_cores()))
            assert prepared.choice == f"{processes} processes"
            assert (prepared.num_members, prepared.amount) == (3, 3 * 28 * 50)
            first, last = contender.train(1), contender.train(5)
            assert 3 > first.loss > 0.8
            assert last.loss < 0.7 * first.loss
            assert first.memory.resident_bytes > processes * 10**8

    @pytest.mark.parametrize("name", NEEDS_TORCH)
    @pytest.mark.usefixtures("torch_loops")
    def test_train_convolutions_in_torch(self, name):
        contender = make_contender(tiny_task(name, "small_cnn_digits", batch_size=10))
        assert contender.prepare(2).amount == 2 * 2 * 10
        first = contender.train()
        contender.prepare(70)
        for _ in range(2):
            contender.train()
        assert contender.train() < 0.8 * first

    @pytest.mark.parametrize("name", WORKLOADS)
    def test_have_the_same_parameters(self, name, torch_loops):
        workload = WORKLOADS[name]
        data = load_training_set(workload)
        network = workload_kit(workload, data).member_network(None)
        module = torch_loops.make_module(workload, data)
        parameters = sum(x.numel() for x in module.parameters())
        assert parameters == count_parameters(network, data.images[:1])
        images = torch_loops.torch.zeros(3, data.images.shape[3], *data.images.shape[1:3])
        assert module(images).shape == (3, data.num_classes)

    @pytest.mark.slow
    def test_the_plan_is_measured_unless_it_is_forced(self, monkeypatch):
        from benchmarks import collection

        def choose(plan):
            task = Task("ensemble_jax", "mlp_digits", 20, 100, plan)
            return collection.Collection(task, 20).prepare(2).choice

        forced = "num_devices=2,members_per_call=5,convolution=xla,microbatches=1"
        assert choose(forced) == "2 devices, 5 members at a time each, xla convolutions"
        monkeypatch.setattr(
            collection, "Trials", lambda task: lambda plan: Trial(1, 2, plan.members_per_call == 4)
        )
        assert choose("num_devices=2").startswith("2 devices, 4 members at a time each")

    def test_matrix_product(self):
        contender = make_contender(tiny_task(MATRIX_PRODUCT))
        size = int(re.findall(r"x (\d+), float32", contender.prepare(1).choice)[0])
        assert contender.prepare(3).amount == 3 * contender.prepare(1).amount
        assert contender.prepare(1).amount % (2 * size**3) == 0
        contender.train()
        assert np.isfinite(contender._left).all()

    def test_matrix_product_in_bfloat16(self, monkeypatch):
        monkeypatch.setattr("benchmarks.matrix_product._CPU_SIZES", (16,))
        task = Task(MATRIX_PRODUCT, "mlp_digits", 2, 50, plan="precision=bfloat16")
        contender = make_contender(task)
        assert contender.prepare(1).choice == "JAX, 16 x 16, bfloat16"
        contender.train()
        assert contender._left.dtype == jnp.bfloat16

    def test_data_is_what_the_workload_says(self):
        for workload in WORKLOADS.values():
            data = load_training_set(workload)
            assert len(data.images) == len(data.labels) == workload.num_images
            assert workload.num_images % workload.batch_size == 0
            assert workload.most_steps >= workloads.LEAST_STEPS
        assert len(np.unique(load_training_set(WORKLOADS["st_vgg"]).labels)) == 5
        assert WORKLOADS["mlp_digits"].model is Model.FULLY_CONNECTED


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets the peak start anew")
def test_memory_is_the_peak_since_it_was_forgotten():
    size = 3 * 10**8
    memory.release_unused()
    memory.forget_peak()
    before = memory.peak_resident_bytes()
    np.ones(size, np.uint8).sum()
    assert memory.peak_resident_bytes() > before + 0.9 * size
    memory.forget_peak()
    assert memory.peak_resident_bytes() < before + 0.5 * size


class TestWorker:
    def test_failure_is_reported_with_its_traceback(self):
        with pytest.raises(ContenderError, match="KeyError: 'nobody'") as caught:
            RemoteContender(tiny_task("nobody"), 60.0)
        assert "Traceback" in caught.value.details

    def test_what_cannot_take_part_says_why(self):
        pytest.importorskip("torch", reason="PyTorch is not installed")
        with pytest.raises(UnavailableError, match="there are no memory formats"):
            RemoteContender(tiny_task("torch_loop_channels_last"), 60.0)

    def test_death_is_reported(self):
        with RemoteContender(tiny_task(MATRIX_PRODUCT), 60.0) as contender:
            contender._process.kill()
            with pytest.raises(ContenderError, match="ended with signal 9"):
                contender.train(1)

    def test_limit_of_time_ends_it(self):
        with pytest.raises(ContenderError, match=r"took longer than 0\.01 s"):
            RemoteContender(tiny_task(MATRIX_PRODUCT), 0.01)


class TestPlainLayers:
    @pytest.mark.parametrize(
        ("name", "library"), [("st_vgg", "linen"), ("st_vgg", "nnx"), ("small_resnet", "linen")]
    )
    def test_are_the_networks_of_the_zoo(self, name, library):
        workload = dataclasses.replace(WORKLOADS[name], num_images=4)
        data = load_training_set(workload)
        zoo, plain = (
            workload_kit(workload, data, network).member_network(None)
            for network in (None, plain_network(workload, library))
        )
        variables = jax.jit(zoo.init, compiler_options=QUICK)(jax.random.key(0), data.images)
        of_plain = variable_shapes(plain, data.images)
        if library == "nnx":
            layers = [*of_plain.params.pop("convolutions").values(), *of_plain.params.values()]
            flat = [variables.params[f"Conv_{i}"] for i in range(8)]
            flat += [variables.params["Dense_0"], variables.params["Dense_1"]]
            own = {str(i): layer for i, layer in enumerate(flat[:8])}
            given = Variables({"convolutions": own, "hidden": flat[8], "output": flat[9]}, {})
            assert [jax.tree.map(jnp.shape, x) for x in flat] == [
                jax.tree.map(jnp.shape, x) for x in layers
            ]
        else:
            assert jax.tree.map(jnp.shape, of_plain) == jax.tree.map(jnp.shape, variables)
            given = variables
        outputs, expected = (
            jax.jit(partial(network.apply, key=None, train=False), compiler_options=QUICK)(
                of_network, data.images
            )[0]
            for network, of_network in ((plain, given), (zoo, variables))
        )
        np.testing.assert_allclose(outputs, expected, atol=1e-4)

    @pytest.mark.parametrize(
        ("speeds", "ratio", "verdict"),
        [
            ([95.0, 190.0, 90.0], "0.950 (0.900-0.950)", "PASS"),
            ([94.0, 200.0, 90.0], "0.940 (0.900-1.000)", "SHORT"),
        ],
    )
    def test_ratios_are_those_of_rounds(self, speeds, ratio, verdict):
        zoo = make_outcome("ensemble_jax", [100.0, 200.0, 100.0])
        first, second = acceptance.plain_rows([zoo, make_outcome("plain_nnx", speeds)])
        assert first[1:] == ("zoo", "100 (100-200)", "", "")
        assert (second[1], *second[-2:]) == ("flax.nnx", ratio, verdict)

    def test_what_failed_is_told(self):
        outcome = Outcome(tiny_task("plain_linen"), state="failed", reason="it died")
        assert next(acceptance.plain_rows([outcome]))[-1] == "failed: it died"


class FakeRemote:
    """Takes `seconds` for a call and writes down who was called."""

    log: ClassVar[list[str]] = []
    seconds: ClassVar[dict[str, float]] = {"python_loop": 0.1, "lax_map": 30.0, "processes": 0.5}

    def __init__(self, task, limit_seconds):
        self.name = task.contender
        if self.name == "torch_loop":
            raise UnavailableError("not installed")
        self.steps = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.log.append(f"close {self.name}")

    def prepare(self, steps):
        self.steps = steps
        return Prepared(10 * steps, 2), 1.0

    def train(self, calls):
        self.log.append(self.name)
        if self.name == "processes" and self.log.count(self.name) > 4:
            raise ContenderError("it died", "trace")
        return Training(self.seconds[self.name] * calls * self.steps / 2, 1.0, Memory(1), 0.0)


def test_rounds(monkeypatch):
    monkeypatch.setattr(rounds, "RemoteContender", FakeRemote)
    monkeypatch.setattr(FakeRemote, "log", [])
    lines = []
    tasks = [tiny_task(name) for name in ("python_loop", "lax_map", "processes", "torch_loop")]
    loop, slow, dying, absent = rounds.measure(tasks, PROTOCOL, lines.append)

    assert (loop.steps, loop.calls) == (20, 1)
    assert [m.round for m in loop.measurements] == [0, 1, 2, 3]
    assert [m.amount for m in loop.measurements] == [200] * 4
    assert loop.measurements[0].speed == pytest.approx(200)
    # Three for the choice of steps and three for that of calls; then one in each round.
    assert FakeRemote.log.count("python_loop") == 3 + 3 + 4
    assert (slow.steps, slow.calls) == (2, 1)
    assert [m.round for m in slow.measurements] == [0, 1]
    assert (dying.state, dying.reason, dying.details) == ("failed", "it died", "trace")
    assert (absent.state, absent.reason, absent.measurements) == (
        "unavailable",
        "not installed",
        [],
    )
    assert FakeRemote.log[-3:] == ["close processes", "close lax_map", "close python_loop"]
    assert any("failed: it died" in line for line in lines)
    assert any("unavailable: not installed" in line for line in lines)


def test_every_order_of_a_round_has_everyone_once():
    for count in (1, 2, 5):
        orders = [rounds.rotated(count, number) for number in range(2 * count)]
        assert all(sorted(order) == list(range(count)) for order in orders)
        places = {(place, who) for order in orders for place, who in enumerate(order)}
        assert len(places) == count**2, "everyone has every place"


class TestSummary:
    benchmark = Benchmark(
        "a title",
        10**7,
        [
            make_outcome(MATRIX_PRODUCT, [1e10, 2e10, 1e10]),
            make_outcome("ensemble_jax", [100.0, 400.0, 300.0]),
            make_outcome("python_loop", [50.0, 100.0, 300.0]),
            make_outcome("lax_map", [None, 200.0, None]),
            make_outcome("torch_loop", [10.0, 10.0, 10.0], state="failed", reason="it died"),
            Outcome(tiny_task("torch_func"), state="unavailable", reason="not | installed"),
        ],
    )

    def test_ratios_are_paired_in_rounds(self):
        project = self.benchmark.find("ensemble_jax")
        loop = self.benchmark.find("python_loop")
        assert summary.speedup(project, loop) == (2.0, 1.0, 4.0)
        assert summary.speedup(project, self.benchmark.find("lax_map")) == (2.0, 2.0, 2.0)
        assert self.benchmark.peak_fraction(project) == pytest.approx((0.2, 0.1, 0.3))
        assert summary.peak_memory(project) == 3 * 2**20

    def test_table(self):
        table = summary.make_table(self.benchmark)
        rows = {row.split(" | ")[0][2:]: row for row in table.splitlines() if row.startswith("| ")}
        assert rows["ensemble_jax"] == (
            "| ensemble_jax | 300 (100-400) |  | 3 | 20% (10%-30%) |  | 3 MiB | 2 MiB | 3 |  |"
        )
        assert "| 100 (50-300) | 2.00 (1.00-4.00) | 1 |" in rows["Python loop over a jitted step"]
        assert "then failed: it died" in rows["PyTorch loop"]
        assert rows["torch.func"].endswith("|  | unavailable: not \\| installed |")
        assert "against" in rows
        assert rows["the better PyTorch loop"].split(" | ")[1] == "PyTorch loop"
        assert rows["the best loop of any kind"].split(" | ")[1] == "lax.map of a compiled epoch"
        assert "10 (10-20) GFLOP/s" in table

    def test_promises_are_held_against_the_measurements(self):
        verdicts = {v.what: v for v in acceptance.judge([self.benchmark], [])}
        kept = verdicts.pop("mlp_digits: speed over the best loop of any kind")
        assert kept.held
        assert kept.measured == "2.00 (2.00-2.00) over lax.map of a compiled epoch"
        assert len(verdicts) == len(acceptance.PROMISES) - 1
        assert {v.held for v in verdicts.values()} == {None}
        table = acceptance.make_acceptance_table([kept, *verdicts.values()])
        assert table.count("| PASS |") == 1
        assert table.count("| not measured |") == len(verdicts)

    @pytest.mark.parametrize(
        ("speeds", "held"), [((100.0, 91.0), True), ((100.0, 250.0), True), ((100.0, 89.0), False)]
    )
    def test_cost_of_a_member_among_many(self, speeds, held):
        outcomes = [
            make_outcome("ensemble_jax", [images], num_members=members)
            for members, images in zip((8, 64), speeds, strict=True)
        ]
        speed, memory = acceptance.judge([], [Benchmark("a sweep", 10**7, outcomes)])[-2:]
        assert speed.held is held
        assert memory.held
        assert memory.measured == "0.0 MiB, the members 0.0 MiB"

    def test_memory_of_different_plans_is_not_compared(self):
        outcomes = [make_outcome("ensemble_jax", [1.0], num_members=members) for members in (8, 64)]
        outcomes[1].prepared = Prepared(1, 64, "other chunks", temporary_bytes=2**21)
        verdict = acceptance.judge([], [Benchmark("a sweep", 10**7, outcomes)])[-1]
        assert verdict.held is None
        assert "other chunks" in verdict.measured

    @pytest.mark.parametrize(("temporary", "held"), [(2**20, True), (2**20 + 1, False)])
    def test_temporary_memory_may_grow_by_a_copy_of_the_members(self, temporary, held):
        outcomes = [make_outcome("ensemble_jax", [1.0], num_members=members) for members in (8, 64)]
        outcomes[0].prepared = Prepared(1, 8, temporary_bytes=5, state_bytes=7)
        outcomes[1].prepared = Prepared(1, 64, temporary_bytes=5 + temporary, state_bytes=7 + 2**20)
        assert acceptance.judge([], [Benchmark("a sweep", 10**7, outcomes)])[-1].held is held

    def test_files(self, tmp_path):
        sweep = Benchmark(
            "a sweep",
            10**7,
            [
                make_outcome(MATRIX_PRODUCT, [1e10, 1e10]),
                make_outcome("ensemble_jax", [100.0, 110.0], num_members=1),
                make_outcome("ensemble_jax", [200.0, 220.0], num_members=2),
            ],
        )
        environment = {
            "created": "now",
            "commit": None,
            "command": "python",
            "processor": "P",
            "cores": 2,
            "device": "cpu",
            "load_average": [0.1, 0.2, 0.3],
            "versions": {"jax": "1"},
        }
        results.write_results(tmp_path, environment, PROTOCOL, [self.benchmark], [sweep])
        names = {"results.json", "table.md", "speed.png", "speed.svg", "sweep.png", "sweep.svg"}
        assert {path.name for path in tmp_path.iterdir()} == names
        content = json.loads((tmp_path / "results.json").read_text())
        loop = content["benchmarks"][0]["outcomes"][2]
        assert loop["task"]["contender"] == "python_loop"
        assert [m["seconds"] for m in loop["measurements"]] == [2.0, 1.0, 100 / 300]
        assert loop["measurements"][0]["memory"] == {
            "resident_bytes": 3 * 2**20,
            "device_bytes": None,
        }
        assert "| ensemble_jax | 2 | 210 (200-220) |" in (tmp_path / "table.md").read_text()

    def test_figure_shows_relative_speeds(self):
        relative = results._relative_speeds(self.benchmark)
        assert relative["Python loop over a jitted step"] == (0.5, 0.25, 1.0)
        assert relative["torch.func"] is None
        display = results.SpeedDisplay({"a title": relative}).plot()
        bars = display.axes_[0].patches
        assert [bar.get_x() + bar.get_width() for bar in bars] == pytest.approx([0.5, 0.5, 1 / 30])


class TestBinary:
    def run(self, *options):
        return subprocess.run(
            [sys.executable, "-m", "benchmarks.training_speed", *options],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )

    @pytest.mark.slow
    def test_measures_and_writes(self, tmp_path):
        done = self.run(
            "--workloads=mlp_digits",
            "--contenders=ensemble_jax,python_loop",
            "--members=2",
            "--batch_size=20",
            f"--plan={PLAN}",
            "--rounds=2",
            "--seconds=0",
            "--sweep=",
            f"--output={tmp_path}",
        )
        assert done.returncode == 0, done.stderr
        content = json.loads((tmp_path / "results.json").read_text())
        environment = content["environment"]
        assert environment["platform"] == "cpu"
        assert environment["versions"]["jax"] == jax.__version__
        assert environment["command"].startswith("python -m benchmarks.training_speed --workloads")
        (benchmark,) = content["benchmarks"]
        names = [outcome["task"]["contender"] for outcome in benchmark["outcomes"]]
        assert names == ["matrix_product", "ensemble_jax", "python_loop"]
        for outcome in benchmark["outcomes"]:
            assert outcome["state"] == "measured"
            assert [m["round"] for m in outcome["measurements"]] == [0, 1]
            assert all(m["idle_cpu_seconds"] < 0.5 for m in outcome["measurements"])
        by_hand = 64 * 128 + 128 * 128 + 128 * 10
        assert benchmark["operations"] == 6 * by_hand
        assert (tmp_path / "speed.png").exists()
        assert not (tmp_path / "sweep.png").exists()

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("--workloads=st_vg", "must be names of st_vgg, small_cnn_digits"),
            ("--contenders=torch", "must be names of ensemble_jax"),
            ("--sweep_members=0", "must be numbers of at least 1"),
            ("--batch_size=201", "must be at most 200"),
        ],
    )
    def test_wrong_options_are_answered(self, option, message, tmp_path):
        done = self.run(option, f"--output={tmp_path / 'new'}")
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "new").exists()


def test_workers_leave_with_the_driver(monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        remote.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )

    def work():
        with RemoteContender(tiny_task(MATRIX_PRODUCT), 60.0):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert started[0].poll() is not None


@pytest.mark.slow
def test_recording_measures_and_writes(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.recording", "--model=fully_connected"),
            *("--members=2", "--train_images=40", "--test_images=20", "--batch_size=20"),
            *("--plan=default,num_devices=1", "--epochs=1", "--rounds=2", f"--output={tmp_path}"),
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "recording.json").read_text())
    assert content["plan"]["num_devices"] == 1
    assert len(content["rounds"]) == 2
    for seconds in content["rounds"]:
        assert 0 < seconds["epochs"] + seconds["evaluations"] < seconds["whole"]
    # 60 images are evaluated and 40 trained on, of which a third of the time is the forward pass.
    ratios = [r["evaluations"] / (r["epochs"] / 3 * 60 / 40) for r in content["rounds"]]
    assert content["evaluation"]["least"] == pytest.approx(min(ratios))
    assert content["evaluation"]["largest"] == pytest.approx(max(ratios))
    table = (tmp_path / "recording.md").read_text()
    assert table.count("| PASS |") + table.count("| SHORT |") == 6
    seconds = content["seconds_of_evaluations"]
    bare = seconds.pop("forward passes")
    assert list(seconds) == ["predictions", "label_probability", "one number of each", "everything"]
    for name, some in seconds.items():
        ratios = [of_all / alone for of_all, alone in zip(some, bare, strict=True)]
        assert content["recording"][name]["largest"] == pytest.approx(max(ratios))


@pytest.mark.slow
def test_the_input_pipeline_measures_and_writes(tmp_path):
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.input_pipeline", "--model=fully_connected"),
            *(
                "--form=none",
                "--width=4",
                "--size=8",
                "--images=40",
                "--pool_images=16",
                "--batch_size=8",
            ),
            *("--members=1,2", "--rounds=2", "--plan=default,num_devices=1"),
            f"--output={tmp_path}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    content = json.loads((tmp_path / "input_pipeline.json").read_text())
    assert content["images"] == 40
    assert all(len(content["rounds"][n]) == 2 for n in ("1", "2"))
    assert all(
        seconds > 0 for of in content["rounds"].values() for r in of for seconds in r.values()
    )
    assert "Pools(num_examples=40, size=16)" in content["plans"]["2"]
    table = (tmp_path / "input_pipeline.md").read_text()
    assert [line.split()[1] for line in table.splitlines() if line.startswith("| ")] == [
        "N",
        "1",
        "2",
    ]

"""Sweeps: settings grouped by what one compiled step can train, equal to runs of their own."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from urllib.parse import unquote

import jax
import numpy as np
import pytest

from ensemble_jax import load_run, ops
from ensemble_jax.cli.sweep_config import Combination, SweepConfig, groups, parse_vary
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.cli.translate import training_of
from ensemble_jax.collection import Placement
from ensemble_jax.data import load_dataset
from ensemble_jax.evaluation import make_evaluator
from ensemble_jax.kit import make_kit
from ensemble_jax.membership import on_dataset
from ensemble_jax.options import Activation, Model, Optimizer, Schedule
from ensemble_jax.sweeping import folder_name
from ensemble_jax.training import CollectionTraining, make_member_training, place_examples

RATES = [0.002 * 1.2**i for i in range(20)]
EXTENTS = (0, 2)
SHARED = {"model": Model.FULLY_CONNECTED, "extents": EXTENTS}


def options(toy_set, *more):
    return (
        f"--config.dataset=npz:{toy_set}",
        "--config.model=fully_connected",
        "--config.num_members=1",
        "--config.plan=default,num_devices=1",
        "--config.batch_size=25",
        "--config.extents=0,2",
        *more,
    )


def table(folder):
    with (folder / "sweep.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rates(binaries, toy_set, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "rates"
    vary = "--vary=learning_rate=" + ",".join(map(repr, RATES))
    answer = binaries.run("sweep", *options(toy_set, vary), f"--workdir={folder}")
    assert answer.returncode == 0, answer.stderr
    assert "20 settings in 1 collections" in answer.stdout
    return folder


def test_twenty_learning_rates_are_twenty_runs(rates, toy_set):
    """One compiled step for all, and one for a single member with each of the rates in turn."""
    run = load_run(rates / "all")
    dataset = load_dataset(f"npz:{toy_set}")
    trainings = [
        training_of([TrainConfig(**SHARED, num_members=1, batch_size=25, learning_rate=rate)])
        for rate in RATES
    ]
    recipe = make_kit(trainings[0], dataset).recipe(ops.xla_convolution)
    evaluate = jax.jit(make_evaluator(recipe.network, dataset.num_classes, 500))
    placement = Placement(1, 1, tuple(jax.devices()[:1]))
    examples = place_examples(placement, dataset.train.inputs, dataset.train.labels)
    alone = [on_dataset(training.members, dataset, 25).members for training in trainings]
    programs = CollectionTraining(make_member_training(recipe), placement, alone[0], examples)
    np.testing.assert_allclose(run.hyperparameters["learning_rate"], RATES, rtol=1e-6)
    for row, members in enumerate(alone):
        single = programs.of(members)
        state = single.init()
        for epoch in range(EXTENTS[-1]):
            state, _ = single.epoch(state, epoch)
        variables = jax.tree.map(lambda x: x[0], state.variables)
        for split, its in dataset.splits.items():
            evaluation = evaluate(variables, its.inputs, its.labels)
            np.testing.assert_array_equal(
                run.predictions(split, EXTENTS[-1])[0, row], evaluation.predictions
            )
            assert run.metrics[f"{split}_loss"][-1, row] == pytest.approx(
                float(evaluation.loss), rel=1e-5
            )


def test_the_table_has_a_row_for_each_setting_extent_and_split(rates):
    rows = table(rates)
    run = load_run(rates / "all")
    assert len(rows) == 20 * 2 * 2
    assert [float(row["learning_rate"]) for row in rows[::4]] == pytest.approx(RATES, rel=1e-5)
    last = rows[4 * 7 + 3]
    assert (last["extent"], last["split"], last["members"], last["diverged"]) == (
        "2",
        "test",
        "1",
        "0",
    )
    accuracy = run.correct("test", 2)[0, 7].mean()
    assert float(last["accuracy_mean"]) == pytest.approx(accuracy, rel=1e-5)


def test_there_is_a_figure(rates):
    for kind in ("png", "svg"):
        assert (rates / f"sweep.{kind}").stat().st_size > 1000


def test_a_sweep_goes_on_where_it_was_and_then_says_so(binaries, rates, toy_set, contents):
    vary = "--vary=learning_rate=" + ",".join(map(repr, RATES))
    before = contents(rates)
    answer = binaries.run("sweep", *options(toy_set, vary), f"--workdir={rates}")
    assert answer.returncode == 0, answer.stderr
    assert "is finished" in answer.stdout
    assert contents(rates) == before
    answer = binaries.run(
        "sweep", *options(toy_set, "--vary=learning_rate=0.1,0.2"), f"--workdir={rates}"
    )
    assert answer.returncode == 2
    assert "holds a run with another config" in answer.error


def test_what_changes_programs_makes_collections(binaries, toy_set, tmp_path):
    answer = binaries.run(
        "sweep",
        *options(toy_set, "--vary=optimizer=sgd,adam", "--vary=l2=0,1e30"),
        "--config.num_members=2",
        f"--workdir={tmp_path / 'sweep'}",
    )
    assert answer.returncode == 0, answer.stderr
    sgd, adam = (load_run(tmp_path / "sweep" / f"optimizer={name}") for name in ("sgd", "adam"))
    assert sgd.config["optimizer"] == "sgd"
    assert json.dumps(sgd.config["settings"]) == '[{"l2": "0"}, {"l2": "1e+30"}]'
    assert adam.hyperparameters["number"].tolist() == [0, 1, 0, 1]
    # Members with such an L2 diverge, and are counted.
    assert set(sgd.diverged) == {2, 3}
    rows = table(tmp_path / "sweep")
    diverged = [row for row in rows if (row["optimizer"], row["l2"]) == ("sgd", "1e+30")]
    assert {(row["members"], row["diverged"], row["accuracy_mean"]) for row in diverged} == {
        ("0", "2", "nan")
    }
    assert {row["members"] for row in rows if row["l2"] == "0"} == {"2"}


@pytest.mark.parametrize("value", ["npz:../../x", "/etc", "a\\b", "..", "%2F", "é/ü"])
def test_a_collection_lies_in_one_folder_of_the_sweep(value):
    name = folder_name(f"dataset={value}")
    assert Path("sweep", name).name == name
    assert not set("/\\") & set(name)
    assert unquote(name) == f"dataset={value}"


def test_settings_of_a_grid_and_of_a_list():
    vary = {"learning_rate": [0.1, 0.2], "model": [Model.ST_VGG, Model.MNIST_NET]}
    grid = SweepConfig(vary=vary)
    assert len(grid.settings) == 4
    assert groups(grid) == {"model=st_vgg": [0, 2], "model=mnist_net": [1, 3]}
    listed = SweepConfig(vary=vary, combination=Combination.LIST)
    assert [setting["learning_rate"] for setting in listed.settings] == [0.1, 0.2]
    assert listed.with_values(listed.settings[1]) == TrainConfig(
        learning_rate=0.2, model=Model.MNIST_NET
    )


@pytest.mark.parametrize(
    ("name", "values", "together"),
    [
        ("weight_decay", [0.0, 0.1], True),
        ("warmup_epochs", [0.0, 0.5], True),
        ("clip_norm", [0.0, 1.0], True),
        ("label_smoothing", [0.0, 0.1], True),
        ("member_label_noise", [0.0, 0.1], True),
        # These are other programs, or members with other numbers of examples.
        ("optimizer", [Optimizer.ADAMW, Optimizer.LION], False),
        ("schedule", [Schedule.STEP, Schedule.COSINE], False),
        ("subset_fraction", [0.5, 1.0], False),
    ],
)
def test_what_one_collection_can_hold(name, values, together):
    found = groups(SweepConfig(vary={name: values}))
    assert list(found.values()) == ([[0, 1]] if together else [[0], [1]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=0.1,2", ("learning_rate", [0.1, 2.0])),
        ("batch_size=5,6", ("batch_size", [5, 6])),
        ("optimizer=sgd,adadelta", ("optimizer", [Optimizer.SGD, Optimizer.ADADELTA])),
        ("activation=none,relu", ("activation", [None, Activation.RELU])),
        ("linear=True,False", ("linear", [True, False])),
        ("dataset=digits,npz:a", ("dataset", ["digits", "npz:a"])),
        ("tied=order,dropout", ("tied", [("order",), ("dropout",)])),
    ],
)
def test_values_on_the_command_line(text, expected):
    assert parse_vary(text) == expected


MISTAKES = [
    ("--vary=learning_rate", ["--vary must be NAME=VALUE", "got 'learning_rate'"]),
    ("--vary=learn=1", ["--vary must be NAME=VALUE", "learning_rate", "got 'learn=1'"]),
    ("--vary=learning_rate=a,0.1", ["learning_rate must be of type float, got 'a'"]),
    ("--vary=batch_size=2.5", ["batch_size must be of type int, got '2.5'"]),
    ("--vary=batch_size=True", ["batch_size must be of type int, got 'True'"]),
    ("--vary=optimizer=sgd,sdg", ["optimizer must be one of sgd, ", "got 'sdg'"]),
    ("--vary=learning_rate=0.1,-1", ["vary: learning_rate must be positive, got -1.0"]),
    ("--vary=learning_rate=0.1,0.1", ["values of learning_rate must differ"]),
    ("--vary=num_members=1,2", ["vary must be of dataset, ", "got 'num_members'"]),
    ("--vary=dataset=digits,cifar", ["vary: dataset must be one of digits"]),
]


@pytest.mark.parametrize(("option", "parts"), MISTAKES, ids=[option for option, _ in MISTAKES])
def test_a_mistake_is_told_in_one_line_without_loading_jax(binaries, tmp_path, option, parts):
    answer = binaries.run("sweep", option, f"--workdir={tmp_path / 'sweep'}", jax=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    for part in parts:
        assert part in answer.error
    assert "jax" not in answer.modules
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vary": {}}, "vary must name at least one field"),
        ({"vary": {"learning_rate": 0.1}}, "learning_rate must have a list of values, got 0.1"),
        ({"vary": {"learning_rate": []}}, "learning_rate must have a list of values"),
        (
            {"vary": {"l2": [0.1], "seed": [1, 2]}, "combination": Combination.LIST},
            "with combination list all fields need as many values",
        ),
        ({"vary": {"batch_size": [1, "a"]}}, "vary: batch_size must be of type int, got 'a'"),
    ],
)
def test_a_config_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SweepConfig(**changes).validate()


def test_a_field_can_be_named_once(binaries, tmp_path):
    answer = binaries.run(
        "sweep", "--vary=l2=0,1", "--vary=l2=2", f"--workdir={tmp_path / 'sweep'}", jax=False
    )
    assert answer.returncode == 2
    assert "--vary must name l2 only once" in answer.error

"""The main job, from the command line to the files that it leaves."""

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from ensemble_jax import load_run
from ensemble_jax.analysis import (
    accessibility_score,
    bimodality,
    consensus_score,
    consistency_score,
    member_accuracy,
)

N = 3
EXTENTS = (0, 1, 3)
CLASSES = ("dim", "grey", "bright, white")
FIGURES = ("consistency", "consensus", "dynamics")


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs") / "new" / "run"


CONFIG = """
from ensemble_jax.options import Model
from ensemble_jax.cli.train_config import TrainConfig

def get_config():
    return TrainConfig(
        model=Model.SMALL_ST_VGG,
        extents=(0, 1, 3),
        batch_size=25,
        evaluation_batch_size=20,
        learning_rate=0.05,
        dropout_scale=1,
        plan="default,num_devices=1,members_per_call=all,convolution=patches",
    )
"""


@pytest.fixture(scope="module")
def command(directory, toy_arrays, tmp_path_factory) -> tuple[str, ...]:
    """A config file of the user's own, with overrides: a convolutional job on named examples."""
    folder = tmp_path_factory.mktemp("files")
    ids = {
        f"{split}_ids": np.array([f"{split}-{i:03d}" for i in range(size)])
        for split, size in {"train": 60, "test": 30}.items()
    }
    np.savez(folder / "named.npz", **toy_arrays(), **ids, class_names=np.array(CLASSES))
    (folder / "own.py").write_text(CONFIG)
    return (
        f"--config={folder / 'own.py'}",
        f"--config.dataset=npz:{folder / 'named.npz'}",
        f"--config.num_members={N}",
        "--config.dropout_scale=0.5",
        f"--workdir={directory}",
    )


@pytest.fixture(scope="module")
def answer(binaries, command):
    return binaries.run("train", *command)


@pytest.fixture(scope="module")
def run(answer, directory):
    assert answer.returncode == 0, answer.stderr
    return load_run(directory)


def test_it_says_what_it_does_and_where_everything_is(answer, directory):
    assert answer.returncode == 0
    data, described, plan, records, compiling, compiled, accuracy, *written = (
        answer.stdout.splitlines()
    )
    assert re.fullmatch(
        r"npz:\S+named\.npz: 60 train and 30 test examples; uint8 8x8x1 in 0\.\.25\d; 3 classes "
        r"\(smallest: \S+ with \d+ train examples\).*",
        data,
    )
    assert re.fullmatch(r"3 members of small_st_vgg on npz:\S+named\.npz, 3 epochs", described)
    assert plan == ("plan: 1 device, all members at a time, patches convolutions (as asked for)")
    assert re.fullmatch(
        r"records: \d\.\d kB an extent, \d\.\d kB in all: correctness and predicted classes; "
        r"label_probability of train, test",
        records,
    )
    assert compiling == "compiling"
    assert re.fullmatch(r"compiled in \d+\.\d s", compiled)
    assert re.fullmatch(
        r"test accuracy after epoch 3: 0\.\d{4} \(members 0\.\d{4} to [01]\.\d{4}\)", accuracy
    )
    files = [
        "report.html",
        "scores.csv",
        "dynamics.csv",
        *(f"figures/{name}.png" for name in FIGURES),
    ]
    assert written == [f"wrote {directory / name}" for name in files]


def test_lines_tell_epochs_accuracy_bimodality_and_speed_and_nothing_else_is_said(answer):
    """There is no terminal, hence no bar."""
    assert "\r" not in answer.stderr
    shown = answer.stderr.splitlines()
    assert all(line.startswith("training: epoch ") for line in shown), answer.stderr
    assert shown[0].startswith("training: epoch 0 of 3: ")
    score = r"\d\.\d{3}±\d\.\d{3} bimodality (\d\.\d\d|nan)"
    speed = r"[\d,]+ images/s, [\d.e+]+ members/s"
    assert re.search(rf"epoch 3 of 3: train {score}, test {score}, {speed}$", shown[-1])


def test_the_bar_tells_what_the_run_holds(answer, run):
    last = answer.stderr.splitlines()[-1]
    for split in run.splits:
        correct = run.correct(split, extents=EXTENTS[-1])[0]
        accuracy = member_accuracy(correct)
        score = bimodality(consistency_score(correct))
        assert f"{split} {accuracy.mean():.3f}±{accuracy.std():.3f} bimodality {score:.2f}" in last


def test_the_run_is_described(run, command, directory):
    assert run.finished
    assert run.extents == EXTENTS
    assert run.members.tolist() == list(range(N))
    assert run.diverged == {}
    assert run.class_names == CLASSES
    assert run.ids["test"].tolist() == [f"test-{i:03d}" for i in range(30)]
    assert run.labels["train"].tolist() == [i % 3 for i in range(60)]
    content = json.loads((directory / "run.json").read_text())
    assert content["config"] == {
        "dataset": command[1].partition("=")[2],
        "word_vectors": "",
        "classes": [],
        "train_fraction": 1.0,
        "label_noise": 0.0,
        "random_labels": False,
        "probes": [],
        "model": "small_st_vgg",
        "width": 0,
        "depth": 0,
        "kernel_size": 0,
        "dense": 0,
        "growth": 0,
        "activation": None,
        "initialiser": None,
        "linear": False,
        "form": None,
        "num_members": N,
        "members": [0, 1, 2],
        "extents": list(EXTENTS),
        "batch_size": 25,
        "evaluation_batch_size": 20,
        "seed": 0,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "schedule": "step",
        "decay_factor": 1.8,
        "decay_epochs": 20,
        "warmup_epochs": 0.0,
        "momentum": 0.9,
        "l2": 0.0,
        "weight_decay": 0.0,
        "clip_norm": 0.0,
        "label_smoothing": 0.0,
        "dropout_scale": 0.5,
        "tied": [],
        "partitions": 0,
        "folds": 0,
        "augmentation": [],
        "record": ["label_probability"],
        "pool_images": 0,
        "subset_fraction": 1.0,
        "member_label_noise": 0.0,
        "protocol": "trajectory",
        "plan": "default,num_devices=1,members_per_call=all,convolution=patches",
        "precision": "auto",
    }
    assert content["plan_reason"] == "as asked for"
    assert content["plan"] == {
        "num_devices": 1,
        "members_per_call": 0,
        "convolution": "patches",
        "pool_images": 0,
        "precision": "float32",
        "microbatches": 1,
    }
    assert content["data"]["split_sizes"] == {"train": 60, "test": 30}
    assert content["data"]["input_shape"] == [8, 8, 1]
    assert content["protocol"] == "trajectory"
    assert len(content["devices"]) == 1
    assert "jax" in content["versions"]
    for argument in command:
        assert argument in content["command"]


def test_the_files_are_those_of_a_run_and_no_others(answer, directory):
    names = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith("checkpoints/")} == {
        "run.json",
        "examples.npz",
        "metrics.jsonl",
        "scores.csv",
        "dynamics.csv",
        "report.html",
        *(f"records/extent-{extent:06d}.npz" for extent in EXTENTS),
        *(f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "svg")),
    }
    checkpoints = {path.name for path in (directory / "checkpoints").iterdir()}
    assert len(checkpoints) == 2
    assert "3" in checkpoints


def test_the_metrics_of_every_extent_are_one_line(run, directory):
    text = (directory / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["extent"] for line in lines] == list(EXTENTS)
    for row, line in enumerate(lines):
        assert set(line) == {
            "extent",
            "train_loss",
            "train_accuracy",
            "test_loss",
            "test_accuracy",
            "train_images_per_second",
        }
        for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
            assert len(line[name]) == N
            np.testing.assert_array_equal(np.float32(line[name]), run.metrics[name][row])
        for split in ("train", "test"):
            # The bits, the predictions and the metrics of an extent are one and the same thing.
            correct = run.correct(split, extents=line["extent"])[0]
            predicted = run.predictions(split, extents=line["extent"])[0]
            np.testing.assert_array_equal(correct, predicted == run.labels[split])
            np.testing.assert_allclose(line[f"{split}_accuracy"], correct.mean(-1), rtol=1e-6)
    speeds = [line["train_images_per_second"] for line in lines]
    assert speeds[0] is None
    assert all(speed > 0 for speed in speeds[1:])


def test_members_differ_and_learn(run):
    predictions = run.predictions("train")
    assert not np.array_equal(predictions[0, 0], predictions[0, 1])
    losses = run.metrics["train_loss"]
    assert (losses[-1] < losses[0]).all()


def test_the_table_of_scores_is_what_the_analysis_says(run, directory):
    with (directory / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [f"{score}_{extent}" for score in ("consistency", "consensus") for extent in EXTENTS]
    assert list(rows[0]) == ["split", "id", "label", "class", "accessibility", *names]
    assert [row["split"] for row in rows] == ["train"] * 60 + ["test"] * 30
    for split in ("train", "test"):
        own = [row for row in rows if row["split"] == split]
        assert [row["id"] for row in own] == run.ids[split].tolist()
        assert [int(row["label"]) for row in own] == run.labels[split].tolist()
        assert [row["class"] for row in own] == [CLASSES[label] for label in run.labels[split]]
        correct = run.correct(split)
        expected = np.concatenate(
            [
                accessibility_score(correct)[None],
                consistency_score(correct),
                consensus_score(run.predictions(split), len(CLASSES)),
            ]
        )
        written = [[float(row[name]) for row in own] for name in ("accessibility", *names)]
        np.testing.assert_allclose(written, expected, rtol=1e-5)


def test_the_table_of_extents_is_what_the_analysis_says(run, directory):
    with (directory / "dynamics.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == [
        "extent",
        "split",
        "accuracy_mean",
        "accuracy_std",
        "accuracy_min",
        "accuracy_max",
        "consistency_bimodality",
        "consensus_mean",
    ]
    assert [(int(row[0]), row[1]) for row in rows] == [
        (extent, split) for extent in EXTENTS for split in ("train", "test")
    ]
    for extent, split, *values in rows:
        correct = run.correct(split, extents=int(extent))[0]
        accuracy = correct.mean(axis=-1)
        consensus = consensus_score(run.predictions(split, extents=int(extent))[0], len(CLASSES))
        expected = [
            accuracy.mean(),
            accuracy.std(),
            accuracy.min(),
            accuracy.max(),
            bimodality(consistency_score(correct)),
            consensus.mean(),
        ]
        np.testing.assert_allclose(np.array(values, float), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_there_as_png_and_svg(answer, directory, name):
    png = (directory / "figures" / f"{name}.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
    root = ElementTree.parse(directory / "figures" / f"{name}.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_run_is_labelled(run):
    dataset = run.to_xarray()
    assert dataset.sizes == {
        "extent": 3,
        "member": N,
        "class": 3,
        "example_train": 60,
        "example_test": 30,
    }
    chosen = dataset["correct_test"].sel(extent=3, member=1, example_test="test-004")
    assert chosen.item() == run.correct("test")[2, 1, 4]
    np.testing.assert_array_equal(
        dataset["correct_train"].mean("example_train"), run.correct("train").mean(-1)
    )


def test_compiled_programs_are_kept(answer, binaries):
    assert list((binaries.cache / "ensemble_jax" / "compiled").iterdir())


def test_a_finished_run_says_so_at_once_and_changes_nothing(
    run, binaries, command, directory, contents, tmp_path
):
    before = contents(directory)
    # Where data lies and how the same members are named makes no other config.
    same = (f"--config.data_dir={tmp_path}", "--config.members=0:3")
    again = binaries.run("train", *command, *same, jax=False)
    assert again.returncode == 0
    assert again.stderr == ""
    assert again.stdout.startswith(f"{directory} is finished: 3 members of small_st_vgg on ")
    assert "test accuracy after epoch 3" in again.stdout
    assert "jax" not in again.modules
    assert contents(directory) == before


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("--config.learning_rate=0.1", "learning_rate: 0.05 -> 0.1"),
        ("--config.optimizer=adam", 'optimizer: "sgd" -> "adam"'),
        ("--config.num_members=2", "members: [0, 1, 2] -> [0, 1]"),
        ("--config.members=1:5", "members: [0, 1, 2] -> [1, 2, 3, 4]"),
    ],
)
def test_another_config_is_refused_with_the_difference(
    run, binaries, command, directory, contents, override, difference
):
    before = contents(directory)
    refused = binaries.run("train", *command, override, jax=False)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert str(directory) in refused.error
    assert "--workdir" in refused.error
    assert difference in refused.error
    assert "jax" not in refused.modules
    assert contents(directory) == before

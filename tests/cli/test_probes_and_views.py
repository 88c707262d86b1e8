"""Views and probes from the command line to the tables: a job on half of two of three classes."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from ensemble_jax import load_run
from ensemble_jax.analysis import consensus_score
from ensemble_jax.data import (
    add_probes,
    keep_train_fraction,
    load_dataset,
    select_classes,
    with_label_noise,
)

CLASSES = ("bright, white", "dim")
EXTENTS = (0, 1, 3)
N = 3


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs") / "viewed"


@pytest.fixture(scope="module")
def name(toy_arrays, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("files") / "three.npz"
    np.savez(path, **toy_arrays(), class_names=np.array(["dim", "grey", "bright, white"]))
    return f"npz:{path}"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Four pictures of other sizes."""
    folder = tmp_path_factory.mktemp("files") / "photos"
    folder.mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (12 + number, 9, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def dataset(name, photos, tmp_path_factory):
    dataset = select_classes(load_dataset(name), CLASSES)
    dataset = with_label_noise(keep_train_fraction(dataset, 0.5, seed=5), 0.25, seed=5)
    probes = ["noise:13", f"all=test_of:{name}", f"images:{photos}"]
    return add_probes(dataset, probes, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def command(directory, name, photos) -> tuple[str, ...]:
    return (
        f"--config.dataset={name}",
        '--config.classes="bright, white",dim',
        "--config.train_fraction=0.5",
        "--config.label_noise=0.25",
        f"--config.probes=noise:13,all=test_of:{name},images:{photos}",
        "--config.model=fully_connected",
        f"--config.num_members={N}",
        "--config.seed=5",
        "--config.batch_size=8",
        "--config.evaluation_batch_size=6",
        f"--config.extents={','.join(map(str, EXTENTS))}",
        "--config.plan=default,num_devices=1",
        f"--workdir={directory}",
    )


@pytest.fixture(scope="module")
def answer(binaries, command):
    return binaries.run("train", *command)


@pytest.fixture(scope="module")
def run(answer, directory):
    assert answer.returncode == 0, answer.stderr
    return load_run(directory)


def test_the_run_is_of_the_view(run, dataset, name, photos, directory):
    assert run.class_names == CLASSES
    for split, examples in dataset.splits.items():
        np.testing.assert_array_equal(run.labels[split], examples.labels)
        np.testing.assert_array_equal(run.ids[split], examples.ids)
        np.testing.assert_array_equal(run.correct(split), run.predictions(split) == examples.labels)
    assert len(run.labels["train"]) == 20
    content = json.loads((directory / "run.json").read_text())
    assert content["data"]["name"] == f"{name}, train fraction 0.5, label noise 0.25"
    assert content["data"]["probe_sizes"] == {"noise": 13, "all": 30, "photos": 4}
    assert content["config"]["classes"] == list(CLASSES)
    assert content["config"]["probes"] == [
        "noise:13",
        f"all=test_of:{name}",
        f"images:{photos}",
    ]


def test_the_run_has_the_probes(run, dataset):
    assert run.probes == ("noise", "all", "photos")
    for probe, examples in dataset.probes.items():
        np.testing.assert_array_equal(run.ids[probe], examples.ids)
        assert run.predictions(probe).shape == (len(EXTENTS), N, len(examples))
        assert run.predictions(probe).max() <= 1
    assert run.ids["photos"].tolist() == [f"{number}.png" for number in range(4)]
    # The examples that are in the test set as well.
    positions = np.searchsorted(run.ids["all"], run.ids["test"])
    np.testing.assert_array_equal(run.predictions("all")[:, :, positions], run.predictions("test"))


def test_predictions_are_those_of_the_members_on_the_disk(run, dataset):
    for probe, examples in dataset.probes.items():
        outputs = run.predict(examples.inputs)
        np.testing.assert_array_equal(run.predictions(probe)[-1], outputs.argmax(-1))


def test_the_tables_have_a_probe_where_no_label_is_needed(run, directory):
    with (directory / "dynamics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in run.probes]
    assert [(int(row["extent"]), row["split"]) for row in rows] == [
        (extent, probe) for extent in EXTENTS for probe in run.probes
    ]
    scores = {probe: consensus_score(run.predictions(probe), 2) for probe in run.probes}
    for row in rows:
        mean = scores[row["split"]][EXTENTS.index(int(row["extent"]))].mean()
        assert float(row["consensus_mean"]) == pytest.approx(mean, rel=1e-5)
        empty = {name for name, value in row.items() if value == ""}
        assert empty == set(row) - {"extent", "split", "consensus_mean"}
    with (directory / "scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in run.probes]
    assert [(row["split"], row["id"]) for row in rows] == [
        (probe, str(id)) for probe in run.probes for id in run.ids[probe]
    ]
    for position, extent in enumerate(EXTENTS):
        written = [float(row[f"consensus_{extent}"]) for row in rows]
        expected = np.concatenate([scores[probe][position] for probe in run.probes])
        np.testing.assert_allclose(written, expected, rtol=1e-5)
    needs_labels = ["label", "class", "accessibility", *(f"consistency_{e}" for e in EXTENTS)]
    assert {row[name] for row in rows for name in needs_labels} == {""}


def test_the_figure_of_consensus_has_a_row_for_each_probe(run, directory):
    texts = (directory / "figures" / "consensus.svg").read_text()
    rows = [
        texts.index(f"<!-- {row} -->") for row in ("test", "noise", "all", "photos", "independent")
    ]
    assert rows == sorted(rows)
    assert "<!-- noise -->" not in (directory / "figures" / "consistency.svg").read_text()


def test_an_interrupted_run_goes_on_to_the_same_bits(
    run, binaries, command, directory, assert_same_records, tmp_path
):
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    (copy / "records" / "extent-000003.npz").unlink()
    shutil.rmtree(copy / "checkpoints" / "3")
    answer = binaries.run("train", *command[:-1], f"--workdir={copy}")
    assert answer.returncode == 0, answer.stderr
    assert re.search(rf"continuing {copy} after epoch [0-2]\n", answer.stdout)
    assert_same_records(copy, directory)


def test_other_views_and_probes_are_another_config(run, binaries, command, directory, contents):
    before = contents(directory)
    changes = ("--config.probes=noise:14", "--config.classes=dim,grey")
    refused = binaries.run("train", *command, *changes)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert 'probes: ["noise:13", "all=test_of:' in refused.error
    assert '-> ["noise:14"]' in refused.error
    assert 'classes: ["bright, white", "dim"] -> ["dim", "grey"]' in refused.error
    assert contents(directory) == before


def test_other_examples_of_a_probe_are_told(run, binaries, command, directory, name, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    (copy / "records" / "extent-000003.npz").unlink()
    path = copy / "examples.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"ids_all": arrays["ids_all"] + 1})
    answer = binaries.run("train", *command[:-1], f"--workdir={copy}")
    assert answer.returncode == 2
    assert f"{copy} has other examples of the probe all than there are now" in answer.error


def test_a_run_from_before_there_were_views_and_probes_goes_on(
    undisturbed, binaries, toy_job, tmp_path
):
    copy = tmp_path / "old"
    shutil.copytree(undisturbed, copy)
    content = json.loads((copy / "run.json").read_text())
    for field in ("classes", "train_fraction", "label_noise", "random_labels", "probes"):
        del content["config"][field]
    del content["data"]["probe_sizes"]
    content["settings"] = content.pop("hyperparameters")
    (copy / "run.json").write_text(json.dumps(content | {"format": 1}))
    answer = binaries.run("train", *toy_job, f"--workdir={copy}")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith(f"{copy} is finished: ")
    refused = binaries.run("train", *toy_job, "--config.random_labels", f"--workdir={copy}")
    assert "random_labels: false -> true" in refused.error

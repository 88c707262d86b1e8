"""`audit`: from a set with wrong labels to their table, with one's own network and by name."""

from __future__ import annotations

import csv

import numpy as np
import optax
import pytest
from flax import linen as nn

import ensemble_jax as ej
from ensemble_jax.analysis import Issue

M, K, WRONG = 60, 3, (3, 17, 40)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(K)(x.reshape(len(x), -1))


@pytest.fixture(scope="module")
def data():
    """Three bright corners; three labels are wrong, and one image is there with two labels."""
    rng = np.random.default_rng(0)
    truth = np.arange(M) % K
    images = rng.integers(0, 60, (M, 4, 4, 1), dtype=np.uint8)
    images[np.arange(M), truth, truth] = 255
    labels = truth.copy()
    labels[list(WRONG)] = (labels[list(WRONG)] + 1) % K
    images[50], truth[50], labels[50] = images[0], truth[0], (labels[0] + 2) % K
    return ej.Dataset.from_arrays(
        train=(images, labels),
        test=(rng.integers(0, 255, (K, 4, 4, 1), dtype=np.uint8), np.arange(K)),
        class_names=("NA", "b", "c"),
        train_true_labels=truth,
    )


OPTIONS = {
    "optimizer": lambda hp: optax.adam(0.02),
    "batch_size": 8,
    "extents": (0, 5, 15),
    "plan": "default,num_devices=1",
}


@pytest.fixture(scope="module")
def audited(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("audit") / "run"
    return ej.audit(data, Net(), members=6, folds=3, workdir=workdir, apply=True, **OPTIONS)


def test_it_finds_what_is_wrong(audited):
    table = audited.table()
    mislabelled = table[table["issue"] == Issue.MISLABELLED.value]
    assert set(mislabelled["id"]) == set(WRONG)
    truth = np.arange(M) % K
    names = np.array(["NA", "b", "c"])
    assert mislabelled["suggested_label"].tolist() == names[truth[mislabelled["id"]]].tolist()
    duplicates = table[table["issue"] == Issue.DUPLICATE.value]
    assert set(duplicates["id"]) == {0, 50}
    assert (np.diff(table["score"]) >= 0).all()
    assert len(audited.table(everything=True)) == M
    assert "3 likely mislabelled" in str(audited)


def test_every_example_is_held_out_equally_often(audited):
    assert ((~audited.run.train_mask).sum(axis=0) == 2).all()


def test_it_is_scored_against_the_truth_beside_all_other_scores(audited):
    assert audited.detection["audit"].auroc > 0.99
    assert {"audit", "accessibility", "confidence"} <= set(audited.detection)
    assert audited.agreement["confidence"] > 0.5


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files(audited, data):
    folder = audited.run.directory
    assert [path.name for path in audited.paths] == ["issues.csv", "labels.csv", "audit.html"]
    issues, rows = (read_rows(folder / name) for name in ("issues.csv", "labels.csv"))
    table = audited.table()
    assert [int(row["id"]) for row in issues] == table["id"].tolist()
    assert [row["given_label"] for row in issues] == table["given_label"].tolist()
    assert [float(row["score"]) for row in issues] == table["score"].tolist()
    kept = [m for m in range(M) if m not in {*WRONG, 0, 50}]
    assert [int(row["id"]) for row in rows] == kept
    names = data.class_names
    assert [row["label"] for row in rows] == [names[data.train.labels[m]] for m in kept]
    page = (folder / "audit.html").read_text("utf-8")
    assert page.count("data:image/png") >= len(WRONG)
    assert "Found against the truth" in page


def test_the_same_call_trains_nothing_again(audited, data, capsys):
    folder = audited.run.directory
    again = ej.audit(data, Net(), members=6, folds=3, workdir=folder, **OPTIONS)
    assert "is finished" in capsys.readouterr().out
    np.testing.assert_array_equal(again.found.score, audited.found.score)


def test_without_data_there_are_no_pictures_and_no_duplicates(audited, tmp_path):
    alone = ej.audit_run(audited.run, directory=tmp_path / "elsewhere")
    assert alone.found.issues.count(Issue.DUPLICATE) == 0
    assert "data:image/png" not in (tmp_path / "elsewhere" / "audit.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"members": 7}, "members must be a multiple of folds, .* got 7 and 3"),
        ({"members": 4, "folds": 1}, "members must be a multiple of folds, .* got 4 and 1"),
        ({"members": ej.members(4)}, "folds must be at least 2 for an audit, got 0"),
        ({"members": ej.members(4, folds=3)}, "num_members must be a multiple of folds, 3, got 4"),
        (
            {"members": ej.members(2, subset_fraction=0.9)},
            "each example must be held out of a member, got .* that all were trained on",
        ),
    ],
)
def test_mistakes(data, changes, words):
    with pytest.raises(ValueError, match=words):
        ej.audit(data, Net(), **({"members": 6, "folds": 3} | OPTIONS | changes))


def test_a_run_that_did_not_record_enough(data):
    run = ej.train(Net(), data, members=ej.members(2, folds=2), **OPTIONS)
    with pytest.raises(ValueError, match="probabilities"):
        ej.audit_run(run, data)


def test_the_command(binaries, toy_set, tmp_path):
    options = ("--config.batch_size=10", "--config.extents=0,1", "--config.plan=default")
    answer = binaries.run(
        "audit",
        f"--config.dataset=npz:{toy_set}",
        "--config.num_members=2",
        "--config.folds=2",
        *options,
        f"--workdir={tmp_path / 'run'}",
    )
    assert answer.returncode == 0, answer.stderr
    assert "likely mislabelled" in answer.stdout
    assert (tmp_path / "run" / "issues.csv").exists()
    refused = binaries.run("audit", "--config.num_members=3", f"--workdir={tmp_path / 'other'}")
    assert refused.returncode == 2
    assert "num_members must be a multiple of folds, 5, got 3" in refused.stderr
    assert not (tmp_path / "other").exists()

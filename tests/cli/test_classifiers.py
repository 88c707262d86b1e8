"""Other classifiers beside the networks of a run, from the command line to the numbers."""

import csv
import dataclasses

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from ensemble_jax import load_run
from ensemble_jax.analysis import accessibility_score, accordance, consistency_score
from ensemble_jax.cli.dataset import load_data_of_run

LEARNERS = 3
ESTIMATORS = {"KNN": KNeighborsClassifier, "Gaussian naive Bayes": GaussianNB}


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("classifiers") / "new"


@pytest.fixture(scope="module")
def answer(binaries, undisturbed, output):
    options = (f"--output={output}", "--classifiers=knn,naive_bayes", f"--learners={LEARNERS}")
    return binaries.run("classifiers", f"--run={undisturbed}", *options)


@pytest.fixture
def tables(answer, output):
    assert (answer.returncode, answer.stderr) == (0, "")
    tables = {}
    for path in output.glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            tables[path.stem] = list(csv.DictReader(file))
    return tables


def test_it_says_what_it_does_and_where_everything_is(answer, output):
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "jax" not in answer.modules
    lines = [line for line in answer.stdout.splitlines() if not line.startswith("wrote ")]
    starts = ["training KNN: ", "training Gaussian naive Bayes: ", "accuracy, then "]
    starts += ["  KNN ", "  Gaussian naive Bayes ", "boosting 3 linear classifiers: "]
    starts += ["boosting: accuracy ", "difficulty for boosting and for the networks: r = "]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)
    names = [f"{name}.{kind}" for name in ("classifiers", "boosting") for kind in ("png", "csv")]
    names.append("boosting_difficulty.csv")
    told = [line for line in answer.stdout.splitlines() if line.startswith("wrote ")]
    assert told == [f"wrote {output / name}" for name in names]
    files = {*names, "classifiers.svg", "boosting.svg"}
    assert {path.name for path in output.iterdir()} == files


def test_the_classifiers_are_those_of_scikit_learn(tables, undisturbed, toy_arrays):
    run, arrays = load_run(undisturbed), toy_arrays()
    inputs = {s: arrays[f"{s}_images"].reshape(-1, 64) / 255 for s in ("train", "test")}
    rows = {(int(row["extent"]), row["classifier"]): row for row in tables["classifiers"]}
    assert list(rows) == [(extent, name) for extent in (1, 9) for name in ESTIMATORS]
    scores = dict(zip(run.extents, consistency_score(run.correct("test")), strict=True))
    for (extent, name), row in rows.items():
        estimator = ESTIMATORS[name]().fit(inputs["train"], arrays["train_labels"])
        correct = estimator.predict(inputs["test"]) == arrays["test_labels"]
        expected = correct.mean(), *accordance(correct, scores[extent])
        written = [float(value) for value in list(row.values())[2:]]
        np.testing.assert_allclose(written, expected, rtol=1e-5)


def test_boosting_is_by_the_difficulty_for_the_networks(tables, undisturbed, answer):
    run = load_run(undisturbed)
    assert [row["learners"] for row in tables["boosting"]] == ["1", "2", "3"]
    rows = tables["boosting_difficulty"]
    assert [int(row["id"]) for row in rows] == run.ids["test"].tolist()
    networks = np.array([float(row["network_difficulty"]) for row in rows])
    np.testing.assert_allclose(networks, 1 - accessibility_score(run.correct("test")), atol=1e-5)
    # Accuracies average over examples what difficulties average over numbers of learners.
    boosting = np.array([float(row["boosting_difficulty"]) for row in rows])
    accuracies = [float(row["all"]) for row in tables["boosting"]]
    np.testing.assert_allclose(1 - boosting.mean(), np.mean(accuracies), atol=1e-5)
    assert f"r = {np.corrcoef(boosting, networks)[0, 1]:.3f}" in answer.stdout


def test_a_data_set_that_has_changed_is_told(undisturbed):
    run = load_run(undisturbed)
    assert len(load_data_of_run(run).splits["train"]) == 60
    for changed in ("labels", "ids"):
        values = dict(getattr(run, changed))
        values["test"] = values["test"][::-1]
        examples = run.examples._replace(**{changed: values})
        with pytest.raises(ValueError, match=r"has changed since .*: its test examples are others"):
            load_data_of_run(dataclasses.replace(run, examples=examples))
    inputs = {**run.manifest.inputs, "train.inputs": "of other pixels"}
    changed = dataclasses.replace(run, manifest=dataclasses.replace(run.manifest, inputs=inputs))
    with pytest.raises(ValueError, match=r"has changed since .* was made \(train\.inputs differ\)"):
        load_data_of_run(changed)


def test_what_cannot_be_checked_of_an_older_run_is_told(undisturbed, capsys):
    run = load_run(undisturbed)
    old = dataclasses.replace(run, manifest=dataclasses.replace(run.manifest, inputs={}))
    load_data_of_run(old)
    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        f"{undisturbed} is of an older version: whether its inputs have changed is not known"
    )


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--classifiers=knn,tre"], ["--classifiers must be of svm, knn", "(is tree meant?)"]),
        (["--learners=-1"], ["--learners must be at least 0, got -1"]),
        (["--classifiers=", "--learners=0"], ["leave nothing to be done"]),
    ],
)
def test_mistakes_are_told_in_one_line_at_once(binaries, undisturbed, tmp_path, options, parts):
    output = tmp_path / "output"
    refused = binaries.run("classifiers", f"--run={undisturbed}", f"--output={output}", *options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert all(part in refused.error for part in parts)
    assert not {"jax", "sklearn"} & refused.modules
    assert not output.exists()

"""Which figures a run gets, and the numbers beside them."""

import csv

import numpy as np
import pytest

from ensemble_jax.analysis import (
    consensus_score,
    size_dependence,
)
from ensemble_jax.report.run_report import analyze, write_table

LABELS = {"train": [0, 1, 2, 0, 1], "test": [0, 1, 2]}
EXTENTS = (0, 1, 4)


def read_table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(write_run, tmp_path_factory):
    """Four members: the first test example is always right, the second late, the third falls."""
    right, wrong = LABELS["test"], [1, 2, 0]
    test = [[[0, 2, 2]] * 4, [[0, 2, 2]] * 3 + [[0, 1, 0]], [[0, 1, 0]] * 4]
    train = [[[0, 0, 0, 0, 0]] * 4, [[0, 1, 1, 0, 1]] * 4, [LABELS["train"]] * 4]
    probes = {"noise": [[right, wrong, right, right]] * 3}
    directory = tmp_path_factory.mktemp("runs") / "run"
    return write_run(directory, LABELS, {"train": train, "test": test}, EXTENTS, probes=probes)


@pytest.fixture(scope="module")
def figures(run):
    analyze(run)
    return run.directory / "figures"


def test_a_run_with_probes_and_enough_members_and_extents_has_every_figure(figures):
    tables = {path.stem for path in figures.glob("*.csv")}
    assert tables == {"classes", "size", "examples", "probes"}
    drawn = tables | {"consistency", "consensus", "dynamics"}
    for kind in ("png", "svg"):
        assert {path.stem for path in figures.glob(f"*.{kind}")} == drawn


def test_typical_examples_are_named_by_pattern_and_id(figures):
    rows = read_table(figures / "examples.csv")
    curves = {}
    for row in rows:
        curves.setdefault(row["example"], []).append(float(row["consistency"]))
    assert curves == {
        "always right: 0": [1, 1, 1],
        "rises late: 1": [0, 0.25, 1],
        "falls: 2": [1, 0.75, 0],
    }


def test_the_other_tables_are_what_the_analysis_says(run, figures):
    classes = read_table(figures / "classes.csv")
    # In the end the first example is known, the second too, the third is taken for the first class.
    of_end = [row for row in classes if row["extent"] == "4" and float(row["fraction"]) > 0]
    assert [(row["class"], float(row["to"])) for row in of_end] == [
        ("one", 0.125),
        ("one", 1.125),
        ("two", 1.125),
    ]
    sizes = read_table(figures / "size.csv")
    assert {int(row["members"]) for row in sizes} == {2, 4}
    expected = size_dependence(run.correct("test", 4)[0], [2, 4], seed=0).bimodalities
    written = [float(row["bimodality"]) for row in sizes if row["set"] == "test"]
    np.testing.assert_allclose(written, expected.ravel(), rtol=1e-5)
    probes = {row["probe"]: float(row["consensus"]) for row in read_table(figures / "probes.csv")}
    assert probes == {
        name: pytest.approx(consensus_score(run.predictions(name, 4)[0], 3).mean())
        for name in ("noise", "test")
    }


@pytest.mark.parametrize(
    ("num_members", "extents", "tables"),
    [(3, (0, 1, 4), set()), (4, (0, 1), {"classes", "size"})],
)
def test_few_members_or_extents_have_fewer_figures(
    write_run, tmp_path, num_members, extents, tables
):
    """All members know everything in the end, so that some scores are constant."""
    predictions = {
        split: [[[0] * len(labels)] * num_members] + [[labels] * num_members] * (len(extents) - 1)
        for split, labels in LABELS.items()
    }
    run = write_run(tmp_path / "run", LABELS, predictions, extents)
    analyze(run, tmp_path)
    assert {path.stem for path in (tmp_path / "figures").glob("*.csv")} == tables


def test_names_stay_as_they_are_in_tables(tmp_path):
    """Programs read them: what a spreadsheet would take for a formula is not changed."""
    rows = [["id", "class"], ["=1+1", "@SUM(A1)"], ["-1", "+\t"], ['a"b', "line\nbreak, comma"]]
    write_table(tmp_path / "table.csv", rows)
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == rows


def test_a_table_is_not_written_through_a_link(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".table.csv.tmp").symlink_to(victim)
    (tmp_path / "table.csv").symlink_to(victim)
    write_table(tmp_path / "table.csv", [["a"]])
    assert victim.read_text() == "mine"
    assert (tmp_path / "table.csv").read_text() == "a\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "victim"]

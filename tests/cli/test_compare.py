"""Two runs beside each other, from the command line to the numbers."""

import csv
import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from ensemble_jax import load_run
from ensemble_jax.analysis import (
    accessibility_score,
    bimodality,
    consistency_score,
    match_extents,
    member_accuracy,
)
from ensemble_jax.report.comparison import check_comparable, compare

KINDS = ("png", "svg", "csv")
NAMES = ("cross_consistency", "accessibility", "easy_sets")
EXTENTS = (0, 2, 5, 9)

LABELS = {"train": [0, 1, 2, 0], "test": [0, 1]}
# Four members that know the first two, and a fifth that knows all and has diverged.
KNOWN = [0, 1, 0, 1]
TRAIN = [[[1, 2, 0, 1]] * 4 + [LABELS["train"]], [KNOWN] * 4 + [LABELS["train"]]]
TEST = [[[1, 0]] * 5, [[0, 1]] * 5]


@pytest.fixture(scope="module")
def second(binaries, toy_job, tmp_path_factory):
    """Other networks on the same examples, measured less often."""
    directory = tmp_path_factory.mktemp("runs") / "second"
    changes = ("num_members=3", "seed=1", "depth=1", f"extents={','.join(map(str, EXTENTS))}")
    overrides = (f"--config.{change}" for change in changes)
    # Extents that are given twice add up.
    answer = binaries.run("train", *toy_job[:-1], *overrides, f"--workdir={directory}")
    assert answer.returncode == 0, answer.stderr
    return directory


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("compared") / "new" / "folder"


@pytest.fixture(scope="module")
def answer(binaries, undisturbed, second, output):
    return binaries.run(
        "compare", f"--first={undisturbed}", f"--second={second}", f"--output={output}"
    )


@pytest.fixture
def rows(answer, output):
    assert (answer.returncode, answer.stderr) == (0, "")
    with (output / "comparison.csv").open(newline="", encoding="utf-8") as file:
        return {row["split"]: row for row in csv.DictReader(file)}


def test_the_files_are_told_and_there_are_no_others(answer, output):
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "jax" not in answer.modules
    figures = [f"{name}_{split}" for split in ("train", "test") for name in NAMES]
    told = [line for line in answer.stdout.splitlines() if line.startswith("wrote ")]
    listed = [f"{name}.{kind}" for name in figures for kind in ("png", "csv")]
    written = ("comparison.csv", *listed, "comparison.html")
    assert told == [f"wrote {output / name}" for name in written]
    files = {f"{name}.{kind}" for name in figures for kind in KINDS}
    files |= {"comparison.csv", "comparison.html"}
    assert {path.name for path in output.iterdir()} == files


def test_the_numbers_are_what_the_analysis_says_of_both_runs(rows, undisturbed, second):
    runs = load_run(undisturbed), load_run(second)
    for split, row in rows.items():
        correct = [run.correct(split) for run in runs]
        accessibility = [accessibility_score(of_run) for of_run in correct]
        r, p_value = pearsonr(*accessibility)
        accuracies = [member_accuracy(of_run).mean(axis=1) for of_run in correct]
        pairs = match_extents(*accuracies)
        merged = [
            consistency_score(np.concatenate([correct[0][one], correct[1][other]]))
            for one, other in pairs
        ]
        easy = [consistency_score(of_run)[-1] > 0.9 for of_run in correct]
        expected = {
            "examples": len(runs[0].labels[split]),
            "matched_pairs": len(pairs),
            "cross_consistency_bimodality": np.nanmean(bimodality(merged)),
            "pearson": r,
            "p_value": p_value,
            "spearman": spearmanr(*accessibility)[0],
            "easy_extent": 9,
            "easy_shared": np.sum(easy[0] & easy[1]),
            "easy_only_first": np.sum(easy[0] & ~easy[1]),
            "easy_only_second": np.sum(easy[1] & ~easy[0]),
        }
        written = {name: float(row[name]) for name in expected}
        assert written == pytest.approx(expected, rel=1e-4), split
        assert float(row["low"]) < float(row["pearson"]) < float(row["high"])
        assert all(-1 <= float(row[f"halves_{place}"]) <= 1 for place in ("first", "second"))


def test_the_text_has_the_numbers_of_the_table(answer, rows, undisturbed, second):
    lines = [line for line in answer.stdout.splitlines() if not line.startswith("wrote ")]
    # Both are of one architecture, so they are named by their folders.
    assert lines[:2] == [
        f"undisturbed: 4 members of fully_connected, epochs {', '.join(map(str, range(10)))}, "
        f"in {undisturbed}",
        f"second: 3 members of fully_connected, epochs 0, 2, 5, 9, in {second}",
    ]
    for start, (split, row) in zip((2, 6), rows.items(), strict=True):
        title, matched, order, easy = lines[start : start + 4]
        assert title == f"{split}, {row['examples']} examples:"
        assert f"at {row['matched_pairs']} matched pair" in matched
        assert f"mean bimodality {float(row['cross_consistency_bimodality']):.3f} " in matched
        assert f"r = {float(row['pearson']):.3f} (95 % interval {float(row['low']):.3f} " in order
        assert f"undisturbed {float(row['halves_first']):.3f}, second " in order
        assert f"at epoch 9: {row['easy_shared']} of both, " in easy


def test_a_comparison_again_writes_the_same_bytes(
    answer, output, contents, undisturbed, second, tmp_path
):
    assert answer.returncode == 0, answer.stderr
    compare(undisturbed, second, tmp_path)
    assert contents(tmp_path) == contents(output)


def test_a_diverged_member_is_left_out(write_run, tmp_path):
    predictions = {"train": TRAIN, "test": TEST}
    one = write_run(tmp_path / "one", LABELS, predictions, (0, 1), diverged=(4,))
    other = write_run(tmp_path / "two", LABELS, predictions, (0, 1), model="vgg16", diverged=(4,))
    check_comparable(one, other)
    lines = str(compare(one, other)).splitlines()
    assert lines[0] == f"st_vgg: 4 members of st_vgg, epochs 0, 1, in {tmp_path / 'one'}"
    # Two of four examples have the score 1 and two 0, in both runs; before, all have 0.
    assert lines[3] == (
        "  cross-consistency at 2 matched pairs of extents: mean bimodality 0.000 (0.000 to 0.000)"
    )
    assert lines[4] == (
        "  accessibility: r = 1.000 (95 % interval 1.000 to 1.000), p < 1e-300, Spearman 1.000; "
        "r of halves of one run: st_vgg 1.000, vgg16 1.000"
    )
    assert lines[5] == "  easy examples at epoch 1: 2 of both, 0 of st_vgg alone, 0 of vgg16 alone"


def test_the_page_has_the_findings_and_both_runs(write_run, tmp_path):
    data = {"train": TRAIN, "test": TEST}
    named = [write_run(tmp_path / name, LABELS, data, (0, 1)) for name in ("<b>one", "other")]
    compared = compare(*named, tmp_path / "compared")
    page = compared.paths[-1].read_text(encoding="utf-8")
    assert "easy examples at epoch 1" in page
    assert "<b>one" not in page
    facts = json.loads(re.search(r'id="x-facts">(.*?)</script>', page)[1])
    assert [run["name"] for run in facts["runs"]] == ["<b>one", "other"]
    assert page.count("data:image/png") == 2 * len(compared.findings["test"])


def test_runs_with_nothing_in_common_are_told_so(write_run, tmp_path):
    knowing = {split: [[of_split] * 2] for split, of_split in LABELS.items()}
    one = write_run(tmp_path / "one", LABELS, {"train": TRAIN[:1], "test": TEST[:1]}, (0,))
    other = write_run(tmp_path / "other", LABELS, knowing, (7,))
    compared = compare(one, other, tmp_path)
    lines, files = str(compared).splitlines(), list(compared.paths)
    assert lines[6:] == [
        "test, 2 examples:",
        "  no extents of equal accuracy, hence no cross-consistency "
        "(mean accuracies: one 0.000 to 0.000, other 1.000 to 1.000)",
        "  accessibility: no correlation is defined, one run knows all examples equally well",
        "  easy sets: the runs were never measured after the same number of epochs",
    ]
    assert [path.name for path in files] == [
        "comparison.csv",
        "accessibility_train.png",
        "accessibility_train.csv",
        "accessibility_test.png",
        "accessibility_test.csv",
        "comparison.html",
    ]
    assert (tmp_path / "comparison.csv").read_text().splitlines()[2] == (
        "test,2,0,nan,nan,nan,nan,nan,nan,nan,nan,,,,"
    )


@pytest.mark.parametrize(
    ("split", "change", "message"),
    [
        (
            "train",
            {"labels": [0, 1, 1, 0]},
            "1 of 4 train examples have other labels, the first 2 and 1, at position 2",
        ),
        (
            "test",
            {"ids": ["a", "b"]},
            "2 of 2 test examples are others, the first 0 and a, at position 0",
        ),
        ("test", {"labels": [0], "ids": [0]}, "test has 2 and 1 of them"),
    ],
)
def test_runs_on_other_examples_are_refused(write_run, tmp_path, split, change, message):
    predictions = {"train": TRAIN, "test": TEST}
    one = write_run(tmp_path / "one", LABELS, predictions, (0, 1))
    quantities = {"labels": one.labels, "ids": one.ids}
    changed = {
        name: dict(of_splits) | ({split: np.array(change[name])} if name in change else {})
        for name, of_splits in quantities.items()
    }
    other = dataclasses.replace(one, examples=one.examples._replace(**changed))
    with pytest.raises(ValueError, match="are not on the same examples") as error:
        check_comparable(one, other)
    assert str(error.value).endswith(message)


def test_a_refusal_is_one_line_and_leaves_nothing(binaries, undisturbed, write_run, tmp_path):
    write_run(tmp_path / "hand", LABELS, {"train": TRAIN, "test": TEST}, (0, 1))
    output = tmp_path / "output"
    shutil.copytree(undisturbed, tmp_path / "empty", ignore=shutil.ignore_patterns("extent-*"))
    for second, parts in {
        "hand": ["are not on the same examples", "their classes are"],
        "empty": ["no extent is finished yet"],
        "nothing": ["does not exist"],
    }.items():
        paths = f"--first={undisturbed}", f"--second={tmp_path / second}"
        refused = binaries.run("compare", *paths, f"--output={output}")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert str(tmp_path / second) in refused.error
        assert all(part in refused.error for part in parts)
        assert "jax" not in refused.modules
        assert not output.exists()

"""The binaries that start from runs: joining members that were trained apart, and analysing."""

import json
import shutil

import numpy as np
import pytest

from ensemble_jax import load_run

FIGURES = ("consistency", "consensus", "dynamics")
# Of at least four members and three extents.
DETAILS = ("classes", "size", "examples")


@pytest.fixture(scope="module")
def halves(binaries, toy_job, tmp_path_factory):
    """The members of the undisturbed run, trained two by two."""
    folder = tmp_path_factory.mktemp("halves")
    for members in ("0:2", "2:4"):
        answer = binaries.run(
            "train",
            *toy_job,
            f"--config.members={members}",
            f"--workdir={folder / members.replace(':', '-')}",
        )
        assert answer.returncode == 0, answer.stderr
    return folder / "0-2", folder / "2-4"


def test_members_trained_apart_are_those_trained_together(
    binaries, halves, undisturbed, assert_same_records, tmp_path
):
    merged = tmp_path / "merged"
    # In either order, members come in the order of their numbers.
    answer = binaries.run("merge", f"--runs={halves[1]},{halves[0]}", f"--output={merged}")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == f"wrote {merged}: 4 members, extents {list(range(10))}\n"
    assert "jax" not in answer.modules
    assert_same_records(merged, undisturbed)
    run, whole = load_run(merged), load_run(undisturbed)
    assert run.config == whole.config
    assert run.hyperparameters.keys() == whole.hyperparameters.keys()
    for name, values in whole.hyperparameters.items():
        np.testing.assert_array_equal(run.hyperparameters[name], values)
    for split in whole.splits:
        np.testing.assert_array_equal(run.ids[split], whole.ids[split])
        np.testing.assert_array_equal(run.labels[split], whole.labels[split])

    answer = binaries.run("analyze", f"--run={merged}")
    assert (answer.returncode, answer.stderr) == (0, "")
    for name in ("scores.csv", "dynamics.csv"):
        assert (merged / name).read_bytes() == (undisturbed / name).read_bytes()


def test_a_merge_that_cannot_be_leaves_nothing(binaries, halves, undisturbed, tmp_path, contents):
    first, second = halves
    output = tmp_path / "merged"
    broken = tmp_path / "broken"
    shutil.copytree(second, broken)
    (broken / "records" / "extent-000003.npz").unlink()
    cases = {
        (first,): ["two or more runs", "got 1"],
        (first, tmp_path / "nothing"): [str(tmp_path / "nothing"), "does not exist"],
        (first, tmp_path): [str(tmp_path), "is not a run"],
        (first, undisturbed): ["share members", "[0, 1]"],
        (first, broken): [str(broken), "lacks the extents [3]"],
    }
    for runs, parts in cases.items():
        answer = binaries.run("merge", f"--runs={','.join(map(str, runs))}", f"--output={output}")
        assert (answer.returncode, answer.stdout) == (2, "")
        for part in parts:
            assert part in answer.error
        assert not output.exists()
    before = contents(undisturbed)
    answer = binaries.run("merge", f"--runs={first},{second}", f"--output={undisturbed}")
    assert answer.returncode == 2
    assert f"{undisturbed} already exists" in answer.error
    assert contents(undisturbed) == before


def test_an_analysis_again_writes_the_same_bytes(binaries, undisturbed, contents, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(undisturbed, directory)
    before = contents(directory)
    for name in before:
        if name.startswith("figures/") or name.endswith((".csv", ".html")):
            (directory / name).unlink()
    answer = binaries.run("analyze", f"--run={directory}")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "jax" not in answer.modules
    assert contents(directory) == before
    written = [line.removeprefix("wrote ") for line in answer.stdout.splitlines()]
    assert written == [
        str(directory / name)
        for name in (
            "report.html",
            "scores.csv",
            "dynamics.csv",
            *(f"figures/{name}.png" for name in FIGURES + DETAILS),
            *(f"figures/{name}.csv" for name in DETAILS),
        )
    ]
    kinds = dict.fromkeys(FIGURES, ("png", "svg")) | dict.fromkeys(DETAILS, ("png", "svg", "csv"))
    assert {path.name for path in (directory / "figures").iterdir()} == {
        f"{name}.{kind}" for name, kinds in kinds.items() for kind in kinds
    }


def test_an_analysis_elsewhere_leaves_the_run_alone(binaries, undisturbed, contents, tmp_path):
    before = contents(undisturbed)
    output = tmp_path / "new" / "folder"
    answer = binaries.run("analyze", f"--run={undisturbed}", f"--output={output}")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert contents(undisturbed) == before
    assert contents(output) == {
        name: content
        for name, content in before.items()
        if name.startswith("figures/") or name.endswith((".csv", ".html"))
    }


def test_a_run_under_way_is_analysed_as_far_as_it_is(binaries, undisturbed, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(undisturbed, directory)
    records = sorted((directory / "records").iterdir())
    for record in records[2:]:
        record.unlink()
    answer = binaries.run("analyze", f"--run={directory}")
    assert (answer.returncode, answer.stderr) == (0, "")
    header = (directory / "scores.csv").read_text().splitlines()[0]
    assert header.endswith("accessibility,consistency_0,consistency_1,consensus_0,consensus_1")

    for record in records[:2]:
        record.unlink()
    answer = binaries.run("analyze", f"--run={directory}")
    assert answer.returncode == 2
    assert answer.error == f"error: {directory}: no extent is finished yet, nothing can be scored"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((), ["--run=VALUE must be given"]),
        (("--run=",), ["is not a run"]),
        (("--run={empty}",), ["{empty}", "is not a run", "run.json"]),
        (("--run={empty}/nothing",), ["{empty}/nothing", "does not exist"]),
        (("--run={file}",), ["{file}", "is not a run"]),
        (("--run={newer}",), ["{newer}", "format 99", "upgrade"]),
        (("--run={run}", "--output={file}"), ["--output", "{file}", "File exists"]),
        (("--run={run}", "--output={file}/x"), ["--output", "{file}/x", "Not a directory"]),
        (("--run={damaged}",), ["{damaged}/records/extent-000001.npz", "is damaged"]),
        (("--run={objects}",), ["{objects}/examples.npz", "is damaged", "Object arrays cannot be"]),
        (("--rum={run}",), ["unknown option --rum (is --run meant?)"]),
        (("{run}",), ["--run=VALUE must be given"]),
        (("--run={run}", "{run}"), ["unknown argument '{run}'", "--name=value"]),
    ],
)
def test_what_cannot_be_analysed_is_told_in_one_line(
    binaries, undisturbed, tmp_path, arguments, parts
):
    places = {name: tmp_path / name for name in ("empty", "file", "newer", "damaged", "objects")}
    places["run"] = undisturbed
    places["empty"].mkdir()
    places["file"].write_text("")
    places["newer"].mkdir()
    (places["newer"] / "run.json").write_text(
        json.dumps({"kind": "ensemble_jax run", "format": 99})
    )
    if "damaged" in "".join(arguments):
        shutil.copytree(undisturbed, places["damaged"])
        record = places["damaged"] / "records" / "extent-000001.npz"
        record.write_bytes(record.read_bytes()[:-500])
    if "objects" in "".join(arguments):
        shutil.copytree(undisturbed, places["objects"])
        np.savez(places["objects"] / "examples.npz", labels_train=np.array([{}], object))
    answer = binaries.run("analyze", *(argument.format(**places) for argument in arguments))
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "jax" not in answer.modules
    for part in parts:
        assert part.format(**places) in answer.error

"""The page on the format of a run names every file and array of a real one, and no others."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import ensemble_jax as ej
from ensemble_jax.data import Probe
from ensemble_jax.options import Quantity

PAGE = (Path(__file__).parent.parent / "docs/run_directory.md").read_text(encoding="utf-8")
PLACES = {"SPLIT": "(train|test)", "PROBE": "noise", "QUANTITY": "[a-z_]+"}


def table(section):
    """The rows of the table of a section, with the texts of their cells."""
    part = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| `")]
    assert rows
    return rows


def pattern(name):
    for place, form in PLACES.items():
        name = name.replace(place, form)
    return name


@pytest.fixture(scope="module")
def run(toy_arrays, tmp_path_factory):
    """A run with all that a run may have: probes, truth, subsets and labels of members, parts."""
    arrays = toy_arrays()
    images, labels = arrays["train_images"], arrays["train_labels"]
    data = ej.Dataset.from_arrays(
        train=(images, labels),
        test=(arrays["test_images"], arrays["test_labels"]),
        train_true_labels=labels,
    )
    data = data.__class__(**{**vars(data), "probes": {"noise": Probe(images[:7], np.arange(7))}})
    folder = tmp_path_factory.mktemp("format") / "run"
    quantities = [
        *(f"{q.value}:{split}" for q in Quantity for split in ("train", "test")),
        *(f"{q.value}:noise" for q in Quantity if not q.needs_labels),
    ]
    for number in (4, 6):
        members = ej.members(number, learning_rate=0.01, subset_fraction=0.7, label_noise=0.1)
        grown = ej.train(
            "fully_connected",
            data,
            members=members,
            extents=(0, 1, 2),
            record=quantities,
            batch_size=25,
            plan="default",
            workdir=folder,
        )
    ej.analyze(grown, data=data)
    return grown


@pytest.mark.slow
def test_every_file_is_on_the_page(run):
    named = {re.findall(r"`([^`]+)`", cell)[0] for cell, *_ in table("Files")}
    written = {
        str(path.relative_to(run.directory))
        for path in run.directory.rglob("*")
        if path.is_file() and path.relative_to(run.directory).parts[0] != "parts"
    }
    forms = {
        "records/extent-EEEEEE.npz": r"records/extent-\d{6}\.npz",
        "checkpoints/EPOCH/": r"checkpoints/\d+/.*",
        "figures/": r"figures/\w+\.(png|svg|csv)",
    }
    of_folder = named - {"parts/FIRST-END/", "issues.csv", ".lock"}
    found = {name: forms.get(name, re.escape(name)) for name in of_folder}
    for path in written - {".lock"}:
        assert any(re.fullmatch(form, path) for form in found.values()), path
    for name, form in found.items():
        assert any(re.fullmatch(form, path) for path in written), name
    part = run.directory / "parts/4-6"
    assert {"run.json", "examples.npz", "records"} <= {path.name for path in part.iterdir()}


@pytest.mark.slow
def test_every_field_of_the_manifest_is_on_the_page(run):
    content = json.loads((run.directory / "run.json").read_text())
    assert {cell.strip("`") for cell, *_ in table("run.json")} == set(content)
    assert f"This is format {content['format']}" in PAGE.replace("\n", " ")
    assert set(content["data"]) == set(
        re.findall(r"`(\w+)`", next(r for r in table("run.json") if r[0] == "`data`")[2])
    )


@pytest.mark.slow
@pytest.mark.parametrize("file", ["examples.npz", "records/extent-EEEEEE.npz"])
def test_every_array_is_on_the_page_with_its_type_and_shape(run, file):
    with np.load(run.directory / file.replace("EEEEEE", "000001")) as arrays:
        held = dict(arrays)
    rows = {cell.strip("`"): (kind, shape) for cell, kind, shape, *_ in table(file)}
    met = set()
    for name, array in held.items():
        row = next(r for r in sorted(rows, key=len) if re.fullmatch(pattern(r), name))
        met.add(row)
        kind, shape = rows[row]
        split = name.rpartition("_")[2]
        M = {"train": 60, "test": 30, "noise": 7}.get(split, 60)
        sizes = {"N": 4, "M": M, "K": 3, "ceil(M / 8)": -(-M // 8)}
        shapes = [
            tuple(sizes[axis] for axis in text.split(", ") if axis)
            for text in re.findall(r"`\[(.*?)\]`", shape)
        ]
        assert array.shape in shapes, name
        kinds = {"`c`": "uint8", "integers or text": str(array.dtype), "text": str(array.dtype)}
        assert array.dtype == kinds.get(kind, kind), name
    assert met == set(rows)


@pytest.mark.slow
def test_metrics_are_as_on_the_page(run):
    line = json.loads((run.directory / "metrics.jsonl").read_text().splitlines()[1])
    text = PAGE.partition("\n## metrics.jsonl\n")[2].partition("\n## ")[0]
    forms = [pattern(name) for name in re.findall(r"`(\w+)`", text)]
    assert all(any(re.fullmatch(form, name) for form in forms) for name in line)

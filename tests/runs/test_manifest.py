"""`run.json`: what it holds and what is refused."""

import dataclasses
import json
import platform

import numpy as np
import pytest

from ensemble_jax.runs import DataSummary, Manifest
from ensemble_jax.runs.layout import FORMAT_VERSION
from ensemble_jax.runs.manifest import format_manifest, read_manifest
from ensemble_jax.version import __version__


def test_round_trip(toy, tmp_path):
    manifest = toy.manifest(protocol="independent")
    (tmp_path / "run.json").write_text(format_manifest(manifest), encoding="utf-8")
    assert read_manifest(tmp_path) == manifest


def test_sequences_become_lists(toy):
    manifest = toy.manifest(np.arange(2), range(3), hyperparameters={"lr": np.array([0.5, 1.5])})
    assert (manifest.members, manifest.extents) == ([0, 1], [0, 1, 2])
    assert manifest.hyperparameters == {"lr": [0.5, 1.5]}


def test_it_says_how_the_run_was_made(toy):
    content = json.loads(format_manifest(toy.manifest()))
    assert content["kind"] == "ensemble_jax run"
    assert content["format"] == FORMAT_VERSION == 5
    assert content["versions"]["ensemble_jax"] == __version__
    assert {"jax", "flax", "numpy"} <= set(content["versions"])
    assert content["python"] == platform.python_version()
    assert content["created"].endswith("+00:00")
    assert content["command"]
    assert content["protocol"] == "trajectory"
    assert content["data"] == {
        "name": "animals",
        "class_names": ["fox", "skunk", "possum"],
        "split_sizes": {"train": 13, "test": 8},
        "input_shape": [4, 4, 3],
        "probe_sizes": {},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": []}, r"members must be distinct ids of at least 0, got \[\]"),
        ({"members": [1, 1]}, r"members must be distinct ids of at least 0, got \[1, 1\]"),
        ({"members": [-1]}, r"members must be distinct"),
        ({"extents": []}, r"extents must be ascending epochs of at least 0, got \[\]"),
        ({"extents": [5, 1]}, r"extents must be ascending epochs of at least 0, got \[5, 1\]"),
        ({"extents": [1, 1]}, r"extents must be ascending"),
        ({"extents": [-1, 1]}, r"extents must be ascending"),
        (
            {"hyperparameters": {"lr": [1]}},
            r"hyperparameters: lr must have one value .* 4 members, got 1",
        ),
        ({"protocol": "x"}, r"protocol must be one of trajectory, independent, got 'x'"),
    ],
)
def test_inconsistent_manifests_are_refused(toy, changes, message):
    content = vars(toy.manifest(hyperparameters={})) | changes
    with pytest.raises(ValueError, match=message):
        Manifest(**content)


@pytest.mark.parametrize(
    ("names", "sizes", "message"),
    [
        ((), {"train": 1}, "animals: class_names must name at least one class"),
        (("a",), {}, "animals: split_sizes must name at least one split"),
        (("a",), {"train": 0}, "animals: split train must not be empty, got 0"),
    ],
)
def test_inconsistent_data_is_refused(names, sizes, message):
    with pytest.raises(ValueError, match=message):
        DataSummary("animals", names, sizes, (1,))


def test_what_json_cannot_hold_is_refused_by_field(toy):
    with pytest.raises(ValueError, match=r"config\.clip\.norm must be finite, got inf"):
        toy.manifest(config={"clip": {"norm": float("inf")}})


def write(directory, **changes):
    content = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps(content | changes))


@pytest.fixture
def folder(toy, tmp_path):
    (tmp_path / "run.json").write_text(format_manifest(toy.manifest()))
    return tmp_path


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no run at .*x: the path does not exist"):
        read_manifest(tmp_path / "x")


def test_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"is not a run: it has no run\.json"):
        read_manifest(tmp_path)


def test_a_file_is_no_run(folder):
    with pytest.raises(ValueError, match=r"run\.json is not a run: it has no run\.json"):
        read_manifest(folder / "run.json")


@pytest.mark.parametrize("text", ["[]", "{}", '{"kind": "other"}'])
def test_a_run_json_of_something_else(folder, text):
    (folder / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"is not a run: its run\.json is not of kind"):
        read_manifest(folder)


def test_newer_format(folder):
    write(folder, format=7, invented_later=True)
    message = (
        rf"written in format 7, this ensemble_jax {__version__} reads formats up to 5: upgrade"
    )
    with pytest.raises(ValueError, match=message):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "1"}, "format must be a positive integer, got '1'"),
        ({"format": 0}, "format must be a positive integer, got 0"),
        ({"unknown": 1}, "unknown"),
        ({"members": [0, 0, 1, 2]}, "members must be distinct"),
        ({"members": "0..3"}, ""),
        ({"data": {"name": "animals"}}, "class_names"),
    ],
)
def test_broken_content(folder, changes, message):
    write(folder, **changes)
    with pytest.raises(ValueError, match=rf"run\.json is broken: .*{message}"):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["config", "data", "members"])
def test_missing_content(folder, name):
    content = json.loads((folder / "run.json").read_text())
    del content[name]
    (folder / "run.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"run\.json is broken: .*{name}"):
        read_manifest(folder)


@pytest.mark.parametrize("content", [b"", b'{"kind": ', b"\xff\xfe\x00"])
def test_broken_json(folder, content):
    (folder / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.json is broken: "):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/x", "x/../../y", "a\\b", "-x", "a\n"])
@pytest.mark.parametrize("kind", ["split_sizes", "probe_sizes"])
def test_names_that_lead_elsewhere_are_refused(toy, tmp_path, kind, name):
    manifest = toy.manifest(probe_sizes={"noise": 4})
    sizes = {**getattr(manifest.data, kind), name: 3}
    with pytest.raises(ValueError, match="must be of letters, digits"):
        dataclasses.replace(manifest.data, **{kind: sizes})
    # Neither are they read.
    content = json.loads(format_manifest(manifest))
    content["data"][kind] = sizes
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"run\.json is broken: .* must be of letters, digits"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["members", "extents"])
@pytest.mark.parametrize("value", ["../x", 1.5, True, None, [1]])
def test_members_and_extents_are_integers(toy, tmp_path, name, value):
    content = json.loads(format_manifest(toy.manifest()))
    content[name] = [value]
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"run\.json is broken: {name} must be of type int, got"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": []}, "config must be of type dict, got '\\[\\]'"),
        ({"config": None}, "config must be of type dict, got 'None'"),
        ({"hyperparameters": {"rate": None}}, "hyperparameters must be of type list"),
        ({"hyperparameters": [1]}, "hyperparameters must be of type dict"),
        ({"extents": "0"}, "extents must be of type list"),
        ({"parts": [[10, "20"]]}, "parts must be of type int, got '20'"),
        ({"parts": [10]}, "parts must be of type list"),
        ({"parts": [[10, 2_000_000_000]]}, "a run has at most 1000000 members, got 1999999994"),
        ({"versions": {"jax": 1}}, "versions must be of type str"),
        ({"inputs": {"train": ["a"]}}, "inputs must be of type str"),
        ({"sources": {}}, "sources must be of type list"),
        ({"run_id": 3}, "run_id must be of type str"),
        ({"data": None}, "data must be of type dict"),
        ({"data": []}, "data must be of type dict"),
    ],
)
def test_every_field_is_of_its_kind(folder, changes, message):
    write(folder, **changes)
    with pytest.raises(ValueError, match=rf"run\.json is broken: .*{message}"):
        read_manifest(folder)


@pytest.mark.parametrize("field", ["class_names", "split_sizes", "input_shape", "probe_sizes"])
@pytest.mark.parametrize("value", [None, 3, "x", [None], {"train": "13"}])
def test_every_field_of_the_data_is_of_its_kind(folder, field, value):
    content = json.loads((folder / "run.json").read_text())
    content["data"][field] = value
    (folder / "run.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"run\.json is broken: {field} must be of type "):
        read_manifest(folder)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_depths_are_no_matter(folder, depth):
    text = (folder / "run.json").read_text()
    deep = '{"a":' * depth + "1" + "}" * depth
    (folder / "run.json").write_text(text.replace('"config": {', f'"config": {{"deep": {deep},', 1))
    with pytest.raises(ValueError, match=r"run\.json is broken: "):
        read_manifest(folder)


def test_a_file_that_is_too_large_is_not_read(folder, monkeypatch):
    monkeypatch.setattr("ensemble_jax.runs.manifest._MOST_BYTES", 100)
    with pytest.raises(ValueError, match="must have at most 100 bytes"):
        read_manifest(folder)

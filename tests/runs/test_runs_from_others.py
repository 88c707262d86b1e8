"""Runs that somebody has made to do harm: they are refused in one line, in no time and memory."""

import io
import os
import shutil
import zipfile

import numpy as np
import pytest

from ensemble_jax.report.run_report import write_report
from ensemble_jax.runs import RunWriter, load_run, lock_run


@pytest.fixture
def run(toy, tmp_path):
    toy.write_run(tmp_path / "run", toy.manifest())
    return tmp_path / "run"


def npy(array) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def rewrite(path, changes, compression=zipfile.ZIP_STORED):
    """An archive with other members."""
    with np.load(path) as arrays:
        content = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in (content | changes).items():
            archive.writestr(name, data)


def header_of(shape) -> bytes:
    file = io.BytesIO()
    header = {"descr": "<i8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels_train.npy": header_of((10**12,))}, "not as many bytes as its header says"),
        ({"labels_train.npy": header_of((-1, -1))}, "not as many bytes as its header says"),
        ({"labels_train.npy": npy(np.full(13, 3))}, "integers in 0..2"),
        ({"labels_train.npy": npy(np.full(13, -1))}, "integers in 0..2"),
        ({"labels_train.npy": npy(np.zeros(13))}, "integers in 0..2, got float64"),
        ({"labels_train.npy": npy(np.zeros((13, 1), int))}, r"must have \[13\] labels"),
        ({"ids_train.npy": npy(np.zeros(13))}, "ids of train are float64"),
        ({"ids_train.npy": npy(np.zeros(13, [("a", int)]))}, "must hold numbers or text"),
        ({"ids_train.npy": npy(np.zeros(13, object))}, "Object arrays cannot be loaded"),
        ({"ids_train.npy": b"no array"}, "is damaged"),
    ],
)
def test_examples_that_cannot_be(run, changes, message):
    rewrite(run / "examples.npz", changes)
    with pytest.raises(ValueError, match=rf"examples\.npz .*{message}"):
        load_run(run)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_is_not_unpacked(run, method):
    rewrite(run / "examples.npz", {"bomb.npy": bytes(10**7)}, method)
    with pytest.raises(ValueError, match="must be neither compressed nor encrypted"):
        load_run(run)


def test_an_encrypted_archive_is_refused(run):
    path = run / "examples.npz"
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must be neither compressed nor encrypted"):
        load_run(run)


def test_predictions_of_classes_that_there_are_not(run):
    rewrite(
        run / "records" / "extent-000005.npz",
        {"predictions_test.npy": npy(np.full((4, 8), 3, np.uint8))},
    )
    with pytest.raises(ValueError, match=r"predictions_test must lie in 0\.\.2, got 3"):
        load_run(run).votes("test")


@pytest.mark.parametrize("name", ["run.json", "examples.npz", "records/extent-000005.npz"])
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_file_is_not_waited_for(run, name, kind):
    path = run / name
    path.rename(run / "elsewhere")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(run / "elsewhere")
    else:
        path.mkdir()
    with pytest.raises(ValueError, match=f"{path} must be a file"):
        load_run(run)


@pytest.mark.parametrize("name", ["records", "checkpoints", "parts", "figures", "checkpoints/3"])
def test_folders_that_are_links_are_refused(run, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("mine")
    path = run / name
    if path.exists():
        shutil.rmtree(path)
    path.parent.mkdir(exist_ok=True)
    opened = load_run(run) if name == "figures" else None
    path.symlink_to(elsewhere)
    for read in (load_run, RunWriter.open):
        with pytest.raises(ValueError, match=f"{path} is a link: what a run has lies in its own"):
            read(run)
    if opened is not None:
        with pytest.raises(ValueError, match="is a link"):
            write_report(opened, run)
    assert [path.name for path in elsewhere.iterdir()] == ["mine"]


def test_what_a_kill_has_left_is_swept_when_the_lock_is_taken(run):
    for name in ("checkpoints/3.orbax-checkpoint-tmp", "figures"):
        (run / name).mkdir(parents=True)
    (run / "checkpoints" / "3.orbax-checkpoint-tmp" / "state").write_text("half")
    (run / "checkpoints" / "2").mkdir()
    for name in ("figures/.dynamics.svg.17.tmp", "figures/dynamics.svg", ".scores.csv.17.tmp"):
        (run / name).write_text("half")
    with lock_run(run):
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["2"]
        assert [path.name for path in (run / "figures").iterdir()] == ["dynamics.svg"]
        assert not list(run.glob(".*.tmp"))
    assert load_run(run).finished

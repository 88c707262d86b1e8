"""A run in a notebook: its summary, and the explorer in a frame."""

import dataclasses

import numpy as np
import pytest

from ensemble_jax.runs.summary import sparkline

LABELS = {"train": [0, 1, 2], "test": [0, 1]}
PREDICTIONS = {
    "train": [[[0, 0, 0]] * 2, [[0, 1, 0], [0, 1, 2]]],
    "test": [[[0, 0]] * 2, [[0, 1]] * 2],
}
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(write_run, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    return write_run(directory, LABELS, PREDICTIONS, (0, 5))


def test_a_summary_by_hand(run):
    shown = run._repr_html_()
    assert shown.startswith("<div><strong>st_vgg on hand</strong>")
    assert "2 members; 2 extents, epochs 0 to 5; 3 classes" in shown
    train, test = shown.partition("<tbody>")[2].split("<tr>")[1:]
    assert "83.3 %" in train
    assert "66.7 %" in train
    assert test.count("100.0 %") == 3
    assert 'aria-label="mean by epoch: 0: 0.333, 5: 0.833"' in train


def test_a_run_without_extents_or_members_has_a_summary(run):
    begun = dataclasses.replace(run, extents=())
    assert "0 extents, epochs none yet; not finished, 2 asked for" in begun._repr_html_()
    lost = dataclasses.replace(run, members=np.zeros(0, int), diverged={0: 1, 1: 1})
    assert "2 diverged and left out" in lost._repr_html_()
    assert "<table>" not in begun._repr_html_() + lost._repr_html_()


def test_names_in_a_summary_are_text(run):
    data = dataclasses.replace(run.manifest.data, name=SCRIPT)
    named = dataclasses.replace(run, manifest=dataclasses.replace(run.manifest, data=data))
    assert "<script" not in named._repr_html_()


def test_a_sparkline_by_hand():
    drawn = sparkline((0, 1, 4), np.array([[0.0, 1], [0.5, 0.5], [1, 1]]), 0, 1)
    assert 'points="0.0,12.0 30.0,12.0 120.0,0.0"' in drawn
    assert 'points="0.0,0.0 30.0,12.0 120.0,0.0 120.0,0.0 30.0,12.0 0.0,24.0"' in drawn
    assert 'points="0.0,12.0"' in sparkline((3,), np.array([[0.0, 1]]), 0, 1)


def test_the_explorer_works_in_a_frame_that_reaches_nothing(run, browser, tmp_path):
    inline = run.explore(height=700)
    frame = inline._repr_html_()
    assert frame.count("<") == 2  # the page is an attribute, all of it
    assert 'height="700"' in frame
    assert 'sandbox="allow-scripts allow-downloads"' in frame
    notebook = tmp_path / "notebook.html"
    # What the frame tells of itself it has to send; this page only sees whether it may look.
    notebook.write_text(f"<!DOCTYPE html><title>notebook</title>{frame}", encoding="utf-8")
    browser.open(notebook)
    assert browser.evaluate("document.querySelector('iframe').contentDocument === null")
    assert browser.told("Runtime.exceptionThrown") == []
    inline.save(tmp_path / "page.html")
    browser.open_explorer(tmp_path / "page.html")
    assert "5 of 5 examples" in browser.evaluate("document.body.innerText")
    assert "a notebook shows it" in repr(inline)


def test_what_cannot_be_explored_is_told(run):
    with pytest.raises(ValueError, match="no extent is finished yet"):
        dataclasses.replace(run, extents=()).explore()
    with pytest.raises(ValueError, match="height must be at least 1 pixel, got 0"):
        run.explore(height=0)
